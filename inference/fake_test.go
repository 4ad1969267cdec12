package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/worker"
)

// registry is a fixed set of models and adapters.
type registry struct {
	mu       sync.Mutex
	models   map[string]Model
	adapters map[string]Adapter
	first    string
}

func (r *registry) Model(name string) (Model, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name == "" {
		name = r.first
	}
	m, ok := r.models[name]
	if !ok {
		return m, errs.New(errs.ModelNotFound, "test", "no model %q; the nearest is %q", name, r.first)
	}
	return m, nil
}

func (r *registry) Adapter(model, name string) (Adapter, error) {
	a, ok := r.adapters[name]
	if !ok || a.Model != model {
		return a, errs.New(errs.AdapterNotFound, "test", "model %q has no adapter %q", model, name)
	}
	return a, nil
}

func (r *registry) set(m Model) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.models[m.Name] = m
}

// host starts fake processes. Its funcs may be set before the engine works.
type host struct {
	info   decode.Info
	starts atomic.Int32
	// starting may fail or delay the n-th start, counted from 1.
	starting func(ctx context.Context, n int, spec worker.Spec, progress func(float64)) error
	// answering may make process n die before it answers its i-th request.
	answering func(ctx context.Context, n, i int, req decode.Request) (die bool)
	// reply is what is said; nil: the prompt in upper case.
	reply func(decode.Request) string

	// keeps is what process n keeps of dialogues; nil: nothing.
	keeps func(p *process) []decode.Dialogue

	mu        sync.Mutex
	adopted   []decode.Dialogue
	forgotten []string
	specs     []worker.Spec
	processes []*process
	requests  []decode.Request // as submitted
	batches   []int            // their number per Submit
	embedded  [][]string       // texts per Embed
}

func (h *host) Start(ctx context.Context, spec worker.Spec, progress func(float64)) (Process, error) {
	n := int(h.starts.Add(1))
	if h.starting != nil {
		if err := h.starting(ctx, n, spec, progress); err != nil {
			return nil, err
		}
	}
	p := &process{host: h, n: n, spec: spec, done: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.specs = append(h.specs, spec)
	h.processes = append(h.processes, p)
	return p, nil
}

func (h *host) last() *process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.processes[len(h.processes)-1]
}

func (h *host) alive() (paths []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.processes {
		select {
		case <-p.done:
		default:
			paths = append(paths, p.spec.Path)
		}
	}
	return paths
}

func (h *host) seen() []decode.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]decode.Request(nil), h.requests...)
}

// process is a model whose tokens are words.
type process struct {
	host   *host
	n      int
	spec   worker.Spec
	served atomic.Int32
	once   sync.Once
	done   chan struct{}
	err    error // set before done is closed
}

func (p *process) end(err error) {
	p.once.Do(func() {
		p.err = err
		close(p.done)
	})
}

func (p *process) die() {
	p.end(errs.New(errs.EngineDied, "test", "the engine process ended: signal: killed"))
}

func (p *process) Submit(ctx context.Context, reqs []decode.Request, sink func(decode.Event)) error {
	p.host.mu.Lock()
	p.host.requests = append(p.host.requests, reqs...)
	p.host.batches = append(p.host.batches, len(reqs))
	p.host.mu.Unlock()
	for i, r := range reqs {
		if p.host.answering != nil && p.host.answering(ctx, p.n, int(p.served.Add(1)), r) {
			p.die()
		}
		select {
		case <-p.done:
			return p.err
		default:
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !p.answer(i, r, sink) {
			<-p.done
			return p.err
		}
	}
	return nil
}

// answer says the reply word by word. A reply that holds "†" dies there.
func (p *process) answer(i int, r decode.Request, sink func(decode.Event)) bool {
	var text string
	for _, s := range r.Prompt {
		text += s.Text
	}
	if r.Continuations != nil {
		sink(decode.Event{Index: i, Token: -1, Result: score(r)})
		return true
	}
	reply := strings.ToUpper(text)
	if p.host.reply != nil {
		reply = p.host.reply(r)
	}
	reply, dies := strings.CutSuffix(reply, "†")
	words := strings.SplitAfter(reply, " ")
	if r.Stream {
		for seq, w := range words {
			sink(decode.Event{Index: i, Seq: seq, Text: w, Token: int32(seq)})
		}
	}
	if dies && p.n == 1 {
		p.die()
		return false
	}
	sink(decode.Event{Index: i, Seq: len(words), Token: -1, Result: &decode.Result{
		Text: reply, FinishReason: decode.FinishStop, PromptTokens: len(text), CompletionTokens: len(words),
	}})
	return true
}

// score makes a continuation the less likely the longer it is.
func score(r decode.Request) *decode.Result {
	out := &decode.Result{PromptTokens: 3}
	for _, c := range r.Continuations {
		out.Scores = append(out.Scores, -float64(len(c)))
		out.ScoreTokens = append(out.ScoreTokens, len(c))
	}
	return out
}

// Embed gives a text's length and first byte; "long" is too long, and a text that
// ends in "†" is the first process's last.
func (p *process) Embed(ctx context.Context, texts []string, sink func(worker.Vector)) error {
	p.host.mu.Lock()
	p.host.embedded = append(p.host.embedded, texts)
	p.host.mu.Unlock()
	for i, t := range slices.Backward(texts) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case strings.HasSuffix(t, "†") && (p.n == 1 || strings.HasSuffix(t, "††")):
			p.die()
			return p.err
		case t == "long":
			sink(worker.Vector{Index: i, Tokens: 9, Err: errs.New(errs.ContextOverflow, "test", "too long")})
		default:
			sink(worker.Vector{Index: i, Values: []float32{float32(len(t)), float32((t + "\x00")[0])}, Tokens: 2})
		}
	}
	return nil
}

func (p *process) Tokenize(_ context.Context, texts [][]decode.Segment, _ bool) ([][]decode.Token, error) {
	if p.host.answering != nil && p.host.answering(context.Background(), p.n, int(p.served.Add(1)), decode.Request{}) {
		p.die()
		return nil, p.err
	}
	out := make([][]decode.Token, len(texts))
	for i, segments := range texts {
		for _, s := range segments {
			for _, b := range []byte(s.Text) {
				out[i] = append(out[i], decode.Token(b))
			}
		}
	}
	return out, nil
}

// TokenizeWhole puts a token on either side of a text's bytes.
func (p *process) TokenizeWhole(ctx context.Context, texts []string) ([][]decode.Token, error) {
	segments := make([][]decode.Segment, len(texts))
	for i, t := range texts {
		segments[i] = []decode.Segment{{Text: "^" + t + "$"}}
	}
	return p.Tokenize(ctx, segments, false)
}

func (p *process) Detokenize(_ context.Context, lists [][]decode.Token) ([]string, error) {
	out := make([]string, len(lists))
	for i, tokens := range lists {
		for _, t := range tokens {
			out[i] += string(rune(t))
		}
	}
	return out, nil
}

func (p *process) Info() decode.Info { return p.host.info }
func (p *process) Stats(context.Context) (decode.Stats, error) {
	return decode.Stats{Steps: 7, Queued: 2}, nil
}
func (p *process) Prefixes(context.Context) ([]decode.Prefix, error) {
	return []decode.Prefix{{Text: fmt.Sprint("kept by ", p.PID()), Tokens: 40}}, nil
}
func (p *process) Dialogues(context.Context) ([]decode.Dialogue, error) {
	if p.host.keeps == nil {
		return nil, nil
	}
	return p.host.keeps(p), nil
}
func (p *process) Dialogue(ctx context.Context, name string) (decode.Dialogue, []byte, error) {
	list, err := p.Dialogues(ctx)
	for _, d := range list {
		if d.Name == name {
			return d, []byte("state of " + name), err
		}
	}
	return decode.Dialogue{}, nil, errs.New(errs.NotFound, "test", "nothing is kept")
}
func (p *process) Adopt(_ context.Context, d decode.Dialogue, _ []byte) error {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	p.host.adopted = append(p.host.adopted, d)
	return nil
}
func (p *process) Forget(_ context.Context, names []string) error {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	p.host.forgotten = append(p.host.forgotten, names...)
	return nil
}
func (p *process) PID() int              { return 1000 + p.n }
func (p *process) ResidentBytes() int64  { return 5 << 20 }
func (p *process) Done() <-chan struct{} { return p.done }
func (p *process) Err() error            { return p.err }
func (p *process) Close() error {
	p.end(errs.New(errs.EngineUnavailable, "test", "the engine process was closed"))
	return nil
}

// engine makes an engine with models a, b and c of 100 MB each.
func engine(t *testing.T, h *host, change ...func(*Config)) (*Engine, *registry) {
	t.Helper()
	reg := &registry{first: "a", models: map[string]Model{}, adapters: map[string]Adapter{
		"polite": {Name: "polite", Model: "a", Scale: 2, Parts: []AdapterPart{{"polite", "/adapters/polite", "p", 1}}},
		"terse":  {Name: "terse", Model: "a", Scale: 1, Parts: []AdapterPart{{"terse", "/adapters/terse", "t", 1}}},
		"blend": {Name: "blend", Model: "a", Scale: 0.5, Parts: []AdapterPart{
			{"blend/polite", "/adapters/polite", "p", 1.5}, {"blend/old", "/adapters/old", "o", 1}}},
	}}
	for _, n := range []string{"a", "b", "c"} {
		reg.models[n] = Model{Name: n, Path: "/models/" + n, SHA256: n, Memory: 100 << 20}
	}
	h.info.Slots, h.info.Vocabulary = max(h.info.Slots, 4), 256
	cfg := Config{Registry: reg, Runtime: h}
	for _, c := range change {
		c(&cfg)
	}
	e := New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if left := h.alive(); len(left) > 0 {
			t.Errorf("processes left: %v", left)
		}
	})
	return e, reg
}

// collect runs Generate and puts completions in order.
func collect(e *Engine, ctx context.Context, reqs []Request) ([]Completion, error) {
	out := make([]Completion, len(reqs))
	calls := make([]int, len(reqs))
	err := e.Generate(ctx, reqs, func(i int, c Completion) {
		calls[i]++
		out[i] = c
	})
	for i, n := range calls {
		if n > 1 || n == 0 && err == nil {
			return out, errors.Join(err, fmt.Errorf("request %d was done %d times", i, n))
		}
	}
	return out, err
}

func prompts(model string, texts ...string) []Request {
	out := make([]Request, len(texts))
	for i, t := range texts {
		out[i] = Request{Model: model, Prompt: t}
	}
	return out
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within 5 s: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
