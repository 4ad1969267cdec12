package sqlfuncs

import (
	"cmp"
	"sync"

	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// verdicts counts how often ai_filter said yes, by model and predicate, since the
// server started. Its zero value is ready.
type verdicts struct {
	mu   sync.Mutex
	seen map[verdict]struct{ yes, all int }
}

type verdict struct{ model, predicate string }

// enough is how many verdicts tell something of the next ones.
const enough = 20

func (v *verdicts) add(model, predicate string, yes bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.seen == nil {
		v.seen = map[verdict]struct{ yes, all int }{}
	}
	s := v.seen[verdict{model, predicate}]
	s.all++
	if yes {
		s.yes++
	}
	v.seen[verdict{model, predicate}] = s
}

func (v *verdicts) share(model, predicate string) (yes float64, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.seen[verdict{model, predicate}]
	return float64(s.yes) / float64(max(s.all, 1)), s.all >= enough
}

// tokenCost is what a written token costs, next to reading a prompt once: tokens are
// made one by one, prompts are read many tokens at a time.
const tokenCost = 0.25

// Cost implements operator.Handler: what a call costs a row, next to reading a
// prompt of usual length once, times the size of its model next to the default one's.
func (h *handler) Cost(c operator.Call) (cost, yes float64, known bool) {
	r, _, err := read(c, optionsOf(c.Fn))
	if err != nil {
		return 1, 0, false
	}
	cost = 1
	model, named := h.modelOf(c, r)
	switch c.Fn {
	case fnEmbed:
		cost = 0.8 // no head, nothing to score
	case fnClassify, fnClassifyProbs:
		cost += 0.05 * float64(len(r.labels))
	case fnFilter:
		yes, known = h.verdicts.share(r.req.Model, r.predicate)
	case fnGenerate, fnChat:
		tokens := float64(cmp.Or(answerLimit(c, r), inference.DefaultMaxTokens))
		if s := h.history.of(nameOf(c.Fn), model); named && s.rows > 0 {
			_, tokens = s.mean(int64(tokens))
		}
		cost += tokenCost * tokens
	}
	if m, err := h.Registry.Model(r.req.Model); named && err == nil && m.Bytes > 0 {
		if d, err := h.Registry.Model(""); err == nil && d.Bytes > 0 {
			cost *= float64(m.Bytes) / float64(d.Bytes)
		}
	}
	return cost, yes, known
}
