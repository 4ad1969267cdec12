package inference

import (
	"context"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// Gate is asked before anything is computed under its context. Its error refuses
// what it was asked for, and is the call's. Its methods may be called from several
// goroutines at once.
type Gate interface {
	// Rows is told of n more rows that models are going to compute: equal ones are
	// one, and those that the cache knows are none. Where the cache need not be
	// asked for it, it is told before a model is loaded.
	Rows(n int) error
	// Work is told of rows that are about to be given to a model's process.
	Work(w Work) error
}

// Work is what a model is about to compute. Its functions ask the process.
type Work struct {
	Model string
	Write int // rows whose answer is written; the others are scored or embedded
	// Prompts counts the tokens of all prompts.
	Prompts func() (int, error)
	// Rate is the speed of the process so far.
	Rate func() Rate
}

type gateKey struct{}

// WithGate puts g before all that is computed under the context.
func WithGate(ctx context.Context, g Gate) context.Context {
	return context.WithValue(ctx, gateKey{}, g)
}

// GateOf is the gate before what is computed under the context; nil: none.
func GateOf(ctx context.Context) Gate {
	g, _ := ctx.Value(gateKey{}).(Gate)
	return g
}

// announce tells the gate of the rows that no cache can answer.
func announce(ctx context.Context, groups []*group) error {
	gate := GateOf(ctx)
	if gate == nil {
		return nil
	}
	n := 0
	for _, g := range groups {
		for _, r := range g.rows {
			if g.e.cfg.Cache == nil || r.req.Cache != CachePersistent {
				r.announced = true
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	return gate.Rows(n)
}

// admit asks the gate for rows that are about to be submitted, once for each.
func admit(ctx context.Context, l *live, reqs []decode.Request, rows []*row) error {
	gate := GateOf(ctx)
	if gate == nil {
		return nil
	}
	unannounced := 0
	var fresh []decode.Request
	var asked []*row
	for i, r := range rows {
		if !r.announced {
			r.announced = true
			unannounced++
		}
		if !r.admitted {
			fresh, asked = append(fresh, reqs[i]), append(asked, r)
		}
	}
	if unannounced > 0 {
		if err := gate.Rows(unannounced); err != nil {
			return err
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	w := Work{Model: l.model.Name, Rate: func() Rate { return l.rate(ctx) }}
	for i := range fresh {
		if fresh[i].Continuations == nil {
			w.Write++
		}
	}
	w.Prompts = func() (n int, err error) {
		return n, l.eachPrompt(ctx, fresh, func(_ int, tokens []decode.Token) { n += len(tokens) })
	}
	if err := gate.Work(w); err != nil {
		return err
	}
	for _, r := range asked {
		r.admitted = true
	}
	return nil
}

// admitTexts asks the gate for texts that are about to be embedded.
func admitTexts(ctx context.Context, l *live, texts []string) error {
	gate := GateOf(ctx)
	if gate == nil {
		return nil
	}
	return gate.Work(Work{Model: l.model.Name, Rate: func() Rate { return l.rate(ctx) },
		Prompts: func() (n int, err error) {
			return n, l.eachText(ctx, texts, func(_ int, tokens []decode.Token) { n += len(tokens) })
		}})
}

// Rate is how fast a process has computed since it started, in tokens per second
// of its work, over all rows that ran side by side; 0 is not measured yet.
type Rate struct{ Prefill, Decode float64 }

// Rate is that of a model's process; nothing is measured where it has none. It
// loads nothing. Errors: errs.ModelNotFound.
func (e *Engine) Rate(ctx context.Context, model string) (Rate, error) {
	m, err := e.cfg.Registry.Model(model)
	if err != nil {
		return Rate{}, err
	}
	e.mu.Lock()
	var l *live
	if r := e.residents[m.Name]; r != nil {
		l = r.live
	}
	e.mu.Unlock()
	if l == nil {
		return Rate{}, nil
	}
	return l.rate(ctx), nil
}

func (l *live) rate(ctx context.Context) (r Rate) {
	ctx, cancel := context.WithTimeout(ctx, statsPatience)
	defer cancel()
	s, err := l.proc.Stats(ctx)
	if err != nil { // a process that dies has no speed
		return r
	}
	if computed := s.PromptTokens - s.SharedTokens; computed > 0 && s.PrefillSeconds > 0 {
		r.Prefill = float64(computed) / s.PrefillSeconds
	}
	if s.CompletionTokens > 0 && s.DecodeSeconds > 0 {
		r.Decode = float64(s.CompletionTokens) / s.DecodeSeconds
	}
	return r
}

// countPart is how many texts are tokenized in one message, between which a call
// can be given up.
const countPart = 256

// eachPrompt tokenizes prompts as they would be computed.
func (l *live) eachPrompt(ctx context.Context, reqs []decode.Request, each func(i int, tokens []decode.Token)) error {
	for _, bos := range []bool{false, true} {
		var texts [][]decode.Segment
		var index []int
		for i := range reqs {
			if reqs[i].AddBOS == bos {
				texts, index = append(texts, reqs[i].Prompt), append(index, i)
			}
		}
		err := inParts(len(texts), func(from, to int) ([][]decode.Token, error) {
			return l.proc.Tokenize(ctx, texts[from:to], bos)
		}, func(i int, tokens []decode.Token) { each(index[i], tokens) })
		if err != nil {
			return err
		}
	}
	return nil
}

// eachText tokenizes texts as they would be embedded.
func (l *live) eachText(ctx context.Context, texts []string, each func(i int, tokens []decode.Token)) error {
	return inParts(len(texts), func(from, to int) ([][]decode.Token, error) {
		return l.proc.TokenizeWhole(ctx, texts[from:to])
	}, each)
}

func inParts(n int, tokenize func(from, to int) ([][]decode.Token, error), each func(int, []decode.Token)) error {
	for from := 0; from < n; from += countPart {
		to := min(n, from+countPart)
		tokens, err := tokenize(from, to)
		if err != nil {
			return err
		}
		if len(tokens) != to-from {
			return errs.New(errs.Internal, "tokenize", "%d texts gave %d answers", to-from, len(tokens))
		}
		for i, t := range tokens {
			each(from+i, t)
		}
	}
	return nil
}
