package decode

import (
	"slices"
	"time"

	"hyprstream/errs"
)

// scoring is the state of a request with Continuations: a trie of their tokens,
// walked depth first in the request's slot. A node's own log probability comes
// from its parent's logits, so only nodes with children are computed, and the
// root is the end of the prompt. At each branching the slot is cut back to it.
type scoring struct {
	nodes  []scoreNode
	ends   []int // the node of each continuation
	counts []int // tokens of each continuation
	order  []int // nodes with children, depth first; the root is the first
	next   int   // of order: whose logits come next
	want   int   // the last of the pending tokens whose logits are read: order[next], …
	again  int   // tokens that were computed once more, see branch
}

// prepareScoring tokenizes a job's continuations, after its prompt.
func (l *Loop) prepareScoring(j *job) {
	sc := &scoring{nodes: []scoreNode{{parent: -1}}, want: 1}
	limit, longest := l.opt.Info.ContextLength, 0
	for i, text := range j.req.Continuations {
		tokens, err := l.vocab.Continue(text)
		switch {
		case err != nil:
			j.fault = errs.New(errs.InvalidArgument, "score", "continuation %d cannot be tokenized: %v", i+1, err)
			return
		case len(tokens) == 0:
			j.fault = errs.New(errs.InvalidArgument, "score", "continuation %d is empty; there is nothing to score", i+1)
			return
		}
		longest = max(longest, len(tokens))
		sc.ends = append(sc.ends, sc.add(tokens))
		sc.counts = append(sc.counts, len(tokens))
	}
	// The last token of a continuation is never computed.
	if n := len(j.prompt) + longest - 1; n > limit {
		j.fault = errs.New(errs.ContextOverflow, "score",
			"the prompt has %d tokens, the longest continuation %d, and the model's slots hold %d; shorten them or raise the model's context_length",
			len(j.prompt), longest, limit)
		return
	}
	sc.visit(0)
	j.scoring = sc
}

// outputs is how many of the last pending tokens have their logits read.
func (s *sequence) outputs() int {
	if s.job.scoring != nil {
		return s.job.scoring.want
	}
	return 1
}

// share is how many tokens of a running sequence go into a step with room for
// that many and with spare outputs beyond one per sequence. It takes from spare.
func (s *sequence) share(room int, spare *int) int {
	if s.job.scoring == nil {
		return 1
	}
	n := min(len(s.pending), 1+*spare, room)
	*spare -= n - 1
	return n
}

// look takes the log probabilities that a part of the pending tokens gave; s has moved past them.
func (l *Loop) look(s *sequence, got []read) {
	sc := s.job.scoring
	for _, r := range got {
		if r.err != nil {
			l.fail(s, asError(r.err, errs.Internal, "the continuations cannot be scored"))
			return
		}
		nd := &sc.nodes[sc.order[sc.next]]
		for c, child := range nd.children {
			sc.nodes[child].sum = nd.sum + r.logprobs[c]
		}
		if nd.depth > 0 {
			s.count++
		}
		sc.next++
		sc.want--
	}
	if len(s.pending) > 0 {
		return
	}
	if s.first.IsZero() {
		s.first = time.Now()
		if len(got) == 0 {
			sc.again += s.pos
		}
	}
	if sc.next == len(sc.order) {
		l.finish(s, FinishStop)
		return
	}
	l.branch(s)
}

// branch cuts the slot back to where the walk goes on, and makes the next nodes
// pending, as far as each is the child of the one before. Where the slot cannot
// be cut back exactly, as a sliding window has moved past what is needed, what
// comes before is pending instead, and this is called again when that is done.
func (l *Loop) branch(s *sequence) {
	sc := s.job.scoring
	parent := sc.nodes[sc.order[sc.next]].parent
	keep := len(s.job.prompt) + sc.nodes[parent].depth
	if s.pos != keep && !l.backend.Truncate(int(s.slot), keep) {
		// Compute what comes before once more, and nothing is read of that.
		l.backend.Clear(int(s.slot))
		s.pending = slices.Clone(s.job.prompt)
		for n := parent; n > 0; n = sc.nodes[n].parent {
			s.pending = slices.Insert(s.pending, len(s.job.prompt), sc.nodes[n].token)
		}
		s.pos, s.first = 0, time.Time{}
		return
	}
	s.pos = keep
	for i := sc.next; i < len(sc.order); i++ {
		n := sc.nodes[sc.order[i]]
		if i > sc.next && n.parent != sc.order[i-1] {
			break
		}
		s.pending = append(s.pending, n.token)
		sc.want++
	}
}

// prompted is how many tokens of the prompt are there, computed or copied, and
// how many were computed once more.
func (s *sequence) prompted() int {
	n, sc := min(s.pos, len(s.job.prompt)), s.job.scoring
	switch {
	case sc == nil || sc.next == 0:
		return n
	case s.first.IsZero():
		return len(s.job.prompt) + sc.again + s.pos
	}
	return len(s.job.prompt) + sc.again
}

// scores are the results of a finished walk; nil for a request of another kind.
func (s *sequence) scores() (sums []float64, tokens []int) {
	sc := s.job.scoring
	if sc == nil || sc.next < len(sc.order) {
		return nil, nil
	}
	for _, n := range sc.ends {
		sums = append(sums, sc.nodes[n].sum)
	}
	return sums, sc.counts
}
