// Package decode is the continuous batching loop: it keeps as many requests as
// a context has slots moving side by side, one llama_decode per step.
//
// One goroutine, Loop.run, owns the slots, the batch, the backend and the
// samplers. Everybody else hands it jobs through a queue and gets Events back
// by the sink of their own Submit, called from that goroutine. Tokenizing is
// done by the callers, beside the running decode. Loop.Close ends the goroutine
// and waits for it; the backend is closed by whoever made it, after that.
//
// Where waiting requests begin with the same tokens, these are computed once, by
// the first of them, and kept as a snapshot for the others (prefix.go, tree.go).
//
// A request may ask for the log probabilities of continuations instead of a
// completion: they are walked as a trie in the slot that has the prompt (score.go).
//
// The package knows of neither llama.cpp nor processes, SQL or templates, and
// must import none of them: runtime/worker puts it on llama.cpp, and
// decode/fake stands in for a model in tests.
package decode
