package operator

/*
#include "hsop.h"
*/
import "C"

import (
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// Together makes one statement of a prepared one and its rows of parameters, which
// chunks have in a column per parameter. ok is false where the rows can only be
// executed one by one. The caller destroys the statement.
func Together(conn duckdb.Connection, prep duckdb.PreparedStatement, chunks []duckdb.DataChunk) (all duckdb.PreparedStatement, ok bool) {
	ptrs := make([]unsafe.Pointer, len(chunks)) // of C memory
	for i, c := range chunks {
		ptrs[i] = c.Ptr
	}
	all.Ptr = C.hs_together(conn.Ptr, prep.Ptr, unsafe.SliceData(ptrs), C.size_t(len(ptrs)))
	return all, all.Ptr != nil
}

// NullOf is NULL of a type, which the C API cannot make. The caller destroys it.
func NullOf(t duckdb.LogicalType) duckdb.Value { return duckdb.Value{Ptr: C.hs_null(t.Ptr)} }
