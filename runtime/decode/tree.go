package decode

import "slices"

// node is a place in the tree of prompts of one adapter set: the tokens from
// the root to it begin every prompt below it. There are nodes where waiting
// prompts part or end, where a snapshot is kept, and where one is being made.
//
// The loop's goroutine owns the tree.
type node struct {
	parent *node
	edge   []Token         // from the parent to here
	kids   map[Token]*node // by the first token of their edges
	depth  int             // tokens from the root

	waiting int       // jobs in the queue whose prompt goes through here
	writer  *sequence // computes these tokens now, and will keep them
	kept    *snapshot // what a slot held that had these tokens
	refused bool      // they could not be kept: do not try again
	gone    bool      // taken out of the tree
}

func common(a, b []Token) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// enter adds a waiting prompt below the root n and returns the node of its end.
func (n *node) enter(prompt []Token) *node {
	n.waiting++
	for rest := prompt; len(rest) > 0; {
		k := n.kids[rest[0]]
		if k == nil {
			k = n.add(&node{edge: slices.Clone(rest)})
		} else if c := common(k.edge, rest); c < len(k.edge) {
			k = k.split(c)
		}
		rest = rest[len(k.edge):]
		n = k
		n.waiting++
	}
	return n
}

// add hangs k, whose edge is set, below n.
func (n *node) add(k *node) *node {
	if n.kids == nil {
		n.kids = map[Token]*node{}
	}
	k.parent, k.depth = n, n.depth+len(k.edge)
	n.kids[k.edge[0]] = k
	return k
}

// split puts a node into the edge above k, after its first at tokens.
func (k *node) split(at int) *node {
	above := k.parent.add(&node{edge: slices.Clone(k.edge[:at]), waiting: k.waiting})
	k.edge = slices.Clone(k.edge[at:])
	above.add(k)
	return above
}

// leave takes a waiting prompt, which ends at n, out again.
func (n *node) leave() {
	for ; n != nil; n = n.parent {
		n.waiting--
		n.settle()
	}
}

// settle takes n out of the tree where nothing needs it any more. Its parent is
// to be settled after it.
func (n *node) settle() {
	if n.parent == nil || n.kept != nil || n.writer != nil || len(n.kids) > 1 {
		return
	}
	if len(n.kids) == 0 {
		if n.waiting == 0 {
			delete(n.parent.kids, n.edge[0])
			n.gone = true
		}
		return
	}
	for _, k := range n.kids {
		if k.waiting == n.waiting { // no prompt ends here
			k.edge = slices.Concat(n.edge, k.edge)
			n.parent.add(k)
			n.gone = true
		}
	}
}

// settleUp settles n and all above it.
func (n *node) settleUp() {
	for ; n != nil; n = n.parent {
		n.settle()
	}
}

// below says whether n is at or under a place.
func (n *node) below(place *node) bool {
	for n != nil && n.depth > place.depth {
		n = n.parent
	}
	return n == place
}

// source is the deepest node at or above n that a prompt can start from, nil for none.
func (n *node) source() *node {
	for n != nil && n.kept == nil {
		n = n.parent
	}
	return n
}

// coming is the node at or above n that is being computed and will give more
// than source, nil for none.
func (n *node) coming() *node {
	for n != nil && n.kept == nil && n.writer == nil {
		n = n.parent
	}
	if n == nil || n.writer == nil {
		return nil
	}
	return n
}

// others is 1 where a way that goes on to below parts from one that ends in a
// snapshot next: as there was another before, there will be another after.
func (n *node) others(below *node) int {
	for _, k := range n.kids {
		if k != below && k.kept != nil {
			return 1
		}
	}
	return 0
}

// prompt gives the first tokens from the root to n, at most limit.
func (n *node) prompt(limit int) []Token {
	out := make([]Token, n.depth)
	for ; n.parent != nil; n = n.parent {
		copy(out[n.parent.depth:], n.edge)
	}
	return out[:min(limit, len(out))]
}
