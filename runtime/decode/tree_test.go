package decode

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// check walks the tree and compares it with the prompts that are in it.
func (n *node) check(t *testing.T, way []Token, prompts [][]Token, kept map[*node]bool) {
	t.Helper()
	way = append(slices.Clone(way), n.edge...)
	through, ends := 0, 0
	for _, p := range prompts {
		if len(p) >= len(way) && slices.Equal(p[:len(way)], way) {
			through++
			if len(p) == len(way) {
				ends++
			}
		}
	}
	if n.waiting != through || n.depth != len(way) || n.gone {
		t.Fatalf("at %v: %d waiting of %d, depth %d, gone %v", way, n.waiting, through, n.depth, n.gone)
	}
	if got := n.prompt(1 << 30); !slices.Equal(got, way) {
		t.Fatalf("the way to %v is given as %v", way, got)
	}
	if n.parent != nil && ends == 0 && !kept[n] && len(n.kids) < 2 {
		t.Fatalf("the node at %v is there for nothing", way)
	}
	for first, k := range n.kids {
		if k.parent != n || k.edge[0] != first {
			t.Fatalf("a child of %v is at the wrong place", way)
		}
		k.check(t, way, prompts, kept)
	}
}

// Whatever comes, is kept and goes, in whatever order: the tree has the waiting
// prompts, the counts, and nothing more.
func TestTreeHoldsWhatWaits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	root := &node{}
	var prompts [][]Token
	var ends []*node
	kept := map[*node]bool{}
	for i := range 600 {
		switch at := r.IntN(10); {
		case at < 5 && i < 400:
			p := make([]Token, 1+r.IntN(12))
			for i := range p {
				p[i] = Token(r.IntN(2))
			}
			prompts, ends = append(prompts, p), append(ends, root.enter(p))
		case at < 8 && len(ends) > 0:
			k := r.IntN(len(ends))
			ends[k].leave()
			prompts, ends = slices.Delete(prompts, k, k+1), slices.Delete(ends, k, k+1)
		case at == 8 && len(ends) > 0:
			n := ends[r.IntN(len(ends))]
			if n.kept == nil {
				n.kept = &snapshot{}
				kept[n] = true
			}
		default:
			for n := range kept {
				n.kept = nil
				delete(kept, n)
				n.settleUp()
				break
			}
		}
		root.check(t, nil, prompts, kept)
	}
	for _, n := range ends {
		n.leave()
	}
	for n := range kept {
		n.kept = nil
		n.settleUp()
	}
	if root.waiting != 0 || len(root.kids) != 0 {
		t.Errorf("%d wait and %d branches are left", root.waiting, len(root.kids))
	}
}

func TestWorthwhileStops(t *testing.T) {
	at := func(depth, users int) place { return place{&node{depth: depth}, users} }
	tests := []struct {
		name string
		have int
		way  []place
		want []int
	}{
		{"an instruction and a group", 0, []place{at(100, 60), at(140, 15)}, []int{100, 140}},
		{"too little saved", 100, []place{at(115, 3)}, nil},
		{"too near to the one before", 0, []place{at(100, 60), at(104, 50)}, []int{100}},
		{"near to what is there", 100, []place{at(104, 50), at(120, 40)}, []int{120}},
		{"one row leaves before the others do", 0, []place{at(30, 20), at(100, 19)}, []int{100}},
		{"the first serves the others", 0, []place{at(50, 20), at(100, 10)}, []int{50, 100}},
	}
	for _, tt := range tests {
		var got []int
		for _, n := range worthwhile(tt.way, tt.have) {
			got = append(got, n.depth)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: stops at %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Rows that come group by group: the second group's first row finds that the
// first one's snapshot parts from its way, and stops at the instruction for the
// third group, of which nothing waits yet.
func TestStopWhereAKeptOneParts(t *testing.T) {
	p := newPrefixes(1 << 30)
	c := &call{}
	group := func(g Token) (jobs []*job) {
		for i := range 3 {
			prompt := slices.Concat(slices.Repeat([]Token{1}, 100), slices.Repeat([]Token{g}, 40), []Token{Token(10 + i), 0})
			j := &job{call: c, prompt: prompt}
			p.enter(j)
			jobs = append(jobs, j)
		}
		return jobs
	}
	depths := func(jobs []*job) (from int, stops []int) {
		n, list := p.plan(jobs[0])
		if n != nil {
			from = n.depth
		}
		s := &sequence{job: jobs[0], stops: list}
		for p.promise(s); len(s.stops) > 0; {
			n := p.reached(s)
			p.add(n, &snapshot{state: size(n.depth)})
			stops = append(stops, n.depth)
		}
		for _, j := range jobs {
			p.leave(j)
		}
		return from, stops
	}
	for i, want := range []struct {
		from  int
		stops []int
	}{{0, []int{140}}, {0, []int{100, 140}}, {100, []int{140}}, {100, []int{140}}} {
		if from, stops := depths(group(Token(2 + i))); from != want.from || !slices.Equal(stops, want.stops) {
			t.Errorf("group %d starts from %d and stops at %v, want %+v", i, from, stops, want)
		}
	}
}

// size is a snapshot of so many bytes.
type size int64

func (s size) Bytes() int64 { return int64(s) }
func (s size) Data() []byte { return nil }
func (s size) Free()        {}
