package decode

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// queue holds the waiting jobs by adapter set. Adapters apply to a whole
// context, so only jobs of one set, the current one, can run at a time. Within
// a set jobs leave in the order they came; between sets the oldest job decides,
// and a set that others wait for is left after bound more admissions.
//
// The loop's goroutine owns it.
type queue struct {
	bound   int // admissions of the current set while another waits
	current string
	used    int // of bound
	sets    map[string][]*job
	n       int
	serial  uint64
}

func newQueue(bound int) *queue { return &queue{bound: bound, sets: map[string][]*job{}} }

func (q *queue) push(j *job) {
	q.serial++
	j.serial = q.serial
	q.sets[j.set] = append(q.sets[j.set], j)
	q.n++
}

// next takes the job to admit, nil when none may run now. busy says that
// sequences of the current set are running; only when it is false the set, and
// with it q.current, may change.
func (q *queue) next(busy bool) *job {
	mine := q.sets[q.current]
	others := len(q.sets) > 1 || len(q.sets) == 1 && len(mine) == 0
	if !others {
		q.used = 0
	}
	switch spent := others && q.used >= q.bound; {
	case len(mine) > 0 && !spent:
		return q.pop(q.current, others)
	case busy || !others:
		return nil
	}
	var first *job // of the set whose oldest job waits longest
	for set, jobs := range q.sets {
		if set != q.current && (first == nil || jobs[0].serial < first.serial) {
			first = jobs[0]
		}
	}
	q.current, q.used = first.set, 0
	return q.pop(first.set, len(q.sets) > 1)
}

func (q *queue) pop(set string, counted bool) *job {
	jobs := q.sets[set]
	j := jobs[0]
	jobs[0] = nil
	if jobs = jobs[1:]; len(jobs) == 0 {
		delete(q.sets, set)
	} else {
		q.sets[set] = jobs
	}
	if counted {
		q.used++
	}
	q.n--
	return j
}

// putBack makes j, the last job that was taken, the next one again.
func (q *queue) putBack(j *job) {
	q.sets[j.set] = slices.Insert(q.sets[j.set], 0, j)
	q.used = max(0, q.used-1)
	q.n++
}

// peek gives the next jobs of the current set, at most n.
func (q *queue) peek(n int) []*job {
	jobs := q.sets[q.current]
	return jobs[:min(n, len(jobs))]
}

// remove takes out all jobs that drop says yes to, in the order they came.
func (q *queue) remove(drop func(*job) bool) []*job {
	var out []*job
	for set, jobs := range q.sets {
		kept := jobs[:0]
		for _, j := range jobs {
			if drop(j) {
				out = append(out, j)
			} else {
				kept = append(kept, j)
			}
		}
		clear(jobs[len(kept):])
		if len(kept) == 0 {
			delete(q.sets, set)
		} else {
			q.sets[set] = kept
		}
	}
	q.n -= len(out)
	slices.SortFunc(out, func(a, b *job) int { return cmp.Compare(a.serial, b.serial) })
	return out
}

// normalAdapters is the set that adapters amount to: a LoRA adds to the
// weights, so one given twice counts with the sum of its scales, one with scale
// 0 does not count, and their order is nothing. key is equal for equal sets.
func normalAdapters(adapters []Adapter) (set []Adapter, key string) {
	for _, a := range adapters {
		i := slices.IndexFunc(set, func(b Adapter) bool { return b.Path == a.Path })
		if i < 0 {
			set = append(set, a)
		} else {
			set[i].Scale += a.Scale
		}
	}
	set = slices.DeleteFunc(set, func(a Adapter) bool { return a.Scale == 0 })
	slices.SortFunc(set, func(a, b Adapter) int { return cmp.Compare(a.Path, b.Path) })
	var b strings.Builder
	for _, a := range set {
		fmt.Fprintf(&b, "%q*%v ", a.Path, a.Scale)
	}
	return set, b.String()
}
