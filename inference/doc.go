// Package inference is the engine: it turns requests into completions and knows
// nothing of SQL, tables or networks.
//
// An Engine keeps models resident: a model's process is started on first use
// (one load, however many wait for it), unloaded when memory is needed for
// another or after idling, and started again when it dies, with the unfinished
// rows tried once more. Requests name models and adapters; a Registry resolves
// the names, a Runtime starts processes. Chat templates are rendered here, with
// care that what users write never becomes a control token.
//
// Goroutines, all owned by the Engine and awaited by Close: one per load, one
// per running process (it waits for its end and closes it), and the janitor
// that unloads idle models. Generate and Stream add one per model or stream for
// the time of the call, Embed none. Callbacks run on the caller's own goroutine. Engine.mu
// guards residents, leases and the memory account; nothing blocks under it.
//
// The package must not import HTTP, gRPC, Arrow, Flight or DuckDB, nor storage,
// whose GGUF library brings HTTP along; a test proves it.
package inference
