package sqlfuncs

import (
	"context"
	"slices"

	"hyprstream/inference"
)

// Recorder follows one statement. Its methods may be called from several
// goroutines at once.
type Recorder interface {
	// Expect says that a function has rows calls to answer, distinct of them
	// different.
	Expect(function, model string, rows, distinct int)
	// Row says that a distinct call is finished; rows is how many rows it answers.
	Row(function string, c inference.Completion, rows int)
}

// Learnt is what a cascade has found out so far, and done by it.
type Learnt struct {
	Function, Model, Proxy string
	Predicate              string  // "" where it is a column's
	Quality, Recall        float64 // its target; 0: not this
	Below, Above           float64 // scores: no below, yes above; infinite where the proxy may not say it
	Sampled, SampledYes    int     // rows that the model and the proxy have answered
	Proxied                int     // distinct requests that the proxy answered alone
}

// Learner is a Recorder that hears of cascades: after each part of their rows.
type Learner interface{ Learnt(l Learnt) }

type recorderKey struct{}

// WithRecorder makes r follow the statement that runs under the context.
func WithRecorder(ctx context.Context, r Recorder) context.Context {
	return context.WithValue(ctx, recorderKey{}, r)
}

type noRecorder struct{}

func (noRecorder) Expect(string, string, int, int)       {}
func (noRecorder) Row(string, inference.Completion, int) {}

func recorderOf(ctx context.Context) Recorder {
	if r, ok := ctx.Value(recorderKey{}).(Recorder); ok {
		return r
	}
	return noRecorder{}
}

// tally counts the calls of a batch by function before it is announced.
type tally struct {
	Recorder
	functions []functionCount
}

type functionCount struct {
	name, model    string
	rows, distinct int
}

func newTally(r Recorder) *tally { return &tally{Recorder: r} }

func (t *tally) add(function, model string, rows, distinct int) {
	i := slices.IndexFunc(t.functions, func(f functionCount) bool { return f.name == function })
	if i < 0 {
		i = len(t.functions)
		t.functions = append(t.functions, functionCount{name: function, model: model})
	}
	t.functions[i].rows += rows
	t.functions[i].distinct += distinct
}

func (t *tally) expect() {
	for _, f := range t.functions {
		t.Expect(f.name, f.model, f.rows, f.distinct)
	}
}
