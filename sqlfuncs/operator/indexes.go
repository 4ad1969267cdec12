package operator

/*
#include <stdlib.h>
#include "hsop.h"
*/
import "C"

import (
	"strings"
	"unsafe"

	"hyprstream/errs"
)

// Index is an index of the extension vss.
type Index struct {
	Name   string // quoted, with its schema
	Table  string
	SQL    string // the statement that made it, as far as DuckDB keeps it: without the options
	Behind bool   // a log had changes of the table, which are not in the index yet
}

// VectorIndexes lists the HNSW indexes of the database, whether or not their
// extension is loaded.
func (a *Attachment) VectorIndexes() ([]Index, error) {
	const size = 1024
	msg := (*C.char)(C.malloc(size))
	defer C.free(unsafe.Pointer(msg))
	var out *C.char
	var n C.size_t
	if C.hs_hnsw_indexes(a.db.Ptr, &out, &n, msg, size) != 0 {
		return nil, errs.New(errs.Internal, "operator.VectorIndexes", "the indexes cannot be listed: %s", C.GoString(msg))
	}
	defer C.free(unsafe.Pointer(out))
	const fields = 4
	f := strings.Split(C.GoStringN(out, C.int(n)), "\x00")
	var r []Index
	for ; len(f) > fields; f = f[fields:] {
		r = append(r, Index{Name: f[0], Table: f[1], SQL: f[2], Behind: f[3] != ""})
	}
	return r, nil
}
