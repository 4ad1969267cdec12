package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// Spec says which model to run and how. Zero fields but Path take defaults:
// the trained context or 4096 tokens, 32 slots, all cores, 512 tokens a batch,
// 256 MiB of prefixes.
type Spec struct {
	Path          string // GGUF file
	SHA256        string // hex; checked before loading unless ""
	ContextLength int    // tokens per slot
	Slots         int    // sequences side by side, 1..256
	Threads       int    // compute threads
	BatchSize     int    // tokens per decode call
	GPULayers     int    // layers on the accelerator, -1 all
	PrefixBytes   int64  // memory for prefixes that rows share, -1 none
}

func (s *Spec) prefixBytes() int64 {
	if s.PrefixBytes == 0 {
		return DefaultPrefixBytes
	}
	return max(0, s.PrefixBytes)
}

// Options say how to start the process.
type Options struct {
	Exe      string   // "": this executable
	Args     []string // nil: {"worker"}
	Env      []string // added to this process's environment
	Logger   *slog.Logger
	Progress func(fraction float64) // loading, 0..1; may be nil, must not block
}

// Process is a running engine. Its methods are safe for concurrent use.
type Process struct {
	spec   Spec
	log    *slog.Logger
	cmd    *exec.Cmd
	wire   *wire
	stderr *tail

	ready    chan error    // one value: loading's outcome
	readDone chan struct{} // read returned
	done     chan struct{} // the process has ended and err is set

	mu      sync.Mutex
	info    decode.Info            // guarded by mu
	calls   map[uint64]*mailbox    // guarded by mu; nil once the process has ended
	serial  uint64                 // guarded by mu
	err     error                  // guarded by mu
	closing bool                   // guarded by mu: Close was called
	report  func(fraction float64) // read's alone
}

// Start runs a child process and returns when its model is ready. ctx bounds
// the loading only. Errors carry a code and name the file; the child is gone
// by then.
func Start(ctx context.Context, spec Spec, o Options) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, errs.Wrap(err, errs.CodeOf(err), "load", "loading was given up")
	}
	p, err := spawn(spec, o)
	if err != nil {
		return nil, errs.Wrap(err, errs.EngineUnavailable, "load", "the engine process for %s cannot be started", spec.Path)
	}
	if err := p.begin(ctx, &toChild{Spec: &spec}, p.loadingDied); err != nil {
		return nil, err
	}
	return p, nil
}

// begin sends the first message and waits until the child is ready. After an
// error the child is gone. died says why it ended without a word.
func (p *Process) begin(ctx context.Context, first *toChild, died func() error) (err error) {
	if err := p.wire.send(first); err != nil {
		p.log.Debug("specification not sent", "error", err) // the child's end says more
	}
	select {
	case err = <-p.ready:
	case <-p.done:
		select {
		case err = <-p.ready: // it said why before it ended
		default:
			err = died()
		}
	case <-ctx.Done():
		err = errs.Wrap(ctx.Err(), errs.CodeOf(ctx.Err()), "load", "loading %s was given up", filepath.Base(p.spec.Path))
	}
	if err != nil {
		p.mu.Lock()
		p.closing = true
		p.mu.Unlock()
		p.kill()
	}
	return err
}

// spawn starts the child and the goroutines that belong to it.
func spawn(spec Spec, o Options) (*Process, error) {
	if o.Exe == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, err
		}
		o.Exe = exe
	}
	if o.Args == nil {
		o.Args = []string{"worker"}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	p := &Process{
		spec: spec, log: o.Logger, wire: newWire(ours), stderr: &tail{}, report: o.Progress,
		ready: make(chan error, 1), readDone: make(chan struct{}), done: make(chan struct{}),
		calls: map[uint64]*mailbox{},
	}
	p.cmd = exec.Command(o.Exe, o.Args...) // its life is bound to the socket, not to a context
	p.cmd.Env = append(append(childDefaults(), os.Environ()...), o.Env...)
	p.cmd.ExtraFiles = []*os.File{theirs} // becomes socketFD
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		ours.Close()
		return nil, err
	}
	go p.read()
	go p.wait()
	return p, nil
}

// childDefaults are variables that the environment may override.
//
// GOMP_SPINCOUNT is how long compute threads spin at a barrier before they
// sleep. A thread that spins while its peer has lost its core to DuckDB or Go
// makes both slower; one that sleeps at once pays a wake-up per barrier, several
// hundred per token. 1000 rounds, some ten microseconds, costs neither.
func childDefaults() []string {
	return []string{"GOMP_SPINCOUNT=1000"}
}

// read takes the child's messages until the socket closes.
func (p *Process) read() {
	defer close(p.readDone)
	for {
		var m toParent
		if err := p.wire.dec.Decode(&m); err != nil {
			p.end() // it is ending by itself, unless what it sent made no sense
			return
		}
		switch {
		case m.ID != 0:
			p.mu.Lock()
			box := p.calls[m.ID]
			p.mu.Unlock()
			if box != nil {
				box.put(m)
			}
		case m.Failed != nil:
			p.ready <- m.Failed
		case m.Ready != nil:
			p.mu.Lock()
			p.info = *m.Ready
			p.mu.Unlock()
			p.ready <- nil
		case p.report != nil:
			p.report(m.Progress)
		}
	}
}

// wait sets the process's error once both it and its messages have ended.
func (p *Process) wait() {
	state := p.cmd.Wait()
	<-p.readDone // what it said before it died counts
	p.wire.conn.Close()
	p.mu.Lock()
	if p.closing {
		p.err = errs.New(errs.EngineUnavailable, "engine", "the model %s was unloaded", filepath.Base(p.spec.Path))
	} else {
		p.err = errs.New(errs.EngineDied, "engine", "the engine process of %s ended while in use (%s)%s",
			filepath.Base(p.spec.Path), describe(state, p.cmd.ProcessState), p.stderr.suffix())
		p.log.Warn("engine process ended", "pid", p.cmd.Process.Pid, "model_file", p.spec.Path, "state", describe(state, p.cmd.ProcessState))
	}
	calls := p.calls
	p.calls = nil
	p.mu.Unlock()
	close(p.done)
	for _, box := range calls {
		box.put(toParent{Done: true, Failed: coded(p.err)})
	}
}

func describe(err error, state *os.ProcessState) string {
	if state != nil {
		return state.String()
	}
	return fmt.Sprint(err)
}

// loadingDied says why a child that told nothing ended while it loaded.
func (p *Process) loadingDied() error {
	how := describe(nil, p.cmd.ProcessState)
	code, remedy := errs.EngineUnavailable, "see the log"
	switch {
	case strings.Contains(how, "killed"):
		code, remedy = errs.OutOfMemory, "the system ends processes that take too much memory: lower context_length or slots, or free memory"
	case strings.Contains(how, "signal:"):
		code, remedy = errs.InvalidModelFile, "the file is damaged, or of a kind this engine does not know"
	}
	return errs.New(code, "load", "the engine process ended while it loaded %s (%s)%s; %s", p.spec.Path, how, p.stderr.suffix(), remedy)
}

// Info describes the loaded model.
func (p *Process) Info() decode.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.info
}

// PID is the child's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// ResidentBytes is the memory the child occupies now, mapped weights included;
// 0 where the system does not tell (no /proc) or the child has ended.
func (p *Process) ResidentBytes() int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// Done is closed when the process has ended; Err says why from then on.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is nil while the process lives, errs.EngineDied when it ended by itself
// and errs.EngineUnavailable after Close.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close ends the process and waits for it. Calls in progress return an error.
func (p *Process) Close() error {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	if err := p.wire.hangUp(); err != nil && !errors.Is(err, os.ErrClosed) {
		p.log.Debug("socket not closed", "error", err)
	}
	select {
	case <-p.done:
	case <-time.After(5 * time.Second): // stopped, or deep in the kernel
		p.kill()
	}
	return nil
}

// kill ends the process without asking and waits for it.
func (p *Process) kill() {
	p.end()
	<-p.done
}

func (p *Process) end() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.log.Error("engine process not killed", "pid", p.PID(), "error", err)
	}
}
