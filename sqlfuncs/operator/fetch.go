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
// With ended no more will come; the result knows whether for an error.
func Fetch(result *duckdb.Result, options duckdb.ArrowOptions, maxRows int, array unsafe.Pointer) (rows int, ended bool) {
	var end C.int
	handle := *result // apart from its owner, whose Go pointers C must not see
	n := C.hs_fetch(unsafe.Pointer(&handle), options.Ptr, C.size_t(maxRows), array, &end)
	return int(n), end != 0
}
