// Package catalog keeps what the database knows of models and adapters, and runs
// the statements that change it.
//
// It lives in a DuckDB file of its own (catalog.duckdb in the data directory),
// which no client's statement can write; every change is one durable
// transaction. All of it is held in memory as well, so that a lookup during
// inference costs a map access. Catalog has one goroutine, the writer of usage
// records, which Close ends and waits for.
//
// It must not import transports, Arrow, or anything above it.
package catalog
