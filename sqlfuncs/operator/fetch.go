package operator

/*
#include "hsop.h"
*/
import "C"

import (
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// Fetch writes the next rows of a result into array, an ArrowArray in C memory: what
// DuckDB makes at once, and more up to maxRows where that is there without waiting.
// With ended no more will come; the result knows whether for an error. types, where not
// nil, are those that its columns are cast to, one with a nil Ptr as it is.
func Fetch(result *duckdb.Result, options duckdb.ArrowOptions, types []duckdb.LogicalType, maxRows int, array unsafe.Pointer) (rows int, ended bool) {
	var end C.int
	handle := *result // apart from its owner, whose Go pointers C must not see
	n := C.hs_fetch(unsafe.Pointer(&handle), options.Ptr, pointers(types), C.size_t(maxRows), array, &end)
	return int(n), end != 0
}

// Pack says whether plans made on a connection from now on pack their rows where they
// are made: Fetch is faster then, and nothing else can read the result. noUnsigned is
// what WireType is asked with.
func Pack(conn duckdb.Connection, on, noUnsigned bool) {
	C.hs_pack(conn.Ptr, flag(on), flag(noUnsigned))
}

// Buffer says how many bytes of rows may be made ahead of their reader when a statement
// is executed next; at least 4.
func Buffer(conn duckdb.Connection, prep duckdb.PreparedStatement, bytes int) {
	C.hs_buffer(conn.Ptr, prep.Ptr, C.size_t(bytes))
}
