// Package client is how the commands reach SQL: a running server over Flight
// SQL, or the data directory opened in this process where none runs. Which one
// it is matters to nobody above it.
//
// Goroutines: none of its own. A Client serves one statement at a time; a
// result is read to its end or released before the next Query.
//
// It must not import flightsql (the server), rest or inference.
package client
