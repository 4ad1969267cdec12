package llama

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

// Quantize writes the GGUF model at in to out with weights of another type, a
// number of llama.cpp's llama_ftype. progress, called with 0..1 from this
// goroutine, may be nil. The error's text ends with what llama.cpp logged; what
// is then at out is of no use.
func Quantize(in, out string, ftype int32, progress func(fraction float64)) error {
	initBackend()
	handle := cgo.NewHandle(func(f float64) bool {
		if progress != nil {
			progress(f)
		}
		return true
	})
	defer handle.Delete()
	cin, cout := C.CString(in), C.CString(out)
	defer C.free(unsafe.Pointer(cin))
	defer C.free(unsafe.Pointer(cout))
	var cerr C.hs_error
	mark := C.hs_log_mark()
	if !C.hs_quantize(cin, cout, C.int32_t(ftype), C.uintptr_t(handle), &cerr) {
		return failure("", mark, &cerr)
	}
	return nil
}
