package inference

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	"hyprstream/runtime/decode"
)

// Calibration says whether the answers of a Choice are held against what the model
// says where there is no text: a model leans towards some labels whatever it reads,
// and a small one more than a text can outweigh.
type Calibration uint8

// The calibrations.
const (
	CalibratePlain Calibration = iota // where the model is asked in plain text: it has no chat template
	CalibrateOn
	CalibrateOff
)

// leastPrior is the least that an answer's prior is taken for, times the number of
// answers: one that a model never gives by itself must not win by that alone.
const leastPrior = 0.001

// priorsKept is how many questions' priors a process's lease remembers.
const priorsKept = 1000

// priors are what a model says without a text, by question. It may be used from
// several goroutines; its zero value is ready.
type priors struct {
	mu sync.Mutex
	of map[string][]float64
}

func (p *priors) get(key string) []float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[key]
}

func (p *priors) put(key string, scores []float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil || len(p.of) >= priorsKept {
		p.of = map[string][]float64{}
	}
	p.of[key] = scores
}

// prior is what rows with one question wait for before they are finished.
type prior struct {
	scores  []float64 // nil: not known yet
	by      *row      // what finds them; nil: they were known
	waiting []waiting
	spent   Completion // what it has cost; the first row that is finished bears it
}

type waiting struct {
	r   *row
	out *outcomes
	c   Completion
}

// calibrates says whether a request's answers are to be held against a prior.
func (l *live) calibrates(r *Request) bool {
	if r.Choice == nil {
		return false
	}
	switch r.Choice.Calibrate {
	case CalibrateOn:
		return true
	case CalibrateOff:
		return false
	}
	return r.Raw || l.template == nil && l.broken == nil
}

// question is a request without its text.
func (r *Request) question() Request {
	q, c := *r, *r.Choice
	c.Text = ""
	q.Choice, q.Prompt, q.Timeout = &c, "", 0 // the prompt of a choice is what it was made of
	return q
}

// priorRows gives rows their priors, and returns rows that find those which are not
// known: one for each question, each of them like any other row.
func (g *group) priorRows(l *live) (more []*row) {
	asked := map[string]*prior{}
	for _, r := range g.rows {
		r.prior = nil
		if r.finished || !l.calibrates(r.req) {
			continue
		}
		q := r.req.question()
		key := sameKey(g.model, &q)
		p := asked[key]
		if p == nil {
			p = &prior{scores: l.priors.get(key)}
			asked[key] = p
			if p.scores == nil {
				p.by = &row{req: &q, announced: true, finds: func(c Completion) { p.found(l, key, c) }}
				more = append(more, p.by)
			}
		}
		r.prior = p
	}
	return more
}

// found takes what the model says without a text, and finishes the rows that waited.
func (p *prior) found(l *live, key string, c Completion) {
	if c.Err == nil {
		l.priors.put(key, c.Scores)
	}
	p.scores, p.spent = c.Scores, c
	for _, w := range p.waiting {
		if w.c.Err == nil {
			w.c.Err = c.Err
		}
		w.r.finish(w.out, w.c)
	}
	p.waiting = nil
}

// apply holds an answer against the prior; false: it has to wait for it.
func (p *prior) apply(r *row, out *outcomes, c *Completion) bool {
	if p.scores == nil && p.spent.Err == nil {
		p.waiting = append(p.waiting, waiting{r, out, *c})
		return false
	}
	if c.Err == nil {
		c.Scores = r.req.Choice.calibrated(c.Scores, p.scores)
	}
	if p.spent.PromptTokens > 0 && !p.spent.Cached {
		c.PromptTokens += p.spent.PromptTokens
		c.SharedTokens += p.spent.SharedTokens
		c.CompletionTokens += p.spent.CompletionTokens
		c.Cached = false
	}
	p.spent = Completion{Err: p.spent.Err}
	return true
}

// calibrated are scores by which each answer is as likely as it is with the text
// beside without one.
func (c *Choice) calibrated(scores, without []float64) []float64 {
	p, base := c.Probabilities(scores), c.Probabilities(without)
	least := leastPrior / float64(len(p))
	for i := range p {
		p[i] /= max(base[i], least)
	}
	// As Probabilities takes what longer answers take from those they begin with,
	// it is put back here.
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(len(c.Answers[b]), len(c.Answers[a])) })
	for _, i := range order {
		if of := c.begins(c.Answers[i]); of >= 0 {
			p[of] += p[i]
		}
	}
	for i := range p {
		p[i] = math.Log(p[i])
	}
	return p
}

// countPriors adds what finding priors would cost to the first row of each question.
func (g *group) countPriors(ctx context.Context, l *live, counted map[*row]Counted) error {
	more := g.priorRows(l)
	if len(more) == 0 {
		return nil
	}
	reqs := make([]decode.Request, len(more))
	first := map[*row]*row{} // by what finds its prior
	for _, r := range g.rows {
		if r.prior != nil && r.prior.by != nil && first[r.prior.by] == nil && counted[r].Err == nil {
			first[r.prior.by] = r
		}
	}
	for i, r := range more {
		req, err := g.e.request(ctx, l, r, g.adapters)
		if err != nil {
			return nil //nolint:nilerr // the rows themselves say so
		}
		reqs[i] = req
	}
	known := g.known(l, reqs, more)
	return l.eachPrompt(ctx, reqs, func(i int, tokens []decode.Token) {
		if r := first[more[i]]; r != nil && !known[i] {
			c := counted[r]
			c.Prior = tokens
			counted[r] = c
		}
	})
}
