// Package cache keeps small values on disk by key, within a budget of bytes: the
// answers that a later statement, or a later server, need not compute again. What
// a key or a value means is the caller's.
//
// A Store is one bbolt file. Values are in the order of their writing, so that
// the oldest are dropped page by page; a value that is read while it is in the
// older half is moved to the young end. Puts are written behind, many in one
// transaction: a kill -9 loses those of about the last second and never damages
// the file. A file that is damaged by other means is moved aside, and an empty
// one takes its place: losing a cache costs time only, so apart from Open no call
// returns an error that a statement could fail by.
//
// Store has one goroutine, the writer, which Close ends and waits for.
//
// It must import nothing of this module but errs.
package cache
