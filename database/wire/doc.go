// Package wire says which type values of each DuckDB type leave with, and casts rows
// to it: text where DuckDB's own Arrow form loses something or means nothing to a
// client. Which types those are stands in wire.cpp; docs/types.md is the table that
// clients read.
//
// It is C++ on DuckDB's headers, since DuckDB's C API cannot cast; wire.h is the border.
// Its functions run on the goroutine of the session whose connection they get, and keep
// nothing. It must not import Arrow, nor anything of ours.
package wire
