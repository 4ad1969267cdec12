// Package fake is a deterministic stand-in for a model: its tokens are bytes,
// and what it says is a function of the prompt. It checks what a real cache
// would suffer from silently: positions that do not follow each other,
// tokens of one slot computed under different adapter sets, snapshots that are
// freed, of another set or restored onto a slot in use, and a slot that holds other tokens than its sequence's when one is chosen.
//
// It is for tests of runtime/decode and of what is built on it.
package fake
