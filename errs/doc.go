// Package errs is the leaf that names what can go wrong. Every layer returns
// *Error; each transport translates its Code exactly once.
//
// It imports nothing of this module, so that every layer may use it.
package errs
