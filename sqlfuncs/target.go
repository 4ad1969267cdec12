package sqlfuncs

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"hyprstream/sqlfuncs/operator"
)

// target is what a cascade must reach, and by which proxy. Its zero value: the
// model answers every row.
type target struct {
	quality float64 // share of each answer's rows that must get it, by proxy or model
	recall  float64 // share of the model's yes that must stay yes; the proxy only says no
	proxy   string  // a model, "embed", "embed:" and a model, or classifies
}

// classifies is the proxy of ai_match that takes the shorter texts for labels of the longer ones.
const classifies = "classify"

var cascadeOptions = []option{
	{"quality", "DOUBLE", share("quality", func(c *call, v float64) { c.target.quality = v })},
	{"recall", "DOUBLE", share("recall", func(c *call, v float64) { c.target.recall = v })},
	{"proxy", "VARCHAR", func(c *call, a operator.Arg) error { c.target.proxy = a.Text; return nil }},
}

func share(name string, put func(c *call, v float64)) func(*call, operator.Arg) error {
	return func(c *call, a operator.Arg) error {
		v, err := strconv.ParseFloat(a.Text, 64)
		if err != nil || !(v > 0 && v <= 1) {
			return invalid("%s must be above 0 and at most 1, not %s", name, a.Text)
		}
		put(c, v)
		return nil
	}
}

// check completes a target whose options are all known.
func (t *target) check(fn uint16) error {
	switch {
	case t.quality > 0 && t.recall > 0:
		return invalid("give quality or recall, not both: quality lets the proxy say yes and no, recall only no")
	case t.quality == 0 && t.recall == 0 && t.proxy != "":
		return invalid("proxy '%s' has no target; give quality := 0.95 or recall := 0.95 with it", t.proxy)
	case t.proxy == classifies && fn != fnMatch:
		return invalid("proxy 'classify' is ai_match's: it takes the shorter texts for labels of the longer ones")
	case (t.quality > 0 || t.recall > 0) && t.proxy == "" && fn == fnMatch:
		t.proxy = "embed"
	case (t.quality > 0 || t.recall > 0) && t.proxy == "":
		return invalid("quality and recall need a proxy: proxy := 'a smaller model', or proxy := 'embed:a model that embeds'")
	}
	return nil
}

// set says whether a proxy may answer anything.
func (t *target) set() bool {
	return t.quality > 0 && t.quality < 1 || t.recall > 0 && t.recall < 1
}

// embeds says whether the proxy compares embeddings, and of which model; "" is
// the asked model itself.
func (t *target) embeds() (model string, ok bool) {
	kind, model, _ := strings.Cut(t.proxy, ":")
	return model, kind == "embed"
}

// model is the model that the target names, "" for none.
func (t *target) model() string {
	if model, ok := t.embeds(); ok {
		return model
	}
	if t.proxy == classifies {
		return ""
	}
	return t.proxy
}

// names is the proxy's model, which is the asked one where the target names none.
func (t *target) names(asked string) string { return cmp.Or(t.model(), asked) }

// judged is a row that the proxy and the model have answered.
type judged struct {
	score float64
	yes   bool
}

// doubt is how likely a bound may be wrong, all of a target's taken together.
const doubt = 0.05

// thresholds are the scores below which rows are no, and above which they are yes.
// With confidence 1-doubt, of rows like the sample's:
//   - recall r: at least r of the model's yes rows do not lie below;
//   - quality q: that, and at least q of its no rows do not lie above; and of those
//     below at least q are no, of those above at least q yes.
//
// A side that the sample cannot vouch for has an infinite threshold.
func thresholds(sample []judged, t target) (below, above float64) {
	if t.recall > 0 {
		return kept(sample, true, t.recall, doubt), math.Inf(1)
	}
	mirrored := make([]judged, len(sample))
	for i, s := range sample {
		mirrored[i] = judged{-s.score, !s.yes}
	}
	each := doubt / 4 // two bounds on either side
	below = min(kept(sample, true, t.quality, each), pure(sample, t.quality, each))
	above = -min(kept(mirrored, true, t.quality, each), pure(mirrored, t.quality, each))
	if below > above { // either would do for what lies between
		below = below/2 + above/2
		above = below
	}
	return below, above
}

// kept is the greatest score that a share of the rows with the answer does not lie
// below. The k-th least of n has a share of them below that is distributed as
// Beta(k, n-k+1), whatever the scores are.
func kept(sample []judged, answer bool, share, doubt float64) float64 {
	var scores []float64
	for _, s := range sample {
		if s.yes == answer {
			scores = append(scores, s.score)
		}
	}
	k := unlikely(len(scores), 1-share, doubt)
	if k == 0 {
		return math.Inf(-1)
	}
	slices.Sort(scores)
	return scores[k-1]
}

// pure is the greatest score below which at least share of the rows are no. The
// candidates are tried from the least, in steps that the sample's size fixes, up to
// the first that fails: so trying many costs no confidence.
func pure(sample []judged, share, doubt float64) float64 {
	sorted := slices.Clone(sample)
	slices.SortFunc(sorted, func(a, b judged) int { return cmp.Compare(a.score, b.score) })
	fewest := int(math.Ceil(math.Log(doubt) / math.Log(share))) // rows without an error that vouch for the share
	found := math.Inf(-1)
	wrong, n := 0, 0 // of the rows below the candidate
	for rank := 2 * fewest; rank < len(sorted); rank += max(1, fewest/4) {
		for ; sorted[n].score < sorted[rank].score; n++ {
			if sorted[n].yes {
				wrong++
			}
		}
		if wrong >= unlikely(n, 1-share, doubt) {
			break
		}
		found = sorted[rank].score
	}
	return found
}

// unlikely is the greatest k for which fewer than k of n, each happening with
// probability p, have a probability of at most doubt.
func unlikely(n int, p, doubt float64) int {
	if p <= 0 {
		return 0
	}
	sum := 0.0
	all, _ := math.Lgamma(float64(n) + 1)
	for k := range n {
		hit, _ := math.Lgamma(float64(k) + 1)
		miss, _ := math.Lgamma(float64(n-k) + 1)
		sum += math.Exp(all - hit - miss + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
		if sum > doubt {
			return k
		}
	}
	return n
}
