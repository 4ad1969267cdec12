package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

func budget200(c *Config) {
	c.MemoryBudget = 200 << 20
	c.AdmissionWait = 50 * time.Millisecond
}

func loadAll(t *testing.T, e *Engine, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := e.Load(t.Context(), n, nil); err != nil {
			t.Fatalf("load %s: %v", n, err)
		}
	}
}

func TestLeastRecentlyUsedIsUnloaded(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h, budget200)
	loadAll(t, e, "a", "b", "a", "c")
	if got := h.alive(); !slices.Equal(got, []string{"/models/a", "/models/c"}) {
		t.Errorf("alive %v", got)
	}
	if e.Ready("b") != StateUnloaded {
		t.Errorf("b is %s", e.Ready("b"))
	}
}

func TestPinnedStays(t *testing.T) {
	h := &host{}
	e, reg := engine(t, h, budget200)
	if err := e.Pin("a"); err != nil {
		t.Fatal(err)
	}
	loadAll(t, e, "a", "b")
	b := reg.models["b"] // pinned after it was loaded
	b.Pinned = true
	reg.set(b)
	err := e.Load(t.Context(), "c", nil)
	if errs.CodeOf(err) != errs.OutOfMemory {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{`"c" needs about 100 MB`, "budget is 200 MB", "a 100 MB (pinned), b 100 MB (pinned)", "unpin"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if err := e.Unpin("a"); err != nil {
		t.Fatal(err)
	}
	loadAll(t, e, "c")
	if got := h.alive(); !slices.Equal(got, []string{"/models/b", "/models/c"}) {
		t.Errorf("alive %v", got)
	}
	if err := e.Pin("nothing"); errs.CodeOf(err) != errs.ModelNotFound {
		t.Errorf("pin of nothing: %v", err)
	}
}

func TestAModelBeyondTheBudget(t *testing.T) {
	e, _ := engine(t, &host{}, func(c *Config) { c.MemoryBudget = 50 << 20 })
	err := e.Load(t.Context(), "a", nil)
	if errs.CodeOf(err) != errs.OutOfMemory || !strings.Contains(err.Error(), "nothing else is loaded") {
		t.Errorf("%v", err)
	}
}

// held makes requests on a model that last until let is closed.
func held(t *testing.T, e *Engine, h *host, model string) (let chan struct{}, ended chan error) {
	t.Helper()
	let, ended = make(chan struct{}), make(chan error, 1)
	at := make(chan struct{}, 1)
	h.answering = func(ctx context.Context, _, _ int, r decode.Request) bool {
		if r.Prompt != nil && r.Prompt[0].Text == "held" {
			at <- struct{}{}
			select {
			case <-let:
			case <-ctx.Done():
			}
		}
		return false
	}
	go func() {
		_, err := collect(e, context.Background(), prompts(model, "held"))
		ended <- err
	}()
	<-at
	return let, ended
}

func TestBusyModelsAreWaitedFor(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h, func(c *Config) { c.MemoryBudget = 100 << 20; c.AdmissionWait = 100 * time.Millisecond })
	let, ended := held(t, e, h, "a")
	if err := e.Load(t.Context(), "b", nil); errs.CodeOf(err) != errs.OutOfMemory || !strings.Contains(err.Error(), "a 100 MB (busy)") {
		t.Errorf("beside a busy model: %v", err)
	}
	time.AfterFunc(20*time.Millisecond, func() { close(let) })
	loadAll(t, e, "b")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestModelsThatDoNotFitTogetherTakeTurns(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h, func(c *Config) { c.MemoryBudget = 100 << 20; c.AdmissionWait = time.Millisecond })
	h.answering = func(context.Context, int, int, decode.Request) bool {
		time.Sleep(20 * time.Millisecond)
		return false
	}
	reqs := slices.Concat(prompts("a", "1", "2"), prompts("b", "3", "4"), prompts("c", "5"))
	got, err := collect(e, t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got {
		if c.Text != fmt.Sprint(i+1) {
			t.Errorf("%d: %+v", i, c)
		}
	}
}

func TestIdleModelsAreUnloaded(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h, func(c *Config) { c.IdleTimeout = 30 * time.Millisecond })
	if err := e.Pin("b"); err != nil {
		t.Fatal(err)
	}
	loadAll(t, e, "a", "b")
	eventually(t, "a is unloaded", func() bool { return e.Ready("a") == StateUnloaded && len(h.alive()) == 1 })
	if e.Ready("b") != StateReady {
		t.Error("a pinned model was unloaded")
	}
	loadAll(t, e, "a")
}

func TestUnload(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	if err := e.Unload(t.Context(), "a"); err != nil {
		t.Errorf("what is not loaded: %v", err)
	}
	if err := e.Unload(t.Context(), "nothing"); errs.CodeOf(err) != errs.ModelNotFound {
		t.Errorf("what does not exist: %v", err)
	}
	let, ended := held(t, e, h, "a")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := e.Unload(ctx, "a"); errs.CodeOf(err) != errs.Timeout || !strings.Contains(err.Error(), "busy and stays loaded") {
		t.Errorf("while busy: %v", err)
	}
	unloaded := make(chan error, 1)
	go func() { unloaded <- e.Unload(context.Background(), "a") }()
	eventually(t, "unload drains", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.residents["a"].draining != nil
	})
	late := make(chan error, 1)
	go func() {
		_, err := collect(e, context.Background(), prompts("a", "late"))
		late <- err
	}()
	close(let)
	for what, ch := range map[string]chan error{"the running statement": ended, "unload": unloaded, "the late statement": late} {
		if err := <-ch; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := h.starts.Load(); n != 2 {
		t.Errorf("%d starts; the late statement must have loaded the model again", n)
	}
}

func TestAReplacedModel(t *testing.T) {
	h := &host{}
	e, reg := engine(t, h)
	let, ended := held(t, e, h, "a")
	reg.set(Model{Name: "a", Path: "/models/a2", SHA256: "a2", Memory: 1})
	if _, err := collect(e, t.Context(), prompts("a", "new")); err != nil {
		t.Fatal(err)
	}
	if got := h.alive(); !slices.Equal(got, []string{"/models/a", "/models/a2"}) {
		t.Errorf("alive %v", got)
	}
	close(let)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	eventually(t, "the replaced process ends", func() bool { return slices.Equal(h.alive(), []string{"/models/a2"}) })
}

func TestStatus(t *testing.T) {
	h := &host{}
	e, reg := engine(t, h)
	loadAll(t, e, "b", "a")
	s := e.Status()
	if len(s) != 2 || s[0].Model != "a" || s[1].Model != "b" {
		t.Fatalf("%+v", s)
	}
	if s[0].State != StateReady || s[0].PID != 1002 || s[0].Bytes != 5<<20 || s[0].Slots != 4 || s[0].Queued != 2 ||
		s[0].LoadedAt.IsZero() || s[0].IdleSince.IsZero() || s[0].Stats.Steps != 7 {
		t.Errorf("%+v", s[0])
	}
	if p := e.Prefixes(); len(p) != 2 || p[0].Model != "a" || p[0].Text != "kept by 1002" || p[1].Model != "b" || p[1].Tokens != 40 {
		t.Errorf("prefixes: %+v", p)
	}
	if err := e.Unload(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if p := e.Prefixes(); len(p) != 1 || p[0].Model != "a" {
		t.Errorf("prefixes: %+v", p)
	}
	if s := e.Status(); len(s) != 2 || s[1].State != StateUnloaded || s[1].PID != 0 {
		t.Errorf("%+v", s)
	}
	delete(reg.models, "b")
	if s := e.Status(); len(s) != 1 {
		t.Errorf("a dropped model is listed: %+v", s)
	}
}

func TestClose(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	let, ended := held(t, e, h, "a")
	defer close(let)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	// The fake's Submit sees its process end only once it is let go.
	go func() {
		<-ctx.Done()
		eventually(t, "the process is closed", func() bool { return len(h.alive()) == 0 })
	}()
	if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close of a busy engine: %v", err)
	}
	if len(h.alive()) != 0 {
		t.Error("a process outlives the engine")
	}
	_, err := collect(e, t.Context(), prompts("a", "x"))
	if errs.CodeOf(err) != errs.EngineUnavailable {
		t.Errorf("after close: %v", err)
	}
	select {
	case err := <-ended:
		t.Errorf("the held statement ended by itself: %v", err)
	default:
	}
}
