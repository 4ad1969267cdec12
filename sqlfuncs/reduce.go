package sqlfuncs

import (
	"context"
	"time"

	"hyprstream/errs"
	"hyprstream/inference"
)

// reduction is a group on its way to one answer. Texts that do not fit one prompt
// are asked about in parts, level by level: the answers of one are the texts of the next.
type reduction struct {
	at       int // in what is asked
	req      inference.Request
	deadline time.Time // zero: none

	parts   [][]string // the texts of this level
	answers []string   // of the parts
	left    int        // parts without one
	total   inference.Completion
	known   int // answers so far, of all levels
}

// reduce has the groups among asked answered, all of one level side by side. done is
// called once for each, on this goroutine, as soon as it has its answer.
func (h *handler) reduce(ctx context.Context, asked []request, groups []int, done func(i int, c inference.Completion)) error {
	var open []*reduction
	for _, at := range groups {
		r := &reduction{at: at, req: asked[at].req}
		r.total.Model = r.req.Model
		open = append(open, r)
	}
	for len(open) > 0 {
		if err := h.divide(ctx, open); err != nil {
			return err
		}
		next, err := h.level(ctx, open, done)
		if err != nil {
			return err
		}
		open = next
	}
	return nil
}

// level asks for the parts of all groups at once, and returns the groups that have several answers now.
func (h *handler) level(ctx context.Context, open []*reduction, done func(i int, c inference.Completion)) (next []*reduction, err error) {
	type part struct {
		of *reduction
		at int
	}
	var parts []part
	var reqs []inference.Request
	now := time.Now()
	for _, r := range open {
		if r.total.Err == nil && r.req.Timeout > 0 && r.known > 0 && !r.deadline.After(now) {
			r.total.Err = errs.New(errs.Timeout, "generate", "timeout_ms has passed after %d partial answers", r.known)
		}
		if r.total.Err != nil {
			done(r.at, r.total)
			continue
		}
		if r.req.Timeout > 0 && r.known > 0 {
			r.req.Timeout = r.deadline.Sub(now)
		}
		r.deadline = now.Add(r.req.Timeout)
		r.answers, r.left = make([]string, len(r.parts)), len(r.parts)
		for i, texts := range r.parts {
			parts, reqs = append(parts, part{r, i}), append(reqs, r.of(texts))
		}
	}
	if len(reqs) == 0 {
		return nil, nil
	}
	err = h.Engine.Generate(ctx, reqs, func(i int, c inference.Completion) {
		r := parts[i].of
		r.take(parts[i].at, c)
		switch {
		case r.left > 0:
		case len(r.parts) == 1 || r.total.Err != nil:
			done(r.at, r.total)
		default:
			r.req.Reading = &inference.Reading{Instruction: r.req.Reading.Instruction, Texts: r.answers, Answers: true}
			next = append(next, r)
		}
	})
	return next, err
}

// of is the request about some of the texts.
func (r *reduction) of(texts []string) inference.Request {
	req := r.req
	reading := *r.req.Reading
	reading.Texts = texts
	req.Reading = &reading
	return req
}

// take takes in the answer to part i. What counts is all that was computed for the group.
func (r *reduction) take(i int, c inference.Completion) {
	r.left--
	r.answers[i] = c.Text
	t, first := &r.total, r.known == 0
	r.known++
	if t.Err == nil {
		t.Err = c.Err
	}
	t.Text, t.FinishReason, t.Model = c.Text, c.FinishReason, c.Model
	switch {
	case first || !c.Cached && t.Cached:
		addUp(t, c, inference.Completion{})
	case !c.Cached:
		addUp(t, c, *t)
	}
	t.Cached = c.Cached && (first || t.Cached)
}

// addUp sets what t has cost to the sum of two.
func addUp(t *inference.Completion, a, b inference.Completion) {
	t.PromptTokens = a.PromptTokens + b.PromptTokens
	t.SharedTokens = a.SharedTokens + b.SharedTokens
	t.CompletionTokens = a.CompletionTokens + b.CompletionTokens
	t.Queue, t.Prefill, t.Decode = a.Queue+b.Queue, a.Prefill+b.Prefill, a.Decode+b.Decode
}
