package decode

import (
	"maps"
	"slices"
	"time"
)

const (
	leastShared = 32 // tokens of a prefix worth keeping, and that keeping one must save
	leastStep   = 8  // tokens between a prefix and the next one on the way, and that waiting for one must save
)

// prefixes keeps snapshots of what prompts begin with, by adapter set, in a tree
// of tokens (tree.go) where the waiting prompts are entered as well: where these
// part is where sharing pays. A job starts from the deepest snapshot on its way
// and, where others wait that go the same way further, stops at the places to
// keep them. Snapshots outlive the Submits and changes of adapters; over budget
// the one unused for longest goes, but none that waiting jobs start from.
//
// The loop's goroutine owns it.
type prefixes struct {
	budget    int64 // bytes; 0: nothing is kept or entered
	bytes     int64 // kept
	perToken  int64 // bytes, of the last snapshot
	coming    int   // tokens of the snapshots that are being made
	roots     map[string]*node
	all       map[*node]struct{} // with a snapshot
	dialogues map[string]*node   // of all: by the name of a request's Keep
	changed   bool               // what is kept of dialogues, since the loop told it last
	pause     int                // admissions without prefixes, after one could not be saved or restored
}

// snapshot is what a slot held that had the tokens down to a node.
type snapshot struct {
	state    Snapshot
	set      string
	adapters []Adapter
	hits     uint64
	used     time.Time
	made     time.Time // of a dialogue's
	spoken   bool      // a dialogue's: it goes when no dialogue has it any more
}

func newPrefixes(budget int64) *prefixes {
	return &prefixes{budget: budget, roots: map[string]*node{}, all: map[*node]struct{}{}, dialogues: map[string]*node{}}
}

// enter notes that a job waits. The last token of a prompt is computed for each
// job, its logits are needed: it is no part of the way.
func (p *prefixes) enter(j *job) {
	if p.budget <= 0 || j.fault != nil || len(j.prompt) <= leastShared {
		return
	}
	j.end = p.root(j.set).enter(j.prompt[:len(j.prompt)-1])
}

// root is the root of an adapter set's tree, which tidy takes away where it is empty.
func (p *prefixes) root(set string) *node {
	root := p.roots[set]
	if root == nil {
		root = &node{}
		p.roots[set] = root
	}
	return root
}

// leave notes that a job waits no longer.
func (p *prefixes) leave(j *job) {
	if j.end != nil {
		j.end.leave()
		j.end = nil
		p.tidy(j.set)
	}
}

func (p *prefixes) tidy(set string) {
	if root := p.roots[set]; root != nil && root.waiting == 0 && len(root.kids) == 0 {
		delete(p.roots, set)
	}
}

// plan says what a job, still in the tree, starts from, nil for nothing, and
// where on its way it has to stop for the sake of those that wait behind it.
func (p *prefixes) plan(j *job) (from *node, stops []*node) {
	if j.end == nil {
		return nil, nil
	}
	if p.pause > 0 {
		p.pause--
		return nil, nil
	}
	from = j.end.source()
	have := 0
	if from != nil {
		have = from.depth
	}
	var way []place
	for n, below := j.end, (*node)(nil); n != nil && n.depth > have; n, below = n.parent, n {
		if n.waiting > 1 && !n.refused && n.writer == nil && n.depth >= leastShared {
			way = append(way, place{n, n.waiting + n.others(below)})
		}
	}
	slices.Reverse(way)
	return from, p.fitting(worthwhile(way, have))
}

// place is a node on a job's way and how many may use what is kept there.
type place struct {
	*node
	users int
}

// worthwhile leaves out the places of a way that save too little: first those that
// add little to the one before, then those that the next one makes idle.
func worthwhile(way []place, have int) []*node {
	var stops []place
	last := have
	for _, n := range way {
		if gain := n.depth - last; gain >= leastStep && (n.users-1)*gain >= leastShared {
			stops = append(stops, n)
			last = n.depth
		}
	}
	for i := len(stops) - 2; i >= 0; i-- {
		before := have
		if i > 0 {
			before = stops[i-1].depth
		}
		if (stops[i].users-stops[i+1].users)*(stops[i].depth-before) < leastShared {
			stops = slices.Delete(stops, i, i+1)
		}
	}
	out := make([]*node, len(stops))
	for i, n := range stops {
		out[i] = n.node
	}
	return out
}

// fitting cuts stops where the budget ends, as far as one can tell before.
func (p *prefixes) fitting(stops []*node) []*node {
	if len(stops) == 0 || p.perToken == 0 {
		return stops
	}
	free := p.budget - int64(p.coming)*p.perToken
	for n := range p.all {
		if n.waiting > 0 {
			free -= n.kept.state.Bytes()
		}
	}
	for i, n := range stops {
		if free -= int64(n.depth) * p.perToken; free < 0 {
			return stops[:i]
		}
	}
	return stops
}

// promise notes that a sequence will compute and keep its stops.
func (p *prefixes) promise(s *sequence) {
	for _, n := range s.stops {
		n.writer = s
		p.coming += n.depth
	}
}

// reached is the stop that a sequence was to make, which it then has behind it.
func (p *prefixes) reached(s *sequence) *node {
	n := s.stops[0]
	s.stops = s.stops[1:]
	n.writer = nil
	p.coming -= n.depth
	return n
}

// abandon gives up the stops of a sequence that ends: another one takes over.
func (p *prefixes) abandon(s *sequence) {
	for len(s.stops) > 0 {
		p.reached(s).settleUp()
	}
	p.tidy(s.job.set)
}

// add keeps a snapshot at a node, or frees it where there is no room.
func (p *prefixes) add(n *node, s *snapshot) (kept bool) {
	size := s.state.Bytes()
	p.perToken = max(1, size/int64(n.depth))
	n.kept = s // holds n in the tree while others go
	for p.bytes+size > p.budget {
		old := p.oldest()
		if old == nil {
			s.state.Free()
			n.kept, n.refused = nil, true
			n.settleUp()
			p.tidy(s.set)
			return false
		}
		p.drop(old)
	}
	p.all[n] = struct{}{}
	p.bytes += size
	return true
}

// oldest is the snapshot unused for longest that no waiting job starts from.
func (p *prefixes) oldest() (old *node) {
	for n := range p.all {
		if n.waiting == 0 && (old == nil || n.kept.used.Before(old.kept.used)) {
			old = n
		}
	}
	return old
}

// drop frees the snapshot of a node.
func (p *prefixes) drop(n *node) {
	s := n.kept
	p.bytes -= s.state.Bytes()
	s.state.Free()
	n.kept = nil
	delete(p.all, n)
	p.changed = p.changed || s.spoken
	maps.DeleteFunc(p.dialogues, func(_ string, o *node) bool { return o == n })
	n.settleUp()
	p.tidy(s.set)
}

func (p *prefixes) clear() {
	for n := range p.all {
		p.drop(n)
	}
}

// keep saves what a sequence has computed, having come to its next stop. Where
// that fails no request does: they are computed without it.
func (l *Loop) keep(s *sequence) {
	n := l.prefixes.reached(s)
	saved, err := l.backend.Save(int(s.slot))
	if err != nil {
		l.opt.Logger.Warn("shared prefix not saved", "tokens", n.depth, "error", err)
		n.settleUp()
		l.prefixes.tidy(s.job.set)
		l.prefixes.pause = 4 * len(l.slots)
		return
	}
	size := saved.Bytes()
	kept := l.prefixes.add(n, &snapshot{state: saved, set: s.job.set, adapters: s.job.adapters, used: time.Now()})
	l.opt.Logger.Debug("shared prefix computed", "tokens", n.depth, "bytes", size, "waiting", n.waiting, "kept", kept)
}

// begin fills the slot of a new sequence with the deepest snapshot that its
// prompt begins with, and notes where it is to stop.
func (l *Loop) begin(s *sequence) {
	var from *node
	have, paused := 0, l.prefixes.pause > 0
	from, s.stops = l.prefixes.plan(s.job)
	if s.job.turn.near = from; len(s.stops) > 0 {
		s.job.turn.near = s.stops[len(s.stops)-1]
	}
	if from != nil {
		have = from.depth
	}
	if s.job.req.Keep != "" && s.job.end != nil && !paused {
		s.pos = l.resume(s, have)
		s.stops = slices.DeleteFunc(s.stops, func(n *node) bool { return n.depth <= s.pos })
	}
	l.prefixes.promise(s)
	if s.pos == 0 {
		s.pos = l.borrow(from, have, int(s.slot))
	}
	s.shared = s.pos
	s.pending = s.job.prompt[s.pos:]
}

// borrow fills a free slot with the first tokens of a snapshot, length of them, and
// says how many are in the slot then: so many, or none.
func (l *Loop) borrow(from *node, length, slot int) int {
	if from == nil {
		return 0
	}
	if err := l.backend.Restore(slot, from.kept.state); err != nil {
		l.opt.Logger.Warn("shared prefix not restored", "tokens", from.depth, "error", err)
		l.backend.Clear(slot)
		l.prefixes.drop(from)
		l.prefixes.pause = 4 * len(l.slots)
		return 0
	}
	if length < from.depth && !l.backend.Truncate(slot, length) {
		l.backend.Clear(slot)
		return 0
	}
	from.kept.hits++
	from.kept.used = time.Now()
	l.prefixes.changed = l.prefixes.changed || from.kept.spoken
	l.mu.Lock()
	l.stats.PromptTokens += uint64(length)
	l.stats.SharedTokens += uint64(length)
	l.mu.Unlock()
	return length
}
