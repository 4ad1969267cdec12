package decode

import "slices"

// scoreNode is a token of continuations that begin alike up to it; the first of a
// scoring's nodes, the root, is the end of the prompt.
type scoreNode struct {
	token    Token
	parent   int
	depth    int // tokens after the prompt
	children []int
	sum      float64 // log probability of the tokens from the root to here
}

// add puts a continuation into the trie and gives the node of its last token.
func (sc *scoring) add(tokens []Token) int {
	at := 0
	for _, t := range tokens {
		i := slices.IndexFunc(sc.nodes[at].children, func(c int) bool { return sc.nodes[c].token == t })
		if i >= 0 {
			at = sc.nodes[at].children[i]
			continue
		}
		sc.nodes = append(sc.nodes, scoreNode{token: t, parent: at, depth: sc.nodes[at].depth + 1})
		sc.nodes[at].children = append(sc.nodes[at].children, len(sc.nodes)-1)
		at = len(sc.nodes) - 1
	}
	return at
}

// visit puts a node and those below it into order. Only branchings recurse: a
// continuation may be as long as the context.
func (sc *scoring) visit(n int) {
	for len(sc.nodes[n].children) > 0 {
		sc.order = append(sc.order, n)
		children := sc.nodes[n].children
		for _, c := range children[:len(children)-1] {
			sc.visit(c)
		}
		n = children[len(children)-1]
	}
}
