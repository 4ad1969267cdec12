package worker

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"hyprstream/runtime/decode"
)

// By how much a sum of log probabilities may differ from another: not at all
// where both were computed in batches of equal shapes, as a single slot does; for
// each token by more than 0.44, which was seen with 4-bit weights, elsewhere.
const (
	exact   = 1e-6
	rounded = 0.8
)

func scored(text string, continuations ...string) decode.Request {
	return decode.Request{Prompt: []decode.Segment{{Text: text}}, AddBOS: true, Continuations: continuations}
}

func loaded(t *testing.T, spec Spec) (*engine, decode.Options) {
	t.Helper()
	e, info, err := load(&spec, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e, decode.Options{Info: info, BatchSize: e.ctx.BatchSize()}
}

func near(t *testing.T, what string, within float64, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= within) {
			t.Errorf("%s, continuation %d: %v, want %v", what, i, got[i], want[i])
		}
	}
}

// fresh scores each continuation by itself in an empty slot, token by token,
// with nothing of the loop.
func fresh(t *testing.T, e *engine, r decode.Request) (out []float64) {
	t.Helper()
	prompt, err := e.Tokenize(r.Prompt, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Continuations {
		tokens, err := e.Continue(c)
		if err != nil {
			t.Fatal(err)
		}
		sum, ids, pos := 0.0, prompt, 0
		e.Clear(0)
		for _, next := range tokens {
			extend(t, e, 0, pos, ids)
			lp, err := e.Logprobs((len(ids)-1)%e.ctx.BatchSize(), []decode.Token{next})
			if err != nil {
				t.Fatal(err)
			}
			sum, pos, ids = sum+lp[0], pos+len(ids), []decode.Token{next}
		}
		out = append(out, sum)
	}
	e.Clear(0)
	return out
}

// What generation says of its own greedy text, scoring says of the same text.
func TestScoreIsWhatGenerationReports(t *testing.T) {
	e, o := loaded(t, Spec{Path: model(t), ContextLength: 256, Slots: 1})
	var said []decode.Request
	for _, text := range []string{"The capital of France is", "Once upon a time", "Translate to Spanish.\nEnglish: Good morning!\nSpanish:"} {
		r := prompt(text, 8)
		r.Logprobs, r.Params.IgnoreEOS = true, true
		said = append(said, r)
	}
	generated, _ := inLoop(t, e, o, said)
	for i, g := range generated {
		tokens, err := e.Continue(g.Text)
		if err != nil || firstDifference(tokens, g.Tokens) >= 0 {
			t.Fatalf("%q is written with the tokens %v, read with %v; %v: choose another prompt", g.Text, g.Tokens, tokens, err)
		}
		r, _ := inLoop(t, e, o, []decode.Request{scored(said[i].Prompt[0].Text, g.Text)})
		near(t, g.Text, exact, r[0].Scores, []float64{g.Logprob})
		if r[0].ScoreTokens[0] != 8 || r[0].CompletionTokens != 7 || r[0].PromptTokens != g.PromptTokens {
			t.Errorf("%q: %+v", g.Text, r[0])
		}
	}
}

var labels = []string{" very negative", " positive", " very positive indeed", " very", " positive"}

// The trie gives what one continuation at a time gives in a fresh slot, below
// and beyond the window of 512 tokens. With one slot all batches are alike.
func TestTrieScoresAreThoseOfEachAlone(t *testing.T) {
	e, o := loaded(t, Spec{Path: model(t), ContextLength: 1024, Slots: 1})
	for _, n := range []int{20, 700} {
		r := scored(shareRows(1, n, 1)[0].Prompt[0].Text, labels...)
		got, _ := inLoop(t, e, o, []decode.Request{r})
		r.Continuations = labels[:3]
		near(t, fmt.Sprintf("%d tokens", n), exact, got[0].Scores[:3], fresh(t, e, r))
		if s := got[0].Scores; s[1] != s[4] || s[3] <= s[0] || s[3] <= s[2] {
			t.Errorf("equal ones and a beginning: %v", s)
		}
	}
}

// Rows side by side, sharing a prefix or not, have the scores they have alone.
func TestScoresBesideOtherRows(t *testing.T) {
	e, o := loaded(t, Spec{Path: model(t), ContextLength: 256, Slots: 4})
	var reqs []decode.Request
	for _, r := range shareRows(6, 80, 1) {
		reqs = append(reqs, scored(r.Prompt[0].Text, labels...))
	}
	want := fresh(t, e, reqs[1])
	for _, share := range []bool{false, true} {
		o.PrefixBytes = 0
		if share {
			o.PrefixBytes = 64 << 20
		}
		got, stats := inLoop(t, e, o, append(reqs, prompt("Once upon a time", 20)))
		for i, c := range labels {
			within := rounded * float64(got[1].ScoreTokens[i])
			near(t, fmt.Sprintf("shared %v, %q", share, c), within, got[1].Scores[i:i+1], want[i:i+1])
		}
		if (stats.SharedTokens > 0) != share {
			t.Errorf("%d tokens shared", stats.SharedTokens)
		}
	}
}

// A continuation longer than what the window's cache has to spare: the cells
// that the prompt's end looks back on are gone, and the prompt is computed anew.
func TestScoresWhereTheWindowMovedOn(t *testing.T) {
	e, o := loaded(t, Spec{Path: model(t), ContextLength: 1024, Slots: 1, BatchSize: 64})
	text := shareRows(1, 520, 1)[0].Prompt[0].Text
	long := strings.Repeat(" one two three four five six seven eight nine ten", 30)
	r := scored(text, long, long+" and more", " the room was cold", " a bed")
	got, _ := inLoop(t, e, o, []decode.Request{r})
	prompt, err := e.Tokenize(r.Prompt, true)
	if err != nil {
		t.Fatal(err)
	}
	if got[0].PromptTokens <= len(prompt) {
		t.Errorf("%d prompt tokens for a prompt of %d: nothing was computed anew, so this test shows nothing", got[0].PromptTokens, len(prompt))
	}
	near(t, "short ones", exact, got[0].Scores[2:], fresh(t, e, scored(text, r.Continuations[2:]...)))
	if s := got[0].Scores; !(s[0] > s[1]) || s[0] > 0 || math.IsInf(s[1], 0) {
		t.Errorf("%v", s[:2])
	}
}

// Runs of tokens, rows side by side and a shared prefix change nothing, which
// the tiny model shows: its weights are not quantised.
func TestScoresInRuns(t *testing.T) {
	const begin = "it was the best of times and the worst of times, so they say; "
	var reqs []decode.Request
	for i := range 12 {
		reqs = append(reqs, scored(fmt.Sprintf("%swhat can he do %d", begin, i), " of the in which a man and his dog", " of the in", " of", " in"))
	}
	alone, o := loaded(t, Spec{Path: "../../testdata/tiny.gguf", ContextLength: 256, Slots: 1})
	want, _ := inLoop(t, alone, o, reqs)
	for _, slots := range []int{4, 16} {
		e, o := loaded(t, Spec{Path: "../../testdata/tiny.gguf", ContextLength: 256, Slots: slots})
		o.PrefixBytes = 64 << 20
		got, stats := inLoop(t, e, o, reqs)
		for i := range reqs {
			near(t, fmt.Sprintf("%d slots, row %d", slots, i), 0.01, got[i].Scores, want[i].Scores)
		}
		if stats.SharedTokens == 0 {
			t.Error("no token is shared")
		}
		near(t, "in runs", 0.01, []float64{inRuns(t, e, o, reqs[0])}, want[0].Scores[:1])
	}
}

// inRuns scores the first continuation in a loop with nothing else to do.
func inRuns(t *testing.T, e *engine, o decode.Options, r decode.Request) float64 {
	t.Helper()
	r.Continuations = r.Continuations[:1]
	got, stats := inLoop(t, e, o, []decode.Request{r})
	if most := 2 + (got[0].ScoreTokens[0]-1)/o.Info.Slots; int(stats.Steps) > most {
		t.Errorf("%d steps, want at most %d", stats.Steps, most)
	}
	return got[0].Scores[0]
}

// Through the process, on the tiny model, with an adapter and without.
func TestScoresOfAProcess(t *testing.T) {
	p := start(t, Spec{Path: "../../testdata/tiny.gguf", ContextLength: 128, Slots: 4})
	plain := scored("what can he do", " of the", " of", " in")
	adapted := scored("what can he do", " of the", " of", " in")
	adapted.Adapters = []decode.Adapter{{Path: "../../testdata/tiny-lora.gguf", Scale: 1}}
	broken := scored("what can he do", " of", "")
	rs, err := results(t.Context(), p, []decode.Request{plain, adapted, broken, plain})
	if err != nil {
		t.Fatal(err)
	}
	if s := rs[0].Scores; len(s) != 3 || s[0] >= s[1] || s[1] >= 0 {
		t.Errorf("%+v", rs[0])
	}
	near(t, "again", rounded, rs[3].Scores, rs[0].Scores)
	if rs[1].Err != nil || math.Abs(rs[1].Scores[0]-rs[0].Scores[0]) < 0.01 {
		t.Errorf("the adapter makes no difference: %v, %v", rs[1].Scores, rs[0].Scores)
	}
	if rs[2].Err == nil || rs[2].Scores != nil {
		t.Errorf("an empty continuation: %+v", rs[2])
	}
}
