// Package sqlfuncs is the SQL surface of inference: which functions there are,
// their options and types, and how a call becomes a request of the engine.
//
// It runs on the goroutines that sqlfuncs/operator starts for each batch and owns
// none. It must not import Arrow, a transport or database.
package sqlfuncs
