// Package database runs SQL: one DuckDB connection per Session, statements and
// prepared statements with parameters, cancellation, and results as Arrow
// record batches while DuckDB still makes them. Open wires the layers below it.
//
// A Session serialises its statements. An open Result holds its session until
// it is closed; a statement that comes meanwhile waits, as long as its context
// lets it. No goroutine outlives the call that started it, but for those owned
// by DB and ended by DB.Close.
//
// It must not import flightsql or rest, and knows nothing of either protocol.
package database
