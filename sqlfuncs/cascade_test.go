package sqlfuncs

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// judge is an engine for texts such as "17 0.3125 0.5": an id, how likely yes is by the model
// b, and by the proxy p. Embeddings are of 2 dimensions, with the proxy's number as
// the cosine to any text without numbers.
type judge struct {
	countingEngine
	mu     sync.Mutex
	byBig  int
	proxy  int
	embeds int
	asked  []string
}

func numbers(text string) (big, proxy float64) {
	f := strings.Fields(text)
	if len(f) != 3 {
		return 0, 1
	}
	big, _ = strconv.ParseFloat(f[1], 64)
	proxy, _ = strconv.ParseFloat(f[2], 64)
	return big, proxy
}

func (j *judge) Generate(_ context.Context, reqs []inference.Request, done func(int, inference.Completion)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, r := range reqs {
		big, proxy := numbers(r.Prompt)
		p := big
		if r.Model == "p" {
			p = proxy
			j.proxy++
		} else {
			j.byBig++
			j.asked = append(j.asked, r.Prompt)
		}
		c := inference.Completion{Model: r.Model, PromptTokens: 1, Scores: []float64{math.Log(p), math.Inf(-1), math.Log1p(-p), math.Inf(-1)}}
		if strings.HasPrefix(r.Prompt, "fail") || r.Model == "p" && strings.HasPrefix(r.Prompt, "proxyfail") {
			c = inference.Completion{Err: errs.New(errs.ContextOverflow, "generate", "prompt too long")}
		}
		done(i, c)
	}
	return nil
}

func (j *judge) Embed(_ context.Context, _ string, texts []string, done func(int, inference.Embedding)) error {
	j.embeds += len(texts)
	for i, t := range texts {
		_, p := numbers(t)
		v := []float32{float32(p), float32(math.Sqrt(1 - p*p))}
		done(i, inference.Embedding{Vector: v, PromptTokens: 1})
	}
	return nil
}

// filterCalls are calls of ai_filter over texts, with options by name.
func filterCalls(texts []string, opts map[string]string) (calls []operator.Call) {
	for _, t := range texts {
		c := operator.Call{Fn: fnFilter, Args: []operator.Arg{{Kind: operator.Text, Text: "b"}, {Kind: operator.Text, Text: t}}}
		for _, o := range cascadedFilter {
			a := operator.Arg{}
			if v, ok := opts[o.name]; ok {
				a = operator.Arg{Kind: operator.Text, Text: v}
			}
			c.Args = append(c.Args, a)
		}
		calls = append(calls, c)
	}
	return calls
}

// run answers calls in parts, as the operator hands them over.
func run(t *testing.T, j *judge, rec Recorder, calls []operator.Call) []operator.Answer {
	t.Helper()
	h := &handler{Deps: Deps{Engine: j, Registry: fakeRegistry{}}}
	ctx, end := WithStatement(WithRecorder(t.Context(), rec), "")
	defer end()
	out := make([]operator.Answer, len(calls))
	answered := 0
	for from, size := 0, 512; from < len(calls); from, size = from+size, 4096 {
		part := calls[from:min(from+size, len(calls))]
		err := h.Run(ctx, part, func(i int, a operator.Answer) {
			answered++
			out[from+i] = a
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if answered != len(calls) {
		t.Fatalf("%d of %d calls answered", answered, len(calls))
	}
	return out
}

// texts are rows of which the model says yes to a share; the proxy's score is its
// own with noise added.
func texts(seed uint64, n int, share, noise float64) (out []string, truth []bool) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		yes := rng.Float64() < share
		big := 0.1
		if yes {
			big = 0.9
		}
		proxy := 1 / (1 + math.Exp(-(8*(big-0.5) + noise*rng.NormFloat64())))
		out = append(out, fmt.Sprintf("%d %v %v", i, big, math.Min(math.Max(proxy, 1e-6), 1-1e-6)))
		truth = append(truth, yes)
	}
	return out, truth
}

// shares are the answers that agree with the truth among its yes and its no rows,
// and the true ones among those answered yes.
func shares(answers []operator.Answer, truth []bool) (yes, no, precision float64) {
	var right, all, said [2]float64
	for i, a := range answers {
		k := 0
		if truth[i] {
			k = 1
		}
		all[k]++
		if a.Text == strconv.FormatBool(truth[i]) {
			right[k]++
		}
		if a.Text == "true" {
			said[k]++
		}
	}
	return right[1] / all[1], right[0] / all[0], said[1] / (said[0] + said[1])
}

func TestCascadeReachesItsTarget(t *testing.T) {
	const n, seeds = 8000, 6
	for _, c := range []struct {
		name         string
		share, noise float64
		opts         map[string]string
		most         int // share of rows the model may answer, in percent
	}{
		{"small model", 0.4, 1.5, map[string]string{"quality": "0.95", "proxy": "p"}, 25},
		{"embedding", 0.4, 1.5, map[string]string{"quality": "0.95", "proxy": "embed"}, 25},
		{"noisy proxy", 0.5, 4, map[string]string{"quality": "0.9", "proxy": "p"}, 90},
		{"few are yes", 0.05, 1.5, map[string]string{"quality": "0.9", "proxy": "p"}, 60},
		{"recall", 0.1, 1.5, map[string]string{"recall": "0.95", "proxy": "p"}, 40},
		{"recall by a noisy proxy", 0.2, 4, map[string]string{"recall": "0.9", "proxy": "embed"}, 90},
	} {
		target, _ := strconv.ParseFloat(c.opts["quality"]+c.opts["recall"], 64)
		missed, asked := 0, 0
		for seed := range uint64(seeds) {
			rows, truth := texts(seed, n, c.share, c.noise)
			j := &judge{}
			yes, no, precision := shares(run(t, j, noRecorder{}, filterCalls(rows, c.opts)), truth)
			if c.opts["recall"] != "" && (no < 1 || precision < 1) {
				t.Fatalf("%s: the proxy said yes", c.name)
			}
			if min(yes, no, precision) < target {
				missed++
			}
			asked += j.byBig
		}
		if missed > 1 { // it may at 5 of 100
			t.Errorf("%s: %d of %d runs missed %v", c.name, missed, seeds, target)
		}
		if got := 100 * asked / (n * seeds); got > c.most {
			t.Errorf("%s: the model answered %d%% of the rows", c.name, got)
		} else {
			t.Logf("%s: the model answered %d%% of the rows, %d of %d runs missed", c.name, got, missed, seeds)
		}
	}
}

func TestCascadeAsksTheModelWhenInDoubt(t *testing.T) {
	for _, c := range []struct {
		name         string
		share, noise float64
		n            int
		opts         map[string]string
	}{
		{"a proxy that knows nothing", 0.5, 1e9, 6000, map[string]string{"quality": "0.95", "proxy": "p"}},
		{"quality 1", 0.5, 0.1, 6000, map[string]string{"quality": "1", "proxy": "p"}},
		{"recall 1", 0.5, 0.1, 6000, map[string]string{"recall": "1", "proxy": "p"}},
		{"no target", 0.5, 0.1, 6000, nil},
		{"too few rows to learn from", 0.5, 0.1, 100, map[string]string{"quality": "0.95", "proxy": "p"}},
		{"nothing is yes", 0, 0.1, 6000, map[string]string{"quality": "0.95", "proxy": "p"}},
	} {
		rows, truth := texts(3, c.n, c.share, c.noise)
		j := &judge{}
		for i, a := range run(t, j, noRecorder{}, filterCalls(rows, c.opts)) {
			if a.Text != strconv.FormatBool(truth[i]) {
				t.Fatalf("%s: row %d is %q", c.name, i, a.Text)
			}
		}
		if j.byBig != c.n {
			t.Errorf("%s: the model answered %d of %d rows", c.name, j.byBig, c.n)
		}
		if c.opts["quality"] != "0.95" && j.proxy > 0 {
			t.Errorf("%s: the proxy was asked for nothing", c.name)
		}
	}
}

// Equal input gives equal answers by equal calls, and which rows are sampled does
// not depend on their order.
func TestCascadeIsDeterministic(t *testing.T) {
	rows, _ := texts(5, 6000, 0.4, 3)
	opts := map[string]string{"quality": "0.9", "proxy": "p"}
	a, b := &judge{}, &judge{}
	first := run(t, a, noRecorder{}, filterCalls(rows, opts))
	if second := run(t, b, noRecorder{}, filterCalls(rows, opts)); !slices.Equal(first, second) || !slices.Equal(a.asked, b.asked) {
		t.Error("two runs differ")
	}
	turned := &judge{}
	slices.Reverse(rows[:512])
	run(t, turned, noRecorder{}, filterCalls(rows, opts))
	if a.byBig != turned.byBig {
		t.Errorf("the order within a part changed the calls: %d, %d", a.byBig, turned.byBig)
	}
}

// A proxy that is never sure is asked no more; predicates of a column are one
// question.
func TestCascadeGivesUpAndPools(t *testing.T) {
	rows, _ := texts(11, 24_000, 0.5, 1e9)
	j := &judge{}
	run(t, j, noRecorder{}, filterCalls(rows, map[string]string{"quality": "0.95", "proxy": "p"}))
	if j.byBig != 24_000 || j.proxy >= 16_000 || j.proxy < patience {
		t.Errorf("the model was asked %d times, the proxy %d times", j.byBig, j.proxy)
	}
	rows, truth := texts(12, 6000, 0.4, 0.5)
	calls := filterCalls(rows, map[string]string{"quality": "0.95", "proxy": "p"})
	for i := range calls {
		calls[i].Args[2] = operator.Arg{Kind: operator.Text, Text: "p" + strconv.Itoa(i%1000)}
	}
	j = &judge{}
	yes, no, _ := shares(run(t, j, noRecorder{}, calls), truth)
	if min(yes, no) < 0.95 || j.byBig > 1000 {
		t.Errorf("1000 predicates: %v and %v, the model was asked %d times", yes, no, j.byBig)
	}
}

// Parts of one operator overlap, and several operators share what is learnt.
func TestCascadePartsSideBySide(t *testing.T) {
	rows, truth := texts(13, 8000, 0.4, 0.5)
	calls := filterCalls(rows, map[string]string{"quality": "0.95", "proxy": "p"})
	j := &judge{}
	h := &handler{Deps: Deps{Engine: j, Registry: fakeRegistry{}}}
	ctx, end := WithStatement(t.Context(), "")
	defer end()
	out := make([]operator.Answer, len(calls))
	var wg sync.WaitGroup
	for from := 0; from < len(calls); from += 1000 {
		wg.Go(func() {
			if err := h.Run(ctx, calls[from:from+1000], func(i int, a operator.Answer) { out[from+i] = a }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if yes, no, _ := shares(out, truth); min(yes, no) < 0.95 || j.byBig > 1500 {
		t.Errorf("%v and %v, the model was asked %d times", yes, no, j.byBig)
	}
}

// What fails at the proxy is asked of the model; what fails there fails.
func TestCascadeFailures(t *testing.T) {
	rows, _ := texts(7, 6000, 0.4, 0.5)
	rows[5000] = "proxyfail 0.9 0.9"
	rows[5001] = "fail 0.9 0.5"
	rows[5002] = "fail 0.9 0.000001" // the proxy is sure
	j := &judge{}
	got := run(t, j, noRecorder{}, filterCalls(rows, map[string]string{"quality": "0.95", "proxy": "p"}))
	if got[5000].Text != "true" || got[5001].Err == nil {
		t.Errorf("%+v", got[5000:5003])
	}
	if !slices.Contains(j.asked, rows[5000]) {
		t.Error("the model was not asked for what the proxy failed at")
	}
}

func TestCascadeIsCounted(t *testing.T) {
	rows, _ := texts(9, 6000, 0.4, 1)
	rows = append(rows, rows[5990:]...) // equal calls are one
	rec := &proxied{}
	j := &judge{}
	run(t, j, rec, filterCalls(rows, map[string]string{"quality": "0.95", "proxy": "p"}))
	if rec.expected != 6010 || rec.byModel+rec.byProxy != 6010 || rec.distinct+rec.sure != 6000 || rec.distinct != j.byBig || j.byBig > 1500 {
		t.Errorf("%+v; the model was asked %d times", rec, j.byBig)
	}
	if j.proxy != 6000 || rec.scored != 6000 {
		t.Errorf("the proxy was asked %d times, and %d are recorded", j.proxy, rec.scored)
	}
}

type proxied struct{ expected, byModel, byProxy, distinct, sure, scored int }

func (p *proxied) Expect(_, _ string, rows, _ int) { p.expected += rows }

func (p *proxied) Row(_ string, c inference.Completion, rows int) {
	switch {
	case rows == 0:
		p.scored++
	case c.Proxied:
		p.byProxy += rows
		p.sure++
	default:
		p.byModel += rows
		p.distinct++
	}
}
