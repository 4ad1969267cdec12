package inference

import (
	"context"
	"slices"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// Counted is what a request would cost. Err says that it would fail.
type Counted struct {
	Tokens []decode.Token // of the prompt, as the model would get them
	Most   int            // tokens that its answer may have; 0 where none is written
	Limit  int            // tokens that prompt and answer may have together; 0: not known
	Prior  []decode.Token // of a prompt without a text that is computed for this request and others
	Cached bool           // nothing would be computed: the cache, or an equal request of the call, has the answer
	Err    *errs.Error
}

// Count says what requests of any models would cost, and computes nothing: it loads
// the models, renders and tokenizes. each is called once per request, on the
// caller's goroutine.
func (e *Engine) Count(ctx context.Context, reqs []Request, each func(i int, c Counted)) error {
	out := newOutcomes()
	groups, err := e.group(reqs, out)
	if err != nil {
		return err
	}
	out.drain(func(i int, c Completion) { each(i, Counted{Err: c.Err}) }) // options that cannot be
	for _, g := range groups {
		var counted map[*row]Counted
		err := e.ask(ctx, g.model, func(l *live) (err error) {
			counted, err = g.count(ctx, l)
			return err
		})
		if err != nil {
			return err
		}
		for _, r := range g.rows {
			c := counted[r]
			for _, i := range r.indexes {
				each(i, c)
				c.Cached, c.Prior = c.Err == nil, nil
			}
		}
	}
	return nil
}

// count says what a group's rows would cost on a process.
func (g *group) count(ctx context.Context, l *live) (map[*row]Counted, error) {
	out := make(map[*row]Counted, len(g.rows))
	var reqs []decode.Request
	var rows []*row
	for _, r := range g.rows {
		if ctx.Err() != nil {
			return nil, contextError(ctx.Err())
		}
		req, err := g.e.request(ctx, l, r, g.adapters)
		if err != nil {
			out[r] = Counted{Err: err}
			continue
		}
		reqs, rows = append(reqs, req), append(rows, r)
	}
	known := g.known(l, reqs, rows)
	limit := l.info.ContextLength
	err := l.eachPrompt(ctx, reqs, func(i int, tokens []decode.Token) {
		c := Counted{Tokens: tokens, Cached: known[i], Limit: limit}
		switch {
		case limit > 0 && len(tokens) >= limit:
			c = Counted{Limit: limit, Err: errs.New(errs.ContextOverflow, "count", "the prompt has %d tokens and the model's slots hold %d", len(tokens), limit)}
		case len(tokens) == 0:
			c.Tokens = []decode.Token{-1} // the model begins somewhere
		}
		if reqs[i].Continuations == nil && c.Err == nil {
			c.Most = reqs[i].Params.MaxTokens
			if limit > 0 {
				c.Most = min(c.Most, limit-len(c.Tokens))
			}
		}
		out[rows[i]] = c
	})
	if err != nil {
		return out, err
	}
	return out, g.countPriors(ctx, l, out)
}

// known says which rows the cache can answer.
func (g *group) known(l *live, reqs []decode.Request, rows []*row) []bool {
	out := make([]bool, len(rows))
	if g.e.cfg.Cache == nil {
		return out
	}
	var keys []CacheKey
	var index []int
	for i, r := range rows {
		if k := g.key(l, r, &reqs[i]); k != nil {
			keys, index = append(keys, *k), append(index, i)
		}
	}
	if len(keys) == 0 {
		return out
	}
	for i, value := range g.e.cfg.Cache.Get(keys) {
		_, out[index[i]] = recall(value)
	}
	return out
}

// CountTexts says what texts to be embedded would cost, as Count does.
func (e *Engine) CountTexts(ctx context.Context, model string, texts []string, each func(i int, c Counted)) error {
	counted := make([]Counted, len(texts))
	err := e.ask(ctx, model, func(l *live) error {
		return l.eachText(ctx, texts, func(i int, tokens []decode.Token) {
			counted[i] = Counted{Tokens: tokens}
			if len(tokens) == 0 {
				counted[i].Err = errs.New(errs.InvalidArgument, "count", "the text is empty, and this model's tokenizer puts nothing around it")
			}
		})
	})
	for i, c := range counted {
		if err == nil {
			each(i, c)
		}
	}
	return err
}

// Shared is how many of the prompts' tokens need not be computed again, where each
// is computed beside or after all others and everything that prompts begin with is kept: all
// but a prompt's own last token may be another's too.
func Shared(prompts [][]decode.Token) (n int) {
	prompts = slices.Clone(prompts)
	slices.SortFunc(prompts, slices.Compare[[]decode.Token])
	for i := 1; i < len(prompts); i++ {
		// Of all that come before it in this order its neighbour has most in common with it.
		a, b := prompts[i-1], prompts[i]
		most := min(len(a), len(b)-1)
		same := 0
		for same < most && a[same] == b[same] {
			same++
		}
		n += same
	}
	return n
}
