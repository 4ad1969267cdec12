package inference

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// counted asks Count, and puts what it says in a line per request.
func counted(t *testing.T, e *Engine, reqs []Request) []string {
	t.Helper()
	out := make([]string, len(reqs))
	err := e.Count(t.Context(), reqs, func(i int, c Counted) {
		if out[i] != "" {
			t.Errorf("request %d was counted twice", i)
		}
		out[i] = strings.TrimSpace(fmt.Sprintln(len(c.Tokens), c.Most, c.Cached, errs.CodeOf(errorOf(c.Err))))
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func errorOf(e *errs.Error) error {
	if e == nil {
		return nil
	}
	return e
}

func TestCount(t *testing.T) {
	h, m := &host{info: decode.Info{ContextLength: 20}}, &memory{entries: map[CacheKey][]byte{}}
	e, _ := engine(t, h, withCache(m))
	if _, err := collect(e, t.Context(), persistent("kept")); err != nil {
		t.Fatal(err)
	}
	reqs := append(persistent("kept", "new", "new"), prompts("b", "other", "", "this is more than twenty tokens")...)
	reqs = append(reqs,
		Request{Model: "a", Prompt: "score", Continuations: []string{"x"}},
		Request{Model: "a", Prompt: "short", Params: decode.Params{MaxTokens: 3}},
		Request{Model: "a", Prompt: "wrong", Timeout: -1},
		Request{Model: "a", Prompt: "adapter", Adapters: []AdapterUse{{"nobody", 1}}})
	want := "[4 16 true 3 17 false 3 17 true 5 15 false 1 19 false 0 0 false CONTEXT_OVERFLOW 5 0 false 5 3 false 0 0 false INVALID_ARGUMENT 0 0 false ADAPTER_NOT_FOUND]"
	if got := fmt.Sprint(counted(t, e, reqs)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if n := len(h.seen()); n != 1 {
		t.Errorf("%d requests reached a process, want that of before", n)
	}
	if err := e.Count(t.Context(), prompts("zz", "x"), nil); errs.CodeOf(err) != errs.ModelNotFound {
		t.Error(err)
	}
	var texts []int
	if err := e.CountTexts(t.Context(), "c", []string{"one", ""}, func(_ int, c Counted) { texts = append(texts, len(c.Tokens)) }); err != nil || fmt.Sprint(texts) != "[5 2]" {
		t.Error(texts, err)
	}
}

func TestCountOutlivesAProcess(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	died := false
	h.answering = func(context.Context, int, int, decode.Request) bool {
		first := !died
		died = true
		return first
	}
	if got := fmt.Sprint(counted(t, e, prompts("a", "one", "three"))); got != "[3 256 false 5 256 false]" || h.starts.Load() != 2 {
		t.Errorf("%s; %d starts", got, h.starts.Load())
	}
}

func TestShared(t *testing.T) {
	words := func(texts ...string) (out [][]decode.Token) {
		for _, t := range texts {
			var tokens []decode.Token
			for _, r := range t {
				tokens = append(tokens, r)
			}
			out = append(out, tokens)
		}
		return out
	}
	for _, c := range []struct {
		prompts [][]decode.Token
		want    int
	}{
		{nil, 0},
		{words("abc"), 0},
		{words("abc", "xyz"), 0},
		{words("abcx", "abcy", "abcz"), 6},
		{words("same", "same"), 3}, // the last token is each request's own
		{words("ab", "abcd"), 2},
		{words("group1 a", "group1 b", "group2 a", "group2 b"), 7 + 5 + 7},
	} {
		if got := Shared(c.prompts); got != c.want {
			t.Errorf("%v: %d, want %d", c.prompts, got, c.want)
		}
	}
}
