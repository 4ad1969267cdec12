package worker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// socketFD is where the child finds its end of the socket pair.
const socketFD = 3

// Main is the child's end. It returns only when it cannot begin; otherwise the
// process ends when the socket closes. The exit code is for the process.
func Main() int {
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP) // a terminal's Ctrl-C is for the parent
	signal.Ignore(syscall.SIGXFSZ)                // a file that may not grow (ulimit -f) is an error, not an end
	// A trace of an abort would run gdb, if there is one, for seconds.
	if err := os.Setenv("GGML_NO_BACKTRACE", "1"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := offerToOOMKiller(); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err) // in a sandbox; everything else works
	}
	f := os.NewFile(socketFD, "parent")
	conn, err := net.FileConn(f)
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker: this command is run by hyprstream itself; there is no socket at descriptor 3:", err)
		return 2
	}
	f.Close()
	c := &child{wire: newWire(conn), mail: make(chan struct{}, 1), calls: map[uint64]context.CancelCauseFunc{}, parts: map[uint64][]decode.Request{}, texts: map[uint64][]string{}, adopt: map[uint64]*toChild{}}
	var first toChild
	if err := c.wire.dec.Decode(&first); err != nil || first.Spec == nil && first.Quantize == nil {
		fmt.Fprintln(os.Stderr, "worker: no specification came:", err)
		return 2
	}
	go c.write()
	if first.Quantize != nil {
		go c.quantize(first.Quantize)
	} else {
		go c.load(first.Spec)
	}
	c.read()
	os.Exit(0) // the parent is gone: end in the midst of whatever is being done
	return 0
}

// child is the state of a worker process.
type child struct {
	wire     *wire
	loop     atomic.Pointer[decode.Loop] // set before Ready is sent, and nothing is asked before that
	embedder atomic.Pointer[embedder]    // likewise

	mu    sync.Mutex
	box   []toParent                         // guarded by mu: what write has yet to send
	calls map[uint64]context.CancelCauseFunc // guarded by mu: how to end each call
	mail  chan struct{}                      // there is something in box

	parts map[uint64][]decode.Request // Submits whose parts are still coming; read's alone
	texts map[uint64][]string         // Embeds likewise
	adopt map[uint64]*toChild         // Adopts likewise
}

// post queues a message. It never blocks: it is called from the loop.
func (c *child) post(m toParent) {
	c.mu.Lock()
	if n := len(c.box); n > 0 && len(m.Events) > 0 && c.box[n-1].ID == m.ID && !c.box[n-1].Done {
		c.box[n-1].Events = append(c.box[n-1].Events, m.Events...)
	} else {
		c.box = append(c.box, m)
	}
	c.mu.Unlock()
	select {
	case c.mail <- struct{}{}:
	default:
	}
}

// write sends what is posted. It is the child's only sender.
func (c *child) write() {
	for range c.mail {
		c.mu.Lock()
		box := c.box
		c.box = nil
		c.mu.Unlock()
		for i := range box {
			if err := c.wire.send(&box[i]); err != nil {
				return // the reader sees the end of the socket and ends the process
			}
			if box[i].ID == 0 && box[i].Failed != nil {
				os.Exit(1) // the reason is with the parent
			}
		}
	}
}

// load brings the model up and says so, or says why not.
func (c *child) load(spec *Spec) {
	var last time.Time
	report := func(f float64) {
		if now := time.Now(); now.Sub(last) > 50*time.Millisecond || f >= 1 {
			last = now
			c.post(toParent{Progress: f})
		}
	}
	hashing := 0.0
	if spec.SHA256 != "" {
		hashing = 0.3 // of the time, roughly, with the file in memory
	}
	err := verify(context.Background(), spec.Path, spec.SHA256, func(f float64) { report(f * hashing) })
	lift, capErr := capMemory()
	if err == nil {
		err = capErr
	}
	var e *engine
	var info decode.Info
	if err == nil {
		defer lift()
		e, info, err = load(spec, func(f float64) { report(min(0.99, hashing+f*(1-hashing))) })
	}
	if err != nil {
		var failed *errs.Error
		if !errors.As(err, &failed) {
			failed = errs.New(errs.EngineUnavailable, "load", "the engine for %s cannot start: %v", spec.Path, err)
		}
		c.post(toParent{Failed: plain(failed)})
		return
	}
	c.embedder.Store(e.embedder)
	c.loop.Store(decode.NewLoop(e, e, e.options(info, spec)))
	c.post(toParent{Progress: 1})
	c.post(toParent{Ready: &info})
}

// read takes the parent's messages until the socket closes.
func (c *child) read() {
	for {
		var m toChild
		if err := c.wire.dec.Decode(&m); err != nil {
			return
		}
		switch {
		case m.Cancel:
			c.mu.Lock()
			cancel := c.calls[m.ID]
			c.mu.Unlock()
			if cancel != nil && m.Late {
				cancel(context.DeadlineExceeded)
			} else if cancel != nil {
				cancel(nil)
			}
		case m.Submit != nil:
			if reqs, whole := gather(c.parts, m.ID, m.Submit, m.More); whole {
				c.serve(m.ID, func(ctx context.Context) toParent { return c.submit(ctx, m.ID, reqs) })
			}
		case m.Embed != nil:
			if texts, whole := gather(c.texts, m.ID, m.Embed, m.More); whole {
				c.serve(m.ID, func(ctx context.Context) toParent { return c.embed(ctx, m.ID, texts) })
			}
		case m.Tokenize != nil:
			c.serve(m.ID, func(ctx context.Context) toParent { return c.tokenize(ctx, &m) })
		case m.Stats:
			stats := c.loop.Load().Stats()
			c.post(toParent{ID: m.ID, Stats: &stats, Done: true})
		case m.Prefixes:
			c.serve(m.ID, c.prefixes)
		case c.kept(&m):
		default:
			c.serve(m.ID, func(ctx context.Context) toParent { return c.detokenize(ctx, m.Detokenize) })
		}
	}
}

// gather adds a part of a call to those before it; whole says that it is the last.
func gather[T any](parts map[uint64][]T, id uint64, part []T, more bool) (all []T, whole bool) {
	all = append(parts[id], part...)
	if more {
		parts[id] = all
		return nil, false
	}
	delete(parts, id)
	return all, true
}

// serve runs a call that takes time in a goroutine of its own, which ends with
// the call; all end with the process.
func (c *child) serve(id uint64, run func(context.Context) toParent) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c.mu.Lock()
	c.calls[id] = cancel
	c.mu.Unlock()
	go func() {
		m := run(ctx)
		cancel(nil)
		c.mu.Lock()
		delete(c.calls, id)
		c.mu.Unlock()
		m.ID, m.Done = id, true
		c.post(m)
	}()
}

func (c *child) submit(ctx context.Context, id uint64, reqs []decode.Request) toParent {
	if c.loop.Load().Info().EmbedsOnly {
		return toParent{Failed: errs.New(errs.Unsupported, "generate",
			"the model is an encoder: it cannot continue a text; use embed(model, text), or another model")}
	}
	err := c.loop.Load().Submit(ctx, reqs, func(e decode.Event) {
		if e.Result != nil {
			e.Result.Err = plain(e.Result.Err)
		}
		c.post(toParent{ID: id, Events: []decode.Event{e}})
	})
	return toParent{Failed: coded(err)}
}

func (c *child) prefixes(ctx context.Context) toParent {
	list, err := c.loop.Load().Prefixes(ctx)
	return toParent{Prefixes: list, Failed: coded(err)}
}

func (c *child) embed(ctx context.Context, id uint64, texts []string) toParent {
	err := c.embedder.Load().embed(ctx, texts, func(v []Vector) { c.post(toParent{ID: id, Vectors: v}) })
	return toParent{Failed: coded(err)}
}

func (c *child) tokenize(ctx context.Context, m *toChild) toParent {
	out := make([][]decode.Token, len(m.Tokenize))
	for i, segs := range m.Tokenize {
		if ctx.Err() != nil {
			return toParent{Failed: errs.New(errs.Cancelled, "tokenize", "the request was cancelled")}
		}
		var t []decode.Token
		var err error
		if m.Whole {
			t, err = c.embedder.Load().model.TokenizeWhole(segs[0].Text)
		} else {
			t, err = c.loop.Load().Tokenize(segs, m.AddBOS)
		}
		if err != nil {
			return toParent{Failed: coded(err)}
		}
		out[i] = t
	}
	return toParent{Tokens: out}
}

func (c *child) detokenize(ctx context.Context, lists [][]decode.Token) toParent {
	out := make([]string, len(lists))
	spaces := c.embedder.Load().model.SpaceInFront()
	for i, tokens := range lists {
		if ctx.Err() != nil {
			return toParent{Failed: errs.New(errs.Cancelled, "detokenize", "the request was cancelled")}
		}
		out[i] = c.loop.Load().Detokenize(tokens, true)
		if spaces {
			out[i] = strings.TrimPrefix(out[i], " ")
		}
	}
	return toParent{Texts: out}
}

// coded is err as it can travel.
func coded(err error) *errs.Error {
	if err == nil {
		return nil
	}
	var e *errs.Error
	if errors.As(err, &e) {
		return plain(e)
	}
	return errs.New(errs.CodeOf(err), "engine", "%v", err)
}
