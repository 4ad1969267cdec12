package sqlfuncs

import (
	"context"
	"fmt"

	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// watched puts an operator's calls under its statement's budget and has what they
// cost remembered. explain is the budget's error once it is exceeded, else
// its argument; leave must be called at the end.
func (h *handler) watched(ctx context.Context) (_ context.Context, explain func(error) error, leave func()) {
	w := &watch{Recorder: recorderOf(ctx), history: &h.history, budget: h.budgetOf(ctx), account: operator.AccountOf(ctx)}
	end := w.account.Work()
	if w.budget == nil {
		return WithRecorder(ctx, w), func(err error) error { return err }, end
	}
	ctx, out := w.budget.enter(ctx)
	return WithRecorder(ctx, w), w.budget.explain, func() {
		out()
		end()
	}
}

// watch tells what follows a statement and an operator of their rows.
type watch struct {
	Recorder
	history *history
	budget  *budget // nil: none
	account *operator.Account
}

// Expect implements Recorder.
func (w *watch) Expect(function, model string, rows, distinct int) {
	w.Recorder.Expect(function, model, rows, distinct)
	w.account.Add(operator.Spent{Function: function, Rows: rows, Distinct: distinct})
}

// Row implements Recorder.
func (w *watch) Row(function string, c inference.Completion, rows int) {
	w.Recorder.Row(function, c, rows)
	w.history.add(function, c)
	if w.budget != nil {
		w.budget.finish(c)
	}
	s := operator.Spent{Function: function}
	switch {
	case c.Err != nil:
		s.Failed = rows
	case c.Cached:
		s.Cached = rows
	}
	if !c.Cached {
		s.Prompt, s.Shared, s.Completion = c.PromptTokens, c.SharedTokens, c.CompletionTokens
	}
	w.account.Add(s)
}

// Learnt implements Learner.
func (w *watch) Learnt(l Learnt) {
	if r, ok := w.Recorder.(Learner); ok {
		r.Learnt(l)
	}
}

// Spent says what an operator's calls have cost, for EXPLAIN ANALYZE: numbers of
// calls, tokens of what was computed, and the time in which calls were at work.
func (h *handler) Spent(a *operator.Account) []string {
	spent, worked := a.Total()
	var lines []string
	line := func(n int, format string) {
		if n > 0 {
			lines = append(lines, fmt.Sprintf(format, count(int64(n))))
		}
	}
	for _, s := range spent {
		lines = append(lines, s.Function)
		line(s.Rows, "%s rows in")
		line(s.Distinct, "%s distinct")
		line(s.Cached, "%s rows from the cache")
		line(s.Failed, "%s rows failed")
		line(s.Prompt, "%s prompt tokens")
		line(s.Shared, "%s of them shared")
		line(s.Completion, "%s answer tokens")
	}
	if len(spent) == 0 {
		return []string{"nothing asked"}
	}
	return append(lines, duration(worked.Seconds()))
}
