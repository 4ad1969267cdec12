package inference

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// Generate answers a whole batch. done is called once per request as it is
// finished, in no order, on the goroutine of the caller, and Generate returns
// after the last. A row's own failure is in its Completion; what fails the
// statement (an unknown model, a model that cannot be loaded, an engine that
// died twice, the end of ctx) is returned, and then done has not been called
// for every request.
//
// Requests of several models run side by side. Equal requests at temperature 0
// are computed once, unless they have CacheOff. When an engine dies, it is started again and what it had
// not finished is tried once more.
func (e *Engine) Generate(ctx context.Context, reqs []Request, done func(i int, c Completion)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := newOutcomes()
	groups, err := e.group(reqs, out)
	if err != nil {
		return err
	}
	if err := announce(ctx, groups); err != nil {
		return err
	}
	ended := make(chan *group)
	start := func(g *group) {
		go func() {
			g.err = g.run(ctx)
			ended <- g
		}()
	}
	for _, g := range groups {
		start(g)
	}
	var waiting []*group // had no room beside this call's other models
	var failed error
	for running := len(groups); running > 0 || out.pending(); {
		select {
		case <-out.wake:
			out.drain(done)
		case g := <-ended:
			running--
			switch {
			case g.err == nil || failed != nil:
			case errs.CodeOf(g.err) == errs.OutOfMemory && running > 0:
				waiting = append(waiting, g)
			default:
				failed = g.err
				cancel()
			}
			if running == 0 && failed == nil && len(waiting) > 0 {
				start(waiting[0])
				waiting = waiting[1:]
				running++
			}
		}
	}
	return failed
}

// group is the part of a batch that is for one model. Its fields are its own
// goroutine's.
type group struct {
	e        *Engine
	model    string
	rows     []*row
	out      *outcomes
	adapters map[AdapterUse]resolved // what the registry said in this batch
	err      error
}

// row is one computation and the requests that it answers.
type row struct {
	req      *Request
	indexes  []int
	deadline time.Time
	plain    bool
	finished bool
	key      *CacheKey // under which its answer is kept; nil: it is not
	prior    *prior    // what its answer is held against; nil: nothing
	lineage  *Lineage
	finds    func(Completion) // it is a prior, not one of the batch's; nil: it is one

	announced, admitted bool // to the Gate
}

// group checks requests, resolves their models and sorts them.
func (e *Engine) group(reqs []Request, out *outcomes) ([]*group, error) {
	names := map[string]string{} // as asked → as registered
	byModel := map[string]*group{}
	same := map[string]*row{}
	var groups []*group
	for i := range reqs {
		req := reqs[i] // a copy: defaults are put in
		name, known := names[req.Model]
		if !known {
			m, err := e.cfg.Registry.Model(req.Model)
			if err != nil {
				return nil, err
			}
			name = m.Name
			names[req.Model] = name
		}
		if err := normalise(&req); err != nil {
			out.put(i, Completion{Model: name, Err: err})
			continue
		}
		g := byModel[name]
		if g == nil {
			g = &group{e: e, model: name, out: out, adapters: map[AdapterUse]resolved{}}
			byModel[name] = g
			groups = append(groups, g)
		}
		if req.Params.Temperature == 0 && req.Cache != CacheOff {
			k := sameKey(name, &req)
			if r := same[k]; r != nil {
				r.indexes = append(r.indexes, i)
				continue
			}
			same[k] = &row{req: &req, indexes: []int{i}}
			g.rows = append(g.rows, same[k])
			continue
		}
		g.rows = append(g.rows, &row{req: &req, indexes: []int{i}})
	}
	return groups, nil
}

// sameKey is equal for requests that must have equal answers. The seed is not
// in it: at temperature 0 nothing is drawn.
func sameKey(model string, r *Request) string {
	var b strings.Builder
	text := func(s string) {
		b.WriteString(strconv.Itoa(len(s)))
		b.WriteByte(':')
		b.WriteString(s)
	}
	text(model)
	text(r.Prompt)
	text(r.System)
	b.WriteString(strconv.Itoa(len(r.Messages)))
	for _, m := range r.Messages {
		text(m.Role)
		text(m.Content)
	}
	for _, s := range r.Params.Stop {
		text(s)
	}
	b.WriteString(strconv.Itoa(len(r.Continuations)))
	for _, s := range r.Continuations {
		text(s)
	}
	if c := r.Choice; c != nil {
		text(c.Asked)
		text(c.Lead)
		text(c.Text)
		text(c.Cue)
		for _, s := range c.Answers {
			text(s)
		}
	}
	if t := r.Reading; t != nil {
		text(t.Instruction)
		b.WriteString(strconv.Itoa(len(t.Texts)))
		for _, s := range t.Texts {
			text(s)
		}
		b.WriteString(strconv.FormatBool(t.Answers))
	}
	text(r.Params.Grammar)
	if r.Schema != nil {
		text(r.Schema.text)
		b.WriteString(strconv.FormatBool(r.Cut))
	}
	p := r.Params
	if r.Choice != nil {
		fmt.Fprint(&b, r.Choice.Label, r.Choice.Calibrate)
	}
	fmt.Fprint(&b, r.Messages == nil, r.Choice == nil, r.Reading == nil, r.Raw, r.SpecialTokens, r.Logprobs, r.Timeout, r.Adapters, r.Cache,
		p.MaxTokens, p.TopP, p.TopK, p.MinP, p.RepeatPenalty, p.IgnoreEOS)
	return b.String()
}

// run computes the group's rows.
func (g *group) run(ctx context.Context) error {
	return g.e.twice(ctx, g.model, func(l *live) error { return g.submit(ctx, l) })
}

// twice leases a model for work on rows, and once again, on a new process, when
// its process dies: work then goes on with the rows that it had not finished.
func (e *Engine) twice(ctx context.Context, model string, work func(*live) error) error {
	for attempt := 1; ; attempt++ {
		l, err := e.acquire(ctx, model, nil)
		if err != nil {
			return err
		}
		err = work(l)
		if errs.CodeOf(err) == errs.EngineDied {
			e.bury(l)
		}
		e.release(l)
		switch {
		case ctx.Err() != nil:
			return contextError(ctx.Err())
		case errs.CodeOf(err) == errs.EngineDied && attempt == 1:
			e.log.Warn("engine died at work; unfinished rows are tried again", "model", model)
		case errs.CodeOf(err) == errs.EngineDied:
			return diedTwice(err, model)
		case err != nil:
			return err
		default:
			return nil
		}
	}
}

func diedTwice(err error, model string) error {
	return errs.Wrap(err, errs.EngineDied, "generate",
		"the engine of model %q died, was started again and died again on the same rows; try fewer of them, or a smaller context_length or slots", model)
}

// submit gives the unfinished rows to a process.
func (g *group) submit(ctx context.Context, l *live) error {
	var reqs []decode.Request
	var rows []*row
	for _, r := range slices.Concat(g.priorRows(l), g.rows) {
		if r.finished {
			continue
		}
		if ctx.Err() != nil { // templates of many rows take a while
			return ctx.Err()
		}
		req, err := g.e.request(ctx, l, r, g.adapters)
		if r.req.Lineage {
			r.lineage = g.lineage(l, r)
		}
		if err != nil {
			r.finish(g.out, Completion{Model: g.model, Err: err})
			continue
		}
		reqs, rows = append(reqs, req), append(rows, r)
	}
	reqs, rows = g.fromCache(l, reqs, rows)
	if len(reqs) == 0 {
		return nil
	}
	if err := admit(ctx, l, reqs, rows); err != nil {
		return err
	}
	err := l.proc.Submit(ctx, reqs, func(ev decode.Event) {
		if ev.Result != nil && ev.Index >= 0 && ev.Index < len(rows) {
			r := rows[ev.Index]
			c := completion(g.model, r.plain, ev.Result)
			g.keep(r, &c)
			if reqs[ev.Index].Keep != "" {
				l.hasSpoken()
			}
			r.finish(g.out, c)
		}
	})
	if err != nil {
		if errs.CodeOf(err) == errs.EngineDied {
			g.e.distrust(rows)
		}
		return err
	}
	for _, r := range rows {
		if !r.finished && ctx.Err() == nil {
			return errs.New(errs.Internal, "generate", "the engine of model %q left a row without an answer", g.model)
		}
	}
	return nil
}

func (r *row) finish(out *outcomes, c Completion) {
	if r.prior != nil && !r.prior.apply(r, out, &c) {
		return
	}
	r.finished = true
	c.Lineage, c.Adapters = r.lineage, r.req.Adapters
	if r.req.Schema != nil && c.Err == nil {
		c.Err = r.req.Schema.check(&c, r.req.Cut)
	}
	if r.finds != nil {
		r.finds(c)
	}
	for _, i := range r.indexes {
		out.put(i, c)
		c.Cached = c.Err == nil // one of them was computed, if any
	}
}

// completion is a result as callers see it.
func completion(model string, plain bool, r *decode.Result) Completion {
	c := Completion{
		Text: r.Text, FinishReason: string(r.FinishReason),
		PromptTokens: r.PromptTokens, SharedTokens: r.SharedTokens, CompletionTokens: r.CompletionTokens,
		Logprob: r.Logprob, Scores: r.Scores, ScoreTokens: r.ScoreTokens, Queue: r.Queue, Prefill: r.Prefill, Decode: r.Decode,
		Model: model, Err: r.Err,
	}
	if plain {
		c.Text = strings.TrimSpace(c.Text)
	}
	return c
}

// outcomes carries completions from the goroutines that make them to the one
// that hands them out. Putting never blocks.
type outcomes struct {
	wake chan struct{} // has one item while items may be there
	mu   sync.Mutex
	rows []outcome
}

type outcome struct {
	index int
	c     Completion
}

func newOutcomes() *outcomes { return &outcomes{wake: make(chan struct{}, 1)} }

func (o *outcomes) put(i int, c Completion) {
	o.mu.Lock()
	o.rows = append(o.rows, outcome{i, c})
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outcomes) pending() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rows) > 0
}

func (o *outcomes) drain(done func(int, Completion)) {
	o.mu.Lock()
	rows := o.rows
	o.rows = nil
	o.mu.Unlock()
	for _, r := range rows {
		done(r.index, r.c)
	}
}
