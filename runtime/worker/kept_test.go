package worker

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// turn says what comes next in a dialogue, with its tokens' log probability.
func turn(t *testing.T, p *Process, name, said string, adapters []decode.Adapter) *decode.Result {
	t.Helper()
	r := prompt(said, 12)
	r.Keep, r.Adapters, r.Logprobs, r.Params.IgnoreEOS = name, adapters, true, true
	rs, err := results(t.Context(), p, []decode.Request{r})
	if err != nil {
		t.Fatal(err)
	}
	if rs[0].Err != nil {
		t.Fatal(rs[0].Err)
	}
	return rs[0]
}

// move takes a dialogue from one process to another.
func move(t *testing.T, name string, from, to *Process) (bytes int) {
	t.Helper()
	d, state, err := from.Dialogue(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Adopt(t.Context(), d, state); err != nil {
		t.Fatal(err)
	}
	return len(state)
}

// A dialogue that a new process takes over goes on as in the old one, to the bit, in
// the midst of others, with an adapter and without, below and beyond the sliding window.
func TestDialogueInANewProcess(t *testing.T) {
	lora, err := filepath.Abs("../../testdata/tiny-lora.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		adapters   []decode.Adapter
		words      int
	}{
		{"tiny", "../../testdata/tiny.gguf", nil, 20},
		{"adapter", "../../testdata/tiny.gguf", []decode.Adapter{{Path: lora, Scale: 0.5}}, 20},
		{"toy", "../../testdata/toy.gguf", nil, 10},
		{"gemma", model(t), nil, 10},
		{"gemma beyond its window", model(t), nil, 90},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := Spec{Path: c.path, ContextLength: 1024, Slots: 4, Threads: 1}
			old, fresh := start(t, spec), start(t, spec)
			said := strings.Repeat("The ships sail over the sea at night. ", c.words)
			first := turn(t, old, "s", said, c.adapters)
			said += first.Text + " And in the morning"
			turn(t, fresh, "other", "Somebody else has said something before, which is long enough to be kept as well as this, and it is.", nil)
			t.Logf("%d tokens take %d bytes", first.PromptTokens+first.CompletionTokens, move(t, "s", old, fresh))
			want := turn(t, old, "s", said, c.adapters)
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			got := turn(t, fresh, "s", said, c.adapters)
			if got.SharedTokens != want.SharedTokens || got.SharedTokens < first.PromptTokens {
				t.Errorf("%d tokens shared, in the old process %d of %d", got.SharedTokens, want.SharedTokens, first.PromptTokens)
			}
			if !slices.Equal(got.Tokens, want.Tokens) || got.Logprob != want.Logprob {
				t.Errorf("%q %v, in the old process %q %v", got.Text, got.Logprob, want.Text, want.Logprob)
			}
		})
	}
}

// Many dialogues move while others speak.
func TestDialoguesMoveWhileOthersSpeak(t *testing.T) {
	spec := Spec{Path: "../../testdata/tiny.gguf", ContextLength: 256, Slots: 3, Threads: 1}
	old, fresh := start(t, spec), start(t, spec)
	said := func(i int) string { return strings.Repeat(fmt.Sprintf("the people of row %d said ", i), 6) }
	var want [12]*decode.Result
	for i := range want {
		turn(t, old, fmt.Sprint(i), said(i), nil)
	}
	var wg sync.WaitGroup
	for i := range want {
		wg.Go(func() {
			name := fmt.Sprint(i)
			move(t, name, old, fresh)
			want[i] = turn(t, old, name, said(i)+"and then", nil)
			if got := turn(t, fresh, name, said(i)+"and then", nil); got.Text != want[i].Text || got.SharedTokens != want[i].SharedTokens || got.SharedTokens == 0 {
				t.Errorf("dialogue %d: %q with %d tokens shared, want %q with %d", i, got.Text, got.SharedTokens, want[i].Text, want[i].SharedTokens)
			}
		})
	}
	wg.Wait()
	list, err := fresh.Dialogues(t.Context())
	if err != nil || len(list) != len(want) {
		t.Errorf("%d kept, %v", len(list), err)
	}
}

// A state that does not fit a process's context is refused by it and costs nothing but
// the computing: of another length, another model, or cut short.
func TestStateThatDoesNotFit(t *testing.T) {
	tiny := Spec{Path: "../../testdata/tiny.gguf", ContextLength: 512, Slots: 2, Threads: 1}
	toy := Spec{Path: "../../testdata/toy.gguf", ContextLength: 512, Slots: 2, Threads: 1}
	small := tiny
	small.ContextLength = 64
	from, toys := start(t, tiny), start(t, toy)
	said := strings.Repeat("The ships sail over the sea at night. ", 8)
	next := said + " And"
	for _, p := range []*Process{from, toys} {
		turn(t, p, "s", said, nil)
	}
	d, state, err := from.Dialogue(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := start(t, small).Adopt(t.Context(), d, state); errs.CodeOf(err) != errs.InvalidArgument {
		t.Errorf("%d tokens for a context of 64: %v", d.Length, err)
	}
	foreign, foreignState, err := toys.Dialogue(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	fresh := start(t, tiny)
	want := turn(t, fresh, "", next, nil)
	foreign.Tokens = d.Tokens // as if they were this model's
	for what, bad := range map[string]struct {
		d     decode.Dialogue
		state []byte
	}{
		"another model's": {foreign, foreignState},
		"cut short":       {d, state[:len(state)/2]},
		"one byte less":   {d, state[:len(state)-1]},
		"text":            {d, []byte("this is no state")},
	} {
		p := start(t, tiny)
		if err := p.Adopt(t.Context(), bad.d, bad.state); err != nil {
			t.Fatal(err)
		}
		got := turn(t, p, "s", next, nil)
		if got.Text != want.Text || got.SharedTokens != 0 {
			t.Errorf("%s: %q with %d tokens shared, want %q", what, got.Text, got.SharedTokens, want.Text)
		}
	}
	if err := fresh.Adopt(t.Context(), d, nil); errs.CodeOf(err) != errs.InvalidArgument {
		t.Errorf("no state: %v", err)
	}
}
