package sqlfuncs

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// Stream makes the rows of a table function. A row's failure is the statement's:
// there is no NULL to put in its place.
func (h *handler) Stream(ctx context.Context, c operator.Call, row func([]*string)) error {
	switch {
	case c.Fn == fnEstimate:
		return h.estimate(ctx, c, row)
	case operator.TermsOf(ctx).Estimate != 0:
		return h.gather(ctx, []operator.Call{c})
	}
	ctx, explain, leave := h.watched(ctx)
	defer leave()
	return explain(h.stream(ctx, c, row))
}

func (h *handler) stream(ctx context.Context, c operator.Call, row func([]*string)) error {
	r, _, err := read(c, optionsOf(c.Fn))
	if err != nil || r.null {
		return err
	}
	r.req.Cut = true // finish_reason says so
	if c.Fn == fnGenerateTable {
		return h.choices(ctx, r, row)
	}
	var said *speech // nil without a session
	if r.session != "" {
		if said, err = h.speak(ctx, r.session, &r.req); err != nil {
			return err
		}
		defer said.End()
	}
	rec := recorderOf(ctx)
	rec.Expect("generate_stream", r.req.Model, 1, 1)
	r.req.Logprobs = true
	var text strings.Builder
	kept := false
	err = h.Engine.Stream(ctx, r.req, func(ch inference.Chunk) error {
		if said != nil {
			text.WriteString(ch.Text)
		}
		cells := []*string{num(ch.Seq), &ch.Text, nil, nil, truth(ch.Done), nil, nil, nil, nil}
		if ch.Token >= 0 && !(ch.Done && ch.Text == "") {
			cells[2], cells[3] = num(int(ch.Token)), float(ch.Logprob)
		}
		if f := ch.Final; f != nil {
			rec.Row("generate_stream", *f, 1)
			if f.Err != nil {
				return f.Err
			}
			if said != nil { // on disk before its last row is told
				if err := said.answered(text.String()); err != nil {
					return err
				}
				kept = true
			}
			cells[5], cells[6], cells[7], cells[8] = &f.FinishReason, num(f.PromptTokens), num(f.CompletionTokens), &f.Model
		}
		row(cells)
		return nil
	})
	if said != nil && !kept && ctx.Err() != nil && text.Len() > 0 {
		// Stopped by its client, who has read that much.
		if unkept := said.answered(text.String()); unkept != nil {
			return errors.Join(err, unkept)
		}
	}
	return err
}

func (h *handler) choices(ctx context.Context, r call, row func([]*string)) error {
	r.req.Logprobs = true
	reqs := make([]inference.Request, r.choices)
	for i := range reqs {
		reqs[i] = r.req
		reqs[i].Params.Seed += uint32(i)
	}
	rec := recorderOf(ctx)
	rec.Expect("generate", r.req.Model, len(reqs), len(reqs))
	var failed error
	err := h.Engine.Generate(ctx, reqs, func(i int, c inference.Completion) {
		rec.Row("generate", c, 1)
		if c.Err != nil {
			if failed == nil {
				failed = c.Err
			}
			return
		}
		row([]*string{num(i), &c.Text, &c.FinishReason, num(c.PromptTokens), num(c.SharedTokens),
			num(c.CompletionTokens), float(c.Logprob), &c.Model})
	})
	if err == nil {
		err = failed
	}
	return err
}

func num(n int) *string {
	s := strconv.Itoa(n)
	return &s
}

func float(f float64) *string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	return &s
}

func truth(b bool) *string {
	s := strconv.FormatBool(b)
	return &s
}
