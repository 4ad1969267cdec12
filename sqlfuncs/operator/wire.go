package operator

/*
#include <stdlib.h>
#include "hsop.h"
*/
import "C"

import (
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// WireType is what values of type t leave as for clients; the caller destroys it.
// signed asks for no unsigned integers. asIs says that they need no cast.
func WireType(t duckdb.LogicalType, signed bool) (to duckdb.LogicalType, asIs bool) {
	var wide, same C.int
	if signed {
		wide = 1
	}
	p := C.hs_wire_type(t.Ptr, wide, &same)
	return duckdb.LogicalType{Ptr: p}, same != 0
}

// Cast casts a chunk's columns to these types, in place. It returns DuckDB's rendered
// message, "" for no error.
func Cast(conn duckdb.Connection, chunk *duckdb.DataChunk, types []duckdb.LogicalType) string {
	var msg *C.char
	out := C.hs_cast(conn.Ptr, chunk.Ptr, pointers(types), C.size_t(len(types)), &msg)
	if out == nil {
		defer C.free(unsafe.Pointer(msg))
		return C.GoString(msg)
	}
	duckdb.DestroyDataChunk(chunk)
	chunk.Ptr = out
	return ""
}

// UnionOf is the value of a UNION type whose member tag has value v; ok is false where
// v cannot be one. The caller destroys it and v.
func UnionOf(t duckdb.LogicalType, tag int, v duckdb.Value) (u duckdb.Value, ok bool) {
	p := C.hs_union(t.Ptr, C.size_t(tag), v.Ptr)
	return duckdb.Value{Ptr: p}, p != nil
}

// pointers are types as C has them; they point to C's memory, so that Go may hand them
// over for the time of a call.
func pointers(types []duckdb.LogicalType) *unsafe.Pointer {
	if len(types) == 0 {
		return nil
	}
	ptrs := make([]unsafe.Pointer, len(types))
	for i, t := range types {
		ptrs[i] = t.Ptr
	}
	return unsafe.SliceData(ptrs)
}
