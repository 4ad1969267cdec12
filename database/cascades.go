package database

import (
	"math"
	"slices"

	"hyprstream/sqlfuncs"
)

// cascadesKept is how many rows ai.cascades has at most, the newest.
const cascadesKept = 1000

// Learnt implements sqlfuncs.Learner.
func (q *query) Learnt(l sqlfuncs.Learnt) {
	q.mu.Lock()
	defer q.mu.Unlock()
	same := func(o sqlfuncs.Learnt) bool {
		return o.Function == l.Function && o.Model == l.Model && o.Proxy == l.Proxy && o.Predicate == l.Predicate &&
			o.Quality == l.Quality && o.Recall == l.Recall
	}
	q.learnt = append(slices.DeleteFunc(q.learnt, same), l)
}

// learnt is what a finished statement's cascades came to.
type learnt struct {
	query string
	sqlfuncs.Learnt
}

// keepLearnt takes over what a statement's cascades found out. qs.mu is held.
func (qs *queries) keepLearnt(q *query) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.learnt {
		qs.learnt = append(qs.learnt, learnt{q.used.Query, l})
	}
	if over := len(qs.learnt) - cascadesKept; over > 0 {
		qs.learnt = slices.Clone(qs.learnt[over:])
	}
}

var cascadeColumns = []column{
	{"query", text}, {"function", text}, {"model", text}, {"proxy", text}, {"predicate", text}, {"quality", real64}, {"recall", real64},
	{"no_below", real64}, {"yes_above", real64}, {"sampled", number}, {"sampled_yes", number}, {"proxy_answers", number},
}

// cascadeRows are those of finished statements, oldest first.
func (db *DB) cascadeRows() (out [][]any) {
	db.queries.mu.Lock()
	defer db.queries.mu.Unlock()
	unless := func(none bool, v float64) any {
		if none {
			return nil
		}
		return v
	}
	for _, l := range db.queries.learnt {
		out = append(out, []any{l.query, l.Function, orNull(l.Model), l.Proxy, orNull(l.Predicate), unless(l.Quality == 0, l.Quality), unless(l.Recall == 0, l.Recall),
			unless(math.IsInf(l.Below, 0), l.Below), unless(math.IsInf(l.Above, 0), l.Above), int64(l.Sampled), int64(l.SampledYes), int64(l.Proxied)})
	}
	return out
}
