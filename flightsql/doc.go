// Package flightsql serves a database over Arrow Flight SQL: the wire protocol
// of the ADBC and JDBC drivers. It translates and nothing else: statements,
// parameters and ingested batches go to the database package, Arrow batches
// come back, and errors become gRPC statuses here and only here.
//
// A client connection has one SQL session (session.go). A query is prepared by
// GetFlightInfo and executed by DoGet, once, under a random ticket
// (statement.go, tickets.go); statements that change something are executed by
// GetFlightInfo, because stock clients do not wait for an empty stream to end.
// docs/decisions/0007-flight-sessions.md gives the reasons.
//
// Goroutines: gRPC owns a handler per call. A handler that streams owns one
// producer (stream.go) and waits for it before it returns. The Server owns the
// janitor of expired handles and one closer per ended connection, and Shutdown
// waits for all of them.
//
// It must not import rest, console or cmd, and nothing below database: no
// inference, no runtime, no DuckDB bindings.
package flightsql
