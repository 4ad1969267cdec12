package inference

import (
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestClassifyDoesNotDependOnOrder(t *testing.T) {
	a := Classify("x", []string{"b", "", "a", "c", "a"}, "Which?")
	b := Classify("x", []string{"c", "b", "a"}, "Which?")
	if !reflect.DeepEqual(a, b) || !slices.Equal(a.Answers, []string{"a", "b", "c"}) {
		t.Errorf("%+v, %+v", a, b)
	}
	if c := Classify("x", []string{"", ""}, ""); c != nil {
		t.Errorf("%+v without a label", c)
	}
	// Rows of one task share all but the text.
	text, _ := a.plain()
	if !strings.HasPrefix(text, "Which?\n") || !strings.HasSuffix(text, "\nLabel: c\n\nText: x\nLabel:") {
		t.Errorf("%q", text)
	}
}

func TestProbabilities(t *testing.T) {
	log := math.Log
	for name, c := range map[string]struct {
		labels []string
		scores []float64
		want   []float64
		best   string
	}{
		"two":                   {[]string{"a", "b"}, []float64{log(.1), log(.3)}, []float64{.25, .75}, "b"},
		"one":                   {[]string{"a"}, []float64{-40}, []float64{1}, "a"},
		"equal":                 {[]string{"a", "b"}, []float64{-1, -1}, []float64{.5, .5}, "a"},
		"very unlikely":         {[]string{"a", "b"}, []float64{-2000, -2000 + log(3)}, []float64{.25, .75}, "b"},
		"impossible":            {[]string{"a", "b"}, []float64{math.Inf(-1), math.Inf(-1)}, []float64{.5, .5}, "a"},
		"one of them":           {[]string{"a", "b"}, []float64{math.Inf(-1), -3}, []float64{0, 1}, "b"},
		"further words":         {[]string{"new", "new york", "new york city", "old"}, []float64{log(.6), log(.5), log(.1), log(.2)}, []float64{.125, .5, .125, .25}, "new york"},
		"a longer word is none": {[]string{"cat", "category"}, []float64{log(.6), log(.2)}, []float64{.75, .25}, "cat"},
		"rounding below 0":      {[]string{"a", "a b"}, []float64{log(.1), log(.1) + 1e-9}, []float64{0, 1}, "a b"},
	} {
		choice := Classify("", c.labels, "")
		got := choice.Probabilities(c.scores)
		sum := 0.0
		for i := range got {
			sum += got[i]
			if math.Abs(got[i]-c.want[i]) > 1e-9 {
				t.Errorf("%s: %v, want %v", name, got, c.want)
				break
			}
		}
		if math.Abs(sum-1) > 1e-12 || choice.Likeliest(got) != c.best {
			t.Errorf("%s: sum %v, likeliest %s", name, sum, choice.Likeliest(got))
		}
	}
	f := Filter("x", "p")
	if got := f.Yes(f.Probabilities([]float64{log(.2), log(.1), log(.05), log(.05)})); math.Abs(got-.75) > 1e-9 {
		t.Errorf("yes %v", got)
	}
}

// Held against itself every answer is as likely as the others, also where one begins
// another; what a text adds to an answer is what counts.
func TestCalibrated(t *testing.T) {
	c := Classify("", []string{"new", "new york", "new york city", "old"}, "")
	without := []float64{math.Log(.6), math.Log(.3), math.Log(.1), math.Log(.3)}
	for i, p := range c.Probabilities(c.calibrated(without, without)) {
		if math.Abs(p-.25) > 1e-9 {
			t.Errorf("%s: %v, want 0.25", c.Answers[i], p)
		}
	}
	with := []float64{math.Log(.6), math.Log(.4), math.Log(.1), math.Log(.3)} // new york: twice, less what its city takes
	p := c.Probabilities(c.calibrated(with, without))
	if c.Likeliest(p) != "new york" || math.Abs(p[1]/p[3]-1.5) > 1e-9 {
		t.Error(p)
	}
	never := []float64{0, math.Inf(-1), math.Inf(-1), math.Inf(-1)}
	if p := c.Probabilities(c.calibrated(with, never)); math.IsNaN(p[0]) || math.Abs(p[0]+p[1]+p[2]+p[3]-1) > 1e-9 {
		t.Error(p)
	}
}

// Equal questions are scored once, others by themselves, and a dead engine's again.
func TestScoring(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	reqs := []Request{
		{Prompt: "x", Continuations: []string{"a", "bcd"}}, {Prompt: "x", Continuations: []string{"a", "bcd"}},
		{Prompt: "x", Continuations: []string{"a"}}, {Prompt: "x"}, {Prompt: "x", Continuations: []string{"ab", "cd"}},
		{Prompt: "t", Choice: Classify("t", []string{"a", "b"}, "")}, {Prompt: "t", Choice: Classify("t", []string{"b", "a"}, "")},
		{Prompt: "u", Choice: Classify("u", []string{"a", "b"}, "")}, {Choice: Filter("t", "p")}, {},
	}
	got, err := collect(e, t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]float64{{-1, -3}, {-1, -3}, {-1}, nil, {-2, -2}, {0, 0}, {0, 0}, {0, 0}, {-4, -4, -3, -3}, nil} {
		if got[i].Err != nil || !slices.Equal(got[i].Scores, want) || len(got[i].ScoreTokens) != len(want) {
			t.Errorf("%d: %+v, want %v", i, got[i], want)
		}
	}
	if n := len(h.seen()); n != 9 { // one of them without a text, for both classifications
		t.Errorf("%d requests reached the process, want 9", n)
	}
}

// The real model finds its way among easy labels, whatever their order.
func TestABaseModelChooses(t *testing.T) {
	gemma := filepath.Join("..", ".deps", "models", "gemma-3-270m-q4_k_m.gguf")
	e := realEngine(t, map[string]string{"gemma": gemma})
	labels := []string{"animal", "country", "number"}
	texts := map[string]string{"Giraffe": "animal", "Portugal": "country", "Seventeen": "number"}
	var reqs []Request
	var want []string
	for text, label := range texts {
		reqs = append(reqs, Request{Choice: Classify(text, labels, "What is it?")}, Request{Choice: Classify(text, []string{labels[2], labels[0], labels[1]}, "What is it?")})
		want = append(want, label, label)
	}
	got, err := collect(e, t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i, c := range got {
		if c.Err != nil {
			t.Fatal(c.Err)
		}
		p := reqs[i].Choice.Probabilities(c.Scores)
		if reqs[i].Choice.Likeliest(p) == want[i] {
			right++
		}
		t.Logf("%s: %.3f", want[i], p)
		if i%2 == 1 && !slices.Equal(c.Scores, got[i-1].Scores) {
			t.Errorf("another order gives %v, not %v", c.Scores, got[i-1].Scores)
		}
	}
	if right < 4 {
		t.Errorf("%d of %d are right", right, len(got))
	}
}

func TestMatchBeginsWithTheLongerText(t *testing.T) {
	for _, c := range []struct{ first, second, want string }{
		{"a longer one", "short", "First text: a longer one\nSecond text: short\nAnswer:"},
		{"short", "a longer one", "Second text: a longer one\nFirst text: short\nAnswer:"},
		{"equal", "equal", "First text: equal\nSecond text: equal\nAnswer:"},
	} {
		m := Match(c.first, c.second, "they agree")
		prompt, answers := m.plain()
		if !strings.HasPrefix(prompt, m.Asked) || !strings.Contains(m.Asked, "they agree") || strings.TrimPrefix(prompt, m.Asked) != c.want || len(answers) != 4 {
			t.Errorf("%q", prompt)
		}
		if said := m.chat()[0].Content + "\nAnswer:"; said != prompt {
			t.Errorf("%q", said)
		}
		for _, yes := range []bool{true, false} {
			if p := m.Yes(m.Probabilities(Sure(yes))); (p == 1) != yes || (p == 0) == yes {
				t.Errorf("sure of %v is %v", yes, p)
			}
		}
	}
}

func TestRating(t *testing.T) {
	c := Score("text", "criteria")
	for _, tc := range []struct {
		likely []int
		want   float64
	}{{[]int{0}, 0}, {[]int{9}, 1}, {[]int{0, 9}, 0.5}, {[]int{3}, 1. / 3}} {
		p := make([]float64, len(c.Answers))
		for _, i := range tc.likely {
			p[i] = 1 / float64(len(tc.likely))
		}
		if got := c.Rating(p); math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", tc.likely, got, tc.want)
		}
	}
}
