package wire

/*
#cgo CXXFLAGS: -std=c++17 -O2 -DNDEBUG -I${SRCDIR}/../../.deps/duckdb/include
#include <stdlib.h>
#include "wire.h"
*/
import "C"

import (
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"
)

// Type is what values of type t leave with; the caller destroys it. signed asks for no
// unsigned integers. asIs says that they need no cast.
func Type(t m.LogicalType, signed bool) (to m.LogicalType, asIs bool) {
	var same C.bool
	p := C.hs_wire_type(t.Ptr, C.bool(signed), &same)
	return m.LogicalType{Ptr: p}, bool(same)
}

// Out casts chunk, in place, for Arrow: its columns get these types, one with a nil Ptr
// stays as it is. It returns DuckDB's rendered message, "" for no error; an INTERVAL that
// Arrow cannot hold is one.
func Out(conn m.Connection, chunk *m.DataChunk, types []m.LogicalType) string {
	return cast(conn, chunk, types, true)
}

// In is Out for values that came from a client and go into a table.
func In(conn m.Connection, chunk *m.DataChunk, types []m.LogicalType) string {
	return cast(conn, chunk, types, false)
}

func cast(conn m.Connection, chunk *m.DataChunk, types []m.LogicalType, leaving bool) string {
	ptrs := make([]unsafe.Pointer, len(types)) // of C's memory, so that Go may hand them over
	for i, t := range types {
		ptrs[i] = t.Ptr
	}
	var msg *C.char
	out := C.hs_wire_cast(conn.Ptr, chunk.Ptr, unsafe.SliceData(ptrs), C.size_t(len(ptrs)), C.bool(leaving), &msg)
	if out == nil {
		defer C.free(unsafe.Pointer(msg))
		return C.GoString(msg)
	}
	m.DestroyDataChunk(chunk)
	chunk.Ptr = out
	return ""
}

// Union is the value of a UNION type whose member tag has value v; ok is false where
// v cannot be one. The caller destroys it and v.
func Union(t m.LogicalType, tag int, v m.Value) (u m.Value, ok bool) {
	p := C.hs_wire_union(t.Ptr, C.size_t(tag), v.Ptr)
	return m.Value{Ptr: p}, p != nil
}
