package sqlfuncs

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/runtime/decode"
	"hyprstream/sqlfuncs/operator"
)

var estimateColumns = []operator.Column{
	{Name: "function", Type: "VARCHAR"}, {Name: "model", Type: "VARCHAR"}, {Name: "adapter", Type: "VARCHAR"},
	{Name: "rows", Type: "BIGINT"}, {Name: "distinct_rows", Type: "BIGINT"}, {Name: "cached_rows", Type: "BIGINT"},
	{Name: "prompt_tokens", Type: "BIGINT"}, {Name: "shared_tokens", Type: "BIGINT"}, {Name: "max_completion_tokens", Type: "BIGINT"},
	{Name: "seconds", Type: "DOUBLE"}, {Name: "complete", Type: "BOOLEAN"}, {Name: "note", Type: "VARCHAR"},
}

// estimate gathers the calls of a SELECT that is only counted.
type estimate struct {
	mu     sync.Mutex
	seen   map[string]*asked
	groups []*estimated
}

// estimated are the calls of a function on a model with the same adapters.
type estimated struct {
	function, model, adapter string

	rows   int
	asked  []*asked // different ones
	failed int      // calls that cannot work
	first  error    // of them
}

// asked is a request, or a text to be embedded, and how many calls it answers.
type asked struct {
	req   inference.Request
	calls int
}

// estimateOf finds or makes an estimate of the operator's statement.
func estimateOf(ctx context.Context) (*estimate, error) {
	t := operator.TermsOf(ctx)
	st, ok := ctx.Value(statementKey{}).(*statement)
	if !ok {
		return nil, errs.New(errs.Internal, "ai_estimate", "the statement has no context of its own")
	}
	p := &st.purse
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renew(t)
	e := p.estimates[t.Estimate]
	if e == nil {
		e = &estimate{seen: map[string]*asked{}}
		p.estimates[t.Estimate] = e
	}
	return e, nil
}

// gather counts calls instead of answering them.
func (h *handler) gather(ctx context.Context, calls []operator.Call) error {
	e, err := estimateOf(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range calls {
		if err := e.add(h, c); err != nil {
			return err
		}
	}
	return nil
}

// add counts a call. Its error is the statement's.
func (e *estimate) add(h *handler, c operator.Call) error {
	r, _, err := read(c, optionsOf(c.Fn))
	b, batched := batchedFunctions[c.Fn]
	if err == nil && batched && !b.ask(&r) || r.null {
		return nil
	}
	model, _ := h.modelOf(c, r)
	if c.Fn != fnChat {
		m, err := h.Registry.Model(r.req.Model)
		if err != nil {
			return err
		}
		model = m.Name
	}
	g := e.group(nameOf(c.Fn), model, adapterOf(c, r))
	g.rows += r.choices
	switch {
	case err != nil:
		g.fail(err)
	case c.Fn == fnGenerateTable:
		for i := range r.choices {
			req := r.req
			req.Params.Seed += uint32(i)
			g.asked = append(g.asked, &asked{req, 1})
		}
	case c.Fn == fnChat || c.Fn == fnGenerateStream:
		g.asked = append(g.asked, &asked{r.req, 1})
	default:
		e.distinct(g, c, r)
	}
	return nil
}

// distinct adds a call, as a request of its own unless there is an equal one.
func (e *estimate) distinct(g *estimated, c operator.Call, r call) {
	k := "embed" + g.model + "\x00" + r.req.Prompt
	if b, ok := batchedFunctions[c.Fn]; ok {
		if r.labels != nil { // their order is nothing
			c.Args = append([]operator.Arg{}, c.Args...)
			c.Args[2].List = r.req.Choice.Answers
		}
		k = strconv.Itoa(int(b.asks)) + key(c, r.req, given(c, b.opts, "seed"))
	}
	a := e.seen[k]
	if a == nil {
		a = &asked{req: r.req}
		e.seen[k] = a
		g.asked = append(g.asked, a)
	}
	a.calls++
}

func (e *estimate) group(function, model, adapter string) *estimated {
	for _, g := range e.groups {
		if g.function == function && g.model == model && g.adapter == adapter {
			return g
		}
	}
	g := &estimated{function: function, model: model, adapter: adapter}
	e.groups = append(e.groups, g)
	return g
}

func (g *estimated) fail(err error) {
	g.failed++
	if g.first == nil {
		g.first = err
	}
}

// estimate gives a row for each function, model and set of adapters whose calls
// were gathered.
func (h *handler) estimate(ctx context.Context, c operator.Call, row func([]*string)) error {
	e, err := estimateOf(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
		cost, err := h.count(ctx, g)
		if err != nil {
			return err
		}
		row(cost.cells(g, c.Args[0].Text == "true"))
	}
	return nil
}

// cost is what a group comes to.
type cost struct {
	cached, prompt, shared, most int
	counted                      bool // the numbers above are known
	more                         bool // and not all: answers are asked about again
	seconds                      *string
	notes                        []string
}

func (h *handler) count(ctx context.Context, g *estimated) (c cost, err error) {
	if g.function == "chat" {
		return cost{notes: []string{"a dialogue's turns depend on the answers in it: prompts are not counted"}}, nil
	}
	reqs, of, err := h.requests(ctx, g, &c)
	if err != nil {
		return c, err
	}
	var prompts [][]decode.Token
	computed := 0
	each := func(i int, n inference.Counted) {
		if n.Prior != nil {
			prompts = append(prompts, n.Prior)
			c.prompt += len(n.Prior)
		}
		switch {
		case n.Err != nil:
			g.failed += of[i].calls - 1
			g.fail(n.Err)
		case n.Cached:
			c.cached += of[i].calls
		default:
			computed++
			prompts = append(prompts, n.Tokens)
			c.prompt += len(n.Tokens)
			c.most += n.Most
		}
	}
	if g.function == "embed" {
		err = h.Engine.CountTexts(ctx, g.model, promptsOfRequests(reqs), each)
	} else {
		err = h.Engine.Count(ctx, reqs, each)
		c.shared = inference.Shared(prompts)
	}
	c.counted = !c.more
	h.price(ctx, g, computed, &c)
	return c, err
}

// requests are those that a group's calls come to, and which call each is of. Of
// texts that are read in parts the first level is counted.
func (h *handler) requests(ctx context.Context, g *estimated, c *cost) (reqs []inference.Request, of []*asked, err error) {
	var open []*reduction
	for _, a := range g.asked {
		if a.req.Reading != nil {
			open = append(open, &reduction{req: a.req})
			continue
		}
		reqs, of = append(reqs, a.req), append(of, a)
	}
	if len(open) == 0 {
		return reqs, of, nil
	}
	if err := h.divide(ctx, open); err != nil {
		return nil, nil, err
	}
	several := 0
	for i, r := range open {
		if r.total.Err != nil {
			g.failed += g.asked[i].calls - 1
			g.fail(r.total.Err)
			continue
		}
		for _, texts := range r.parts {
			reqs, of = append(reqs, r.of(texts)), append(of, g.asked[i])
		}
		if len(r.parts) > 1 {
			several++
		}
	}
	if c.more = several > 0; c.more {
		c.notes = append(c.notes, fmt.Sprintf("%d groups are read in parts: what combines the partial answers is not counted", several))
	}
	return reqs, of, nil
}

func promptsOfRequests(reqs []inference.Request) []string {
	texts := make([]string, len(reqs))
	for i, r := range reqs {
		texts[i] = r.Prompt
	}
	return texts
}

// price puts in the seconds, where the model's speed is known.
func (h *handler) price(ctx context.Context, g *estimated, computed int, c *cost) {
	if g.failed > 0 {
		c.notes = append(c.notes, fmt.Sprintf("%d rows fail: %v", g.failed, g.first))
	}
	answers := float64(c.most)
	s := h.history.of(g.function, g.model)
	switch {
	case s.rows > 0:
		_, mean := s.mean(0)
		if answers = mean * float64(computed); writing[g.function] {
			answers = min(answers, float64(c.most))
		}
	case writing[g.function] && computed > 0:
		c.notes = append(c.notes, "no answers were measured yet: seconds are for the longest ones")
	}
	seconds, measured := h.seconds(ctx, g.model, float64(c.prompt-c.shared), answers, writing[g.function])
	switch {
	case computed == 0:
		c.seconds = float(0)
	case measured:
		c.seconds = float(math.Round(seconds*1000) / 1000)
	default:
		c.notes = append(c.notes, "the model's speed is not measured yet")
	}
}

// cells are the row of a group.
func (c *cost) cells(g *estimated, complete bool) []*string {
	if !complete {
		c.notes = append(c.notes, "calls depend on answers that are not known: NULL was taken for them")
	}
	adapter := &g.adapter
	if g.adapter == "" {
		adapter = nil
	}
	out := []*string{&g.function, &g.model, adapter, num(g.rows), num(len(g.asked)), nil, nil, nil, nil, c.seconds,
		truth(complete && c.counted), nil}
	if c.counted || c.more {
		out[5], out[6], out[7] = num(c.cached), num(c.prompt), num(c.shared)
		if writing[g.function] {
			out[8] = num(c.most)
		}
	}
	if note := strings.Join(c.notes, "; "); note != "" {
		out[11] = &note
	}
	return out
}
