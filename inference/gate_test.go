package inference

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// counter is a Gate that lets rows through up to a number, and notes what it was told.
type counter struct {
	mu     sync.Mutex
	most   int // rows; 0: any number
	rows   int
	told   []string
	loaded func() int // processes started, when rows were told
}

func (c *counter) Rows(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows += n
	at := ""
	if c.loaded() == 0 {
		at = " before a load"
	}
	c.told = append(c.told, fmt.Sprintf("%d rows%s", n, at))
	if c.most > 0 && c.rows > c.most {
		return errs.New(errs.BudgetExceeded, "test", "too many")
	}
	return nil
}

func (c *counter) Work(w Work) error {
	n, err := w.Prompts()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, fmt.Sprintf("%s: %d tokens, %d write", w.Model, n, w.Write))
	return err
}

func gated(t *testing.T, h *host, most int) (context.Context, *counter) {
	c := &counter{most: most, loaded: func() int { return int(h.starts.Load()) }}
	return WithGate(t.Context(), c), c
}

func TestGateIsTold(t *testing.T) {
	m := &memory{entries: map[CacheKey][]byte{}}
	score := Request{Model: "a", Prompt: "four", Continuations: []string{"x"}}
	for name, c := range map[string]struct {
		before []Request // answered first, without a gate
		reqs   []Request
		want   string
	}{
		"equal ones are one":     {reqs: prompts("a", "one", "two", "one"), want: "[2 rows before a load a: 6 tokens, 2 write]"},
		"what is scored":         {reqs: []Request{score, {Model: "a", Prompt: "x"}}, want: "[2 rows before a load a: 5 tokens, 1 write]"},
		"some are in the cache":  {before: persistent("k1", "k2"), reqs: persistent("k1", "k2", "new"), want: "[1 rows a: 3 tokens, 1 write]"},
		"all are in the cache":   {before: persistent("k1", "k2"), reqs: persistent("k1", "k2"), want: "[]"},
		"the cache has no place": {reqs: append(prompts("a", "plain"), persistent("kept")...), want: "[1 rows before a load 1 rows a: 9 tokens, 2 write]"},
	} {
		h := &host{}
		clear(m.entries)
		e, _ := engine(t, h, withCache(m))
		if _, err := collect(e, t.Context(), c.before); err != nil {
			t.Fatal(err)
		}
		ctx, gate := gated(t, h, 0)
		if _, err := collect(e, ctx, c.reqs); err != nil || fmt.Sprint(gate.told) != c.want {
			t.Errorf("%s: %v %v, want %s", name, err, gate.told, c.want)
		}
	}
}

// TestGateRefuses: neither is a model loaded for rows that are too many, nor does
// its process get any.
func TestGateRefuses(t *testing.T) {
	for name, ask := range map[string]func(*Engine, context.Context) error{
		"generate": func(e *Engine, ctx context.Context) error {
			_, err := collect(e, ctx, append(prompts("a", "1", "2"), prompts("b", "1")...))
			return err
		},
		"embed": func(e *Engine, ctx context.Context) error {
			return e.Embed(ctx, "a", []string{"1", "2", "3", "1"}, func(int, Embedding) {})
		},
	} {
		h := &host{}
		e, _ := engine(t, h)
		ctx, _ := gated(t, h, 2)
		if err := ask(e, ctx); errs.CodeOf(err) != errs.BudgetExceeded || h.starts.Load() != 0 {
			t.Errorf("%s: %v; %d processes started", name, err, h.starts.Load())
		}
		ctx, gate := gated(t, h, 3)
		if err := ask(e, ctx); err != nil || gate.rows != 3 {
			t.Errorf("%s: %v %v", name, err, gate.told)
		}
	}
	h := &host{}
	e, _ := engine(t, h)
	ctx, gate := gated(t, h, 1)
	for i, want := range []errs.Code{"", errs.BudgetExceeded} {
		if err := e.Stream(ctx, prompts("a", "x")[0], func(Chunk) error { return nil }); errs.CodeOf(err) != want || len(h.seen()) != 1 {
			t.Errorf("stream %d: %v %v", i, err, gate.told)
		}
	}
}

// TestGateIsToldOnce: rows that are tried again on a new process count once.
func TestGateIsToldOnce(t *testing.T) {
	h := &host{reply: func(decode.Request) string { return "x†" }}
	e, _ := engine(t, h)
	ctx, gate := gated(t, h, 0)
	if _, err := collect(e, ctx, prompts("a", "1", "2")); err != nil {
		t.Fatal(err)
	}
	if err := e.Embed(ctx, "b", []string{"3†"}, func(int, Embedding) {}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(gate.told), "[2 rows before a load a: 2 tokens, 2 write 1 rows b: 6 tokens, 0 write]"; got != want || h.starts.Load() < 2 {
		t.Errorf("%s, want %s; %d starts", got, want, h.starts.Load())
	}
}
