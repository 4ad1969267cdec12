// Package fake is a deterministic stand-in for a model: its tokens are bytes,
// and what it says is a function of the prompt. It checks what a real cache
// would suffer from silently: positions that do not follow each other, and
// tokens of one slot computed under different adapter sets.
//
// It is for tests of runtime/decode and of what is built on it.
package fake
