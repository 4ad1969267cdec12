// Package worker runs a loaded model in a child process, so that the database
// outlives what llama.cpp aborts on. It holds both ends: Start and Process for
// the parent, Main for the child, which is the same binary run again.
//
// The two talk over a socket pair, inherited by the child as descriptor 3: gob
// messages, requests one way and replies the other, each with the id of its
// call. The child ends at once when the socket closes, so it never outlives its
// parent, not even one killed with SIGKILL. Restarting and repeating what was
// lost is the caller's business.
//
// Goroutines. Parent: Process.read owns the receiving half and Process.wait the
// child's end; both end when the child does, and Close waits for them. Calls'
// events wait in a mailbox per call and are handed to sink by the goroutine
// that called Submit, so a slow one delays nobody else. Child: the reader, one
// goroutine per call, the writer, and the loop of runtime/decode.
//
// It is the only package that joins runtime/decode and runtime/llama, and must
// not import inference or anything above it.
package worker
