package inference

import (
	"context"

	"hyprstream/errs"
	"hyprstream/runtime/worker"
)

// Embedding is what a text became. Err is the text's own failure.
type Embedding struct {
	Vector       []float32 // of length 1; its dimensions are the model's
	PromptTokens int
	Model        string // the name it resolved to
	Err          *errs.Error
}

// Embed turns texts into vectors. done is called once per text as batches are
// finished, in no order, on the goroutine of the caller. Equal texts are computed
// once. A text's own failure, such as one that is longer than the model takes
// (errs.ContextOverflow), is in its Embedding; what fails the statement is
// returned, as Generate does, and an engine that dies is started once again.
func (e *Engine) Embed(ctx context.Context, model string, texts []string, done func(i int, v Embedding)) error {
	m, err := e.cfg.Registry.Model(model)
	if err != nil {
		return err
	}
	rows := map[string][]int{} // distinct texts that have no vector yet
	for i, t := range texts {
		rows[t] = append(rows[t], i)
	}
	if gate := GateOf(ctx); gate != nil && len(rows) > 0 {
		if err := gate.Rows(len(rows)); err != nil {
			return err
		}
	}
	admitted := false
	return e.twice(ctx, m.Name, func(l *live) error {
		var left []string
		for i, t := range texts {
			if r := rows[t]; len(r) > 0 && r[0] == i {
				left = append(left, t)
			}
		}
		if !admitted {
			if err := admitTexts(ctx, l, left); err != nil {
				return err
			}
			admitted = true
		}
		err := l.proc.Embed(ctx, left, func(v worker.Vector) {
			if v.Index < 0 || v.Index >= len(left) {
				return
			}
			t := left[v.Index]
			for _, i := range rows[t] {
				done(i, Embedding{Vector: v.Values, PromptTokens: v.Tokens, Model: m.Name, Err: v.Err})
			}
			delete(rows, t)
		})
		if err == nil && len(rows) > 0 {
			err = errs.New(errs.Internal, "embed", "the engine of model %q left %d texts without an answer", m.Name, len(rows))
		}
		return err
	})
}
