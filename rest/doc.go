// Package rest is the HTTP shim: it turns each request into one SQL statement
// with bound parameters, runs it through package database and writes the rows
// in the form the client expects (OpenAI's JSON and server-sent events, plain
// JSON rows, Arrow IPC, Prometheus' text).
//
// It decides nothing about models: which model is the default, what an option
// means, what an error is called are all answers of the SQL layer. Temperature
// is 0 when a request does not give one, as everywhere in hyprstream (OpenAI's
// own default is 1).
//
// Goroutines: none of its own. Each request runs on net/http's goroutine, with
// a SQL session that is opened for it and closed with it; at most
// Options.MaxSessions exist at once. A client that goes away cancels the
// request's context, and with it the statement.
//
// It must not import flightsql, inference, sqlfuncs, DuckDB or llama.cpp.
package rest
