package sqlfuncs

import (
	"cmp"
	"context"
	"hash/fnv"
	"math"
	"slices"
	"sync"

	"hyprstream/inference"
)

// A cascade answers most rows of a filter by a cheap proxy's score and asks the
// model for the rest. What the score must be is learnt from rows that both have
// answered, and learnt on as the statement goes.

// sampleSize is how many rows the model answers before a proxy may: enough for
// quality := 0.95 where yes and no are about as many.
const sampleSize = 500

// fullSample is where more rows would hardly move the thresholds.
const fullSample = 4 * sampleSize

// audited is the share of later rows that the model answers whatever their score.
const audited = 0.02

// patience is how many rows the model may answer before a proxy that is sure of none
// is asked no more.
const patience = 20 * sampleSize

// cascade is what a statement knows of one question.
type cascade struct {
	question
	rec Recorder

	mu      sync.Mutex // guards the fields below; held while one part of the rows is sampled
	sample  []judged   // rows that the proxy and the model have answered
	proxied int
	useless bool // the proxy is asked no more
	vectors map[string][]float32
}

// cascades are those of one statement, by question. Its zero value is ready.
type cascades struct {
	mu  sync.Mutex
	all map[question]*cascade
}

func cascadeOf(ctx context.Context, q question) *cascade {
	cs := &statementOf(ctx).cascades
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.all == nil {
		cs.all = map[question]*cascade{}
	}
	c := cs.all[q]
	if c == nil {
		c = &cascade{question: q, rec: recorderOf(ctx), vectors: map[string][]float32{}}
		cs.all[q] = c
	}
	return c
}

// ask has the requests answered: by the model, or where they have a target by its
// cascade. done is called once for each, on this goroutine.
func (h *handler) ask(ctx context.Context, asked []request, done func(i int, c inference.Completion)) error {
	questions, rows, plain := sortOut(asked)
	for _, q := range questions {
		if err := cascadeOf(ctx, q).answer(ctx, h.Engine, asked, rows[q], done); err != nil {
			return err
		}
	}
	var groups, single []int
	for _, i := range plain {
		if asked[i].req.Reading != nil {
			groups = append(groups, i)
		} else {
			single = append(single, i)
		}
	}
	if err := generate(ctx, h.Engine, asked, single, done); err != nil || len(groups) == 0 {
		return err
	}
	return h.reduce(ctx, asked, groups, done)
}

// generate asks the model for the given rows of asked.
func generate(ctx context.Context, e Engine, asked []request, rows []int, done func(i int, c inference.Completion)) error {
	if len(rows) == 0 {
		return nil
	}
	reqs := make([]inference.Request, len(rows))
	for i, row := range rows {
		reqs[i] = asked[row].req
	}
	return e.Generate(ctx, reqs, func(i int, c inference.Completion) { done(rows[i], c) })
}

// answer answers the given rows of asked, one part of a statement's input.
func (c *cascade) answer(ctx context.Context, e Engine, asked []request, rows []int, done func(i int, c inference.Completion)) error {
	unsure, err := c.decide(ctx, e, asked, rows, done)
	if err != nil {
		return err
	}
	return generate(ctx, e, asked, unsure, done)
}

// decide answers a sample of the rows by the model, and of the others those that the
// proxy is sure of. It returns the rest. While that is most of them the sample
// grows, up to fullSample: they would be asked anyway, and say more of the proxy.
func (c *cascade) decide(ctx context.Context, e Engine, asked []request, rows []int, done func(i int, c inference.Completion)) ([]int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.useless {
		return rows, nil
	}
	scores, err := c.scores(ctx, e, asked, rows)
	if err != nil {
		return nil, err
	}
	left := shuffled(asked, rows)
	n := max(sampleSize-len(c.sample), int(math.Ceil(audited*float64(len(rows)))))
	for {
		picked := left[:min(n, len(left))]
		left = left[len(picked):]
		slices.Sort(picked) // prompts that begin alike stay together
		err = generate(ctx, e, asked, picked, func(i int, a inference.Completion) {
			if s := scores[i]; a.Err == nil && !math.IsNaN(s) {
				c.sample = append(c.sample, judged{s, yes(&asked[i].call, a) > 0.5})
			}
			done(i, a)
		})
		if err != nil {
			return nil, err
		}
		lo, hi := thresholds(c.sample, c.target)
		var unsure, sure []int
		for _, i := range left {
			if s := scores[i]; s < lo || s > hi {
				sure = append(sure, i)
			} else {
				unsure = append(unsure, i)
			}
		}
		if len(unsure) <= len(sure) || len(sure) > 0 && len(c.sample) >= fullSample {
			for _, i := range sure {
				done(i, inference.Completion{Scores: inference.Sure(scores[i] > hi), Model: c.target.names(c.model), Proxied: true})
			}
			c.proxied += len(sure)
			c.report(lo, hi)
			c.useless = len(sure) == 0 && len(c.sample) >= patience
			slices.Sort(unsure)
			return unsure, nil
		}
		n = max(sampleSize, len(c.sample)) // few looks, or one of them would be lucky
	}
}

// report tells the statement's recorder where the cascade stands.
func (c *cascade) report(lo, hi float64) {
	l, ok := c.rec.(Learner)
	if !ok {
		return
	}
	yes := 0
	for _, s := range c.sample {
		if s.yes {
			yes++
		}
	}
	l.Learnt(Learnt{Function: c.function(), Model: c.model, Proxy: c.target.proxy, Predicate: c.predicate,
		Quality: c.target.quality, Recall: c.target.recall, Below: lo, Above: hi,
		Sampled: len(c.sample), SampledYes: yes, Proxied: c.proxied})
}

// shuffled are the rows in an order that depends on nothing but their texts.
func shuffled(asked []request, rows []int) []int {
	type placed struct {
		hash uint64
		row  int
	}
	at := make([]placed, len(rows))
	for i, row := range rows {
		h := fnv.New64a()
		_, _ = h.Write([]byte(asked[row].req.Prompt + "\x00" + asked[row].second)) // never fails
		v := h.Sum64()
		v ^= v >> 32 // FNV's high bits hardly depend on the last bytes
		at[i] = placed{v * 0x9e3779b97f4a7c15, row}
	}
	slices.SortStableFunc(at, func(a, b placed) int { return cmp.Compare(a.hash, b.hash) })
	out := make([]int, len(rows))
	for i, p := range at {
		out[i] = p.row
	}
	return out
}
