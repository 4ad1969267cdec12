package decode

import (
	"cmp"
	"slices"
)

// queue holds the waiting jobs by adapter set and call. Adapters apply to a
// whole context, so only jobs of one set, the current one, can run at a time; a
// set that others wait for is left after bound more admissions, for the one that
// was left longest ago. Within a set the call with the fewest rows in slots comes
// next, and of these the one served longest ago.
//
// The loop's goroutine owns it.
type queue struct {
	bound   int // admissions of the current set while another waits, and of a call's rows before its first
	current string
	used    int // of bound
	sets    map[string]*lane
	n       int
	serial  uint64
}

// lane is what waits of one set.
type lane struct {
	since uint64 // when it was left, or made
	turns []*turn
}

// turn is what waits of one call in one set, in the order it came.
type turn struct {
	call   *call
	jobs   []*job
	near   *node // the prefix of the last one admitted: those that share it come next
	passed int   // jobs that came before the first one for that
}

func newQueue(bound int) *queue { return &queue{bound: bound, sets: map[string]*lane{}} }

func (q *queue) push(j *job) {
	q.serial++
	j.serial = q.serial
	if j.call.served == 0 {
		j.call.served = q.serial
	}
	ln := q.sets[j.set]
	if ln == nil {
		ln = &lane{since: q.serial}
		q.sets[j.set] = ln
	}
	i := slices.IndexFunc(ln.turns, func(t *turn) bool { return t.call == j.call })
	if i < 0 {
		i = len(ln.turns)
		ln.turns = append(ln.turns, &turn{call: j.call})
	}
	j.turn = ln.turns[i]
	ln.turns[i].jobs = append(ln.turns[i].jobs, j)
	q.n++
}

// next takes the job to admit, nil when none may run now. busy says that
// sequences of the current set are running; only when it is false the set, and
// with it q.current, may change. full leaves out the calls that have a row in a slot.
func (q *queue) next(busy, full bool) *job {
	mine := q.sets[q.current]
	others := len(q.sets) > 1 || len(q.sets) == 1 && mine == nil
	if !others {
		q.used = 0
	}
	switch spent := others && q.used >= q.bound; {
	case mine != nil && !spent:
		return q.pop(q.current, full)
	case busy || !others:
		return nil
	}
	if mine != nil {
		q.serial++
		mine.since = q.serial
	}
	var first *lane
	set := ""
	for s, ln := range q.sets {
		if s != q.current && (first == nil || ln.since < first.since) {
			first, set = ln, s
		}
	}
	q.current, q.used = set, 0
	return q.pop(set, full)
}

// pop takes the next job of a set that is not better left waiting.
func (q *queue) pop(set string, full bool) *job {
	ln := q.sets[set]
	var best *turn
	at := -1
	for _, t := range ln.turns {
		if full && t.call.running > 0 || best != nil && !t.call.before(best.call) {
			continue
		}
		if i := t.choose(q.bound); i >= 0 {
			best, at = t, i
		}
	}
	if best == nil {
		return nil
	}
	j := best.take(at)
	if len(best.jobs) == 0 {
		q.drop(set, best)
	}
	q.serial++
	j.call.served = q.serial
	q.used++
	q.n--
	return j
}

func (q *queue) drop(set string, t *turn) {
	ln := q.sets[set]
	if ln.turns = slices.DeleteFunc(ln.turns, func(o *turn) bool { return o == t }); len(ln.turns) == 0 {
		delete(q.sets, set)
	}
}

// before says whether c's turn comes before o's.
func (c *call) before(o *call) bool {
	if c.running != o.running {
		return c.running < o.running
	}
	return c.served < o.served
}

// choose is the index of the job that comes next, -1 when all are better left
// waiting. bound is how many may come before the first one.
func (t *turn) choose(bound int) int {
	near := t.near
	if near != nil && (near.gone || near.waiting == 0) || t.passed >= bound {
		near = nil
	}
	first := -1
	for i, j := range t.jobs {
		switch {
		case j.blocked():
		case near == nil || j.end != nil && j.end.below(near):
			return i
		case first < 0:
			first = i
		}
	}
	return first
}

func (t *turn) take(i int) *job {
	j := t.jobs[i]
	if i > 0 {
		t.passed++
		t.jobs = slices.Delete(t.jobs, i, i+1)
		return j
	}
	t.passed = 0
	t.jobs[0] = nil
	t.jobs = t.jobs[1:]
	return j
}

// blocked says whether tokens that a job begins with are being computed.
func (j *job) blocked() bool {
	if j.awaits == nil || j.awaits.writer == nil { // else nothing has changed
		j.awaits = nil
		if n := j.end.coming(); n != nil {
			if from := n.source(); from == nil || n.depth-from.depth >= leastStep {
				j.awaits = n
			}
		}
	}
	return j.awaits != nil
}

// remove takes out all jobs that drop says yes to, in the order they came.
func (q *queue) remove(drop func(*job) bool) []*job {
	var out []*job
	for set, ln := range q.sets {
		for _, t := range ln.turns {
			t.jobs = slices.DeleteFunc(t.jobs, func(j *job) bool {
				if drop(j) {
					out = append(out, j)
					return true
				}
				return false
			})
		}
		if ln.turns = slices.DeleteFunc(ln.turns, func(t *turn) bool { return len(t.jobs) == 0 }); len(ln.turns) == 0 {
			delete(q.sets, set)
		}
	}
	q.n -= len(out)
	slices.SortFunc(out, func(a, b *job) int { return cmp.Compare(a.serial, b.serial) })
	return out
}
