package decode_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

func scored(prompt string, continuations ...string) decode.Request {
	return decode.Request{Prompt: []decode.Segment{{Text: prompt}}, AddBOS: true, Continuations: continuations}
}

// expected is the sum that the fake gives a continuation, token by token.
func expected(prompt, continuation string, adapters ...decode.Adapter) float64 {
	before := []decode.Token{fake.BOS}
	for _, b := range []byte(prompt) {
		before = append(before, decode.Token(b))
	}
	sum := 0.0
	for _, b := range []byte(continuation) {
		sum += fake.Logprobs(before, adapters, []decode.Token{decode.Token(b)})[0]
		before = append(before, decode.Token(b))
	}
	return sum
}

// inner counts the tokens of a trie that have others after them.
func inner(continuations []string) int {
	paths := map[string]bool{}
	for _, c := range continuations {
		for i := 1; i < len(c); i++ {
			paths[c[:i]] = true
		}
	}
	return len(paths)
}

func many(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("label %d of %s", i*7919%n, strings.Repeat("ab", i%5)))
	}
	return out
}

// checkScores compares with the expectation, to the bit, and the counts to the token.
func checkScores(t *testing.T, r *decode.Result, req decode.Request) {
	t.Helper()
	if r.Err != nil || len(r.Scores) != len(req.Continuations) || len(r.ScoreTokens) != len(req.Continuations) {
		t.Fatalf("%+v", r)
	}
	prompt := req.Prompt[0].Text
	for i, c := range req.Continuations {
		if want := expected(prompt, c, req.Adapters...); r.Scores[i] != want || r.ScoreTokens[i] != len(c) {
			t.Errorf("%q after %q: %v with %d tokens, want %v", c, prompt, r.Scores[i], r.ScoreTokens[i], want)
		}
	}
	if r.PromptTokens != len(prompt)+1 || r.CompletionTokens != inner(req.Continuations) || r.Text != "" {
		t.Errorf("%d prompt tokens of %d, %d computed of %d, text %q", r.PromptTokens, len(prompt)+1,
			r.CompletionTokens, inner(req.Continuations), r.Text)
	}
}

// Every shape of continuations, alone and beside others, in the slot of one and of many.
func TestScores(t *testing.T) {
	shapes := map[string][]string{
		"one token":        {"a"},
		"one":              {"hello"},
		"single tokens":    {"a", "b", "c"},
		"prefixes":         {"new york", "new", "new york city", "n"},
		"equal":            {"yes", "no", "yes", "yes"},
		"deep branches":    {"abcdef", "abcxyz", "abqqq", "zz", "abcdex"},
		"200":              many(200),
		"longer than most": {strings.Repeat("long ", 30), strings.Repeat("long ", 29) + "end"},
	}
	for _, slots := range []int{1, 4} {
		var all []decode.Request
		for name, c := range shapes {
			reqs := []decode.Request{scored("prompt of "+name, c...)}
			all = append(all, reqs...)
			t.Run(fmt.Sprintf("%s,%d", name, slots), func(t *testing.T) { runScores(t, slots, reqs) })
		}
		for i := range 20 {
			all = append(all, req(fmt.Sprintf("a prompt to go on from %d", i)))
		}
		t.Run(fmt.Sprintf("beside others,%d", slots), func(t *testing.T) { runScores(t, slots, all) })
	}
}

func runScores(t *testing.T, slots int, reqs []decode.Request) {
	m := &fake.Model{}
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: slots}})
	var c collector
	if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
		t.Fatal(err)
	}
	computed := 0
	for i, r := range reqs {
		got := c.result(t, i)
		computed += got.PromptTokens + got.CompletionTokens
		if r.Continuations != nil {
			checkScores(t, got, r)
		} else if want := strings.ToUpper(r.Prompt[0].Text); got.Text != want || got.Scores != nil {
			t.Errorf("%+v, want %q", got, want)
		}
	}
	entries := 0
	_, batches, _ := m.Seen()
	for _, b := range batches {
		entries += len(b)
	}
	if s := idle(l); entries != computed || int(s.PromptTokens+s.CompletionTokens) != computed {
		t.Errorf("%d tokens were computed, the results say %d, the stats %+v", entries, computed, s)
	}
}

// A free loop computes a long continuation in runs, as many tokens as it has slots.
func TestALongContinuationGoesInRuns(t *testing.T) {
	m := &fake.Model{}
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 8}})
	r := scored("p", strings.Repeat("x", 81)) // 80 are computed
	var c collector
	if err := l.Submit(t.Context(), []decode.Request{r}, c.sink); err != nil {
		t.Fatal(err)
	}
	checkScores(t, c.result(t, 0), r)
	if s := idle(l); s.Steps != 11 {
		t.Errorf("%d steps for a prompt and 80 tokens in runs of 8", s.Steps)
	}
}

// Scored rows share prefixes and are grouped by adapters like others.
func TestScoredRowsShareAndAdapt(t *testing.T) {
	m := &fake.Model{}
	l := newLoop(t, m, sharing(4))
	var reqs []decode.Request
	for _, r := range prefixed(letters(100), 30) {
		reqs = append(reqs, scored(r.Prompt[0].Text, "positive", "negative", "neutral"))
	}
	for i := range 6 {
		r := scored(fmt.Sprintf("adapted %d", i), "yes", "no")
		r.Adapters = []decode.Adapter{lora("x", float32(1+i%2))}
		reqs = append(reqs, r)
	}
	var c collector
	if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
		t.Fatal(err)
	}
	shared := 0
	for i, r := range reqs {
		checkScores(t, c.result(t, i), r)
		shared += c.result(t, i).SharedTokens
	}
	if shared != 29*100 {
		t.Errorf("%d tokens shared", shared)
	}
}

// Where a slot cannot be cut back the prompt is computed again, and says so.
func TestScoresAfterTheWindowMovedOn(t *testing.T) {
	m := &fake.Model{Window: 3}
	l := newLoop(t, m, decode.Options{})
	r := scored("the prompt", "abcdefghij", "abcdXX", "abcdefYY", "q", "abZZ")
	var c collector
	if err := l.Submit(t.Context(), []decode.Request{r}, c.sink); err != nil {
		t.Fatal(err)
	}
	got := c.result(t, 0)
	for i, text := range r.Continuations {
		if want := expected("the prompt", text); got.Scores[i] != want {
			t.Errorf("%q: %v, want %v", text, got.Scores[i], want)
		}
	}
	entries, s := 0, l.Stats()
	_, batches, _ := m.Seen()
	for _, b := range batches {
		entries += len(b)
	}
	// Each of the three branchings is 3 tokens back: the prompt and 6, 4 and 2
	// tokens are computed again.
	if got.PromptTokens != 4*11+6+4+2 || got.PromptTokens+got.CompletionTokens != entries || int(s.PromptTokens) != got.PromptTokens {
		t.Errorf("%d tokens were computed; result %+v, stats %+v", entries, got, s)
	}
}

func TestScoresThatCannotBe(t *testing.T) {
	l := newLoop(t, &fake.Model{}, decode.Options{Info: decode.Info{ContextLength: 20}})
	fits, long := strings.Repeat("p", 15), strings.Repeat("p", 40)
	for _, tt := range []struct {
		req  decode.Request
		code errs.Code
	}{
		{scored(fits, "abcde"), ""}, // 16 and 4
		{scored(fits, "a", "abcdef"), errs.ContextOverflow},
		{scored(long, "a"), errs.ContextOverflow},
		{scored("p", "a", ""), errs.InvalidArgument},
	} {
		var c collector
		if err := l.Submit(t.Context(), []decode.Request{tt.req}, c.sink); err != nil {
			t.Fatal(err)
		}
		r := c.result(t, 0)
		if code(r.Err) != tt.code || (r.Err == nil) != (r.Scores != nil) {
			t.Errorf("%q: %+v", tt.req.Continuations, r)
		}
	}
}

// A full cache fails the row, never its score.
func TestScoresInAFullCache(t *testing.T) {
	l := newLoop(t, &fake.Model{Cells: 30}, decode.Options{})
	var c collector
	reqs := []decode.Request{scored("0123456789", "abcdefghijklmnopqrstuvwxyz"), scored("01234", "abc", "abd", "x")}
	if err := l.Submit(t.Context(), reqs[:1], c.sink); err != nil {
		t.Fatal(err)
	}
	if r := c.result(t, 0); code(r.Err) != errs.ContextOverflow || r.Scores != nil {
		t.Errorf("%+v", r)
	}
	c = collector{}
	if err := l.Submit(t.Context(), reqs[1:], c.sink); err != nil {
		t.Fatal(err)
	}
	checkScores(t, c.result(t, 0), reqs[1])
}

func TestScoringEnds(t *testing.T) {
	for name, cut := range map[string]bool{"cancel": true, "deadline": false} {
		t.Run(name, func(t *testing.T) {
			began := make(chan struct{}, 10000)
			m := &fake.Model{BeforeDecode: func([]decode.Entry) error {
				began <- struct{}{}
				time.Sleep(time.Millisecond)
				return nil
			}}
			l := newLoop(t, m, decode.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			want := errs.Timeout
			reqs := slices.Repeat([]decode.Request{scored("p", many(200)...)}, 8)
			if cut {
				want = errs.Cancelled
				go func() { <-began; <-began; cancel() }()
			} else {
				for i := range reqs {
					reqs[i].Deadline = time.Now().Add(30 * time.Millisecond)
				}
			}
			var c collector
			_ = l.Submit(ctx, reqs, c.sink) // the rows tell
			for i := range reqs {
				if r := c.result(t, i); code(r.Err) != want || r.Scores != nil {
					t.Errorf("row %d: %+v", i, r)
				}
			}
		})
	}
}

// The fake's numbers are a distribution, or the tests above would prove little.
func TestFakeIsADistribution(t *testing.T) {
	all := make([]decode.Token, fake.Size)
	for i := range all {
		all[i] = decode.Token(i)
	}
	a, b := fake.Logprobs([]decode.Token{1, 2}, nil, all), fake.Logprobs([]decode.Token{1, 3}, nil, all)
	sum := 0.0
	for _, lp := range a {
		sum += math.Exp(lp)
	}
	if math.Abs(sum-1) > 1e-9 || slices.Equal(a, b) {
		t.Errorf("they sum to %v", sum)
	}
}
