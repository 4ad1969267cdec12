package grammar

// #cgo CPPFLAGS: -I${SRCDIR}/../../.deps/src/llama.cpp-patched/common -I${SRCDIR}/../../.deps/src/llama.cpp-patched/vendor
// #cgo CPPFLAGS: -I${SRCDIR}/../../.deps/src/llama.cpp-patched/include -I${SRCDIR}/../../.deps/src/llama.cpp-patched/ggml/include
// #cgo CXXFLAGS: -std=c++17 -O1 -DNDEBUG
// #cgo LDFLAGS: -lstdc++
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Of is the grammar of a JSON schema, given as JSON text: what it derives is valid by
// the schema's types, fields, enumerations, patterns and lengths. What it cannot say
// (bounds of numbers that are no integers, say) it leaves out. References are followed inside the schema only.
func Of(schema string) (string, error) {
	s := C.CString(schema)
	defer C.free(unsafe.Pointer(s))
	var message *C.char
	g := C.hs_grammar(s, C.size_t(len(schema)), &message)
	if g == nil {
		defer C.free(unsafe.Pointer(message))
		return "", errors.New(C.GoString(message))
	}
	defer C.free(unsafe.Pointer(g))
	return C.GoString(g), nil
}
