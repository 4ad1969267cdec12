package sqlfuncs

import (
	"context"
	"encoding/binary"
	"math"

	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// embed answers each row with its vector, as bytes. Equal texts are
// one. Several models take their turns, in the order they are first named.
func (h *handler) embed(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	type batch struct {
		model string
		texts []string // different ones
		rows  [][]int  // for each of texts, the calls it answers
		seen  map[string]int
		calls int
	}
	byModel := map[string]*batch{}
	var batches []*batch
	fail := make([]bool, len(calls))
	for i, c := range calls {
		r, _, err := read(c, embedOptions)
		fail[i] = r.fail
		if err != nil {
			done(i, operator.Answer{Err: asError(err), Fail: r.fail})
			continue
		}
		b := byModel[r.req.Model]
		if b == nil {
			b = &batch{model: r.req.Model, seen: map[string]int{}}
			byModel[b.model] = b
			batches = append(batches, b)
		}
		b.calls++
		at, known := b.seen[r.req.Prompt]
		if !known {
			at = len(b.texts)
			b.seen[r.req.Prompt] = at
			b.texts, b.rows = append(b.texts, r.req.Prompt), append(b.rows, nil)
		}
		b.rows[at] = append(b.rows[at], i)
	}
	rec := recorderOf(ctx)
	for _, b := range batches {
		rec.Expect("embed", b.model, b.calls, 0)
		keys := make([]digest, len(b.texts))
		for i, t := range b.texts {
			keys[i] = digestOf("embed|" + b.model + "|" + t)
		}
		ask := func(mine []int, got func(int, inference.Completion)) error {
			rec.Expect("embed", b.model, 0, len(mine))
			texts := make([]string, len(mine))
			for i, at := range mine {
				texts[i] = b.texts[at]
			}
			return h.Engine.Embed(ctx, b.model, texts, func(i int, v inference.Embedding) {
				got(mine[i], inference.Completion{Text: vectorBytes(v.Vector), Model: v.Model, PromptTokens: v.PromptTokens, Err: v.Err})
			})
		}
		err := statementOf(ctx).once(ctx, keys, ask, func(i int, c inference.Completion) {
			rec.Row("embed", c, len(b.rows[i]))
			a := operator.Answer{Text: c.Text, Err: c.Err}
			for _, row := range b.rows[i] {
				a.Fail = c.Err != nil && (fail[row] || c.Err.Code == errs.Cancelled)
				done(row, a)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// vectorBytes are v's numbers as they lie in memory: DuckDB's part of the process
// takes them as they are.
func vectorBytes(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.NativeEndian.AppendUint32(b, math.Float32bits(x))
	}
	return string(b)
}
