package sqlfuncs

import (
	"context"

	"hyprstream/inference"
)

// watched puts an operator's calls under its statement's budget and has what they
// cost remembered. explain is the budget's error once it is exceeded, else
// its argument; leave must be called at the end.
func (h *handler) watched(ctx context.Context) (_ context.Context, explain func(error) error, leave func()) {
	w := &watch{Recorder: recorderOf(ctx), history: &h.history, budget: h.budgetOf(ctx)}
	explain, leave = func(err error) error { return err }, func() {}
	if w.budget != nil {
		ctx, leave = w.budget.enter(ctx)
		explain = w.budget.explain
	}
	return WithRecorder(ctx, w), explain, leave
}

// watch tells what follows a statement of its rows.
type watch struct {
	Recorder
	history *history
	budget  *budget // nil: none
}

// Row implements Recorder.
func (w *watch) Row(function string, c inference.Completion, rows int) {
	w.Recorder.Row(function, c, rows)
	w.history.add(function, c)
	if w.budget != nil {
		w.budget.finish(c)
	}
}
