package operator

/*
#include <stdlib.h>
#include "hsop.h"
*/
import "C"

import (
	"strconv"
	"strings"
	"unsafe"
)

// Site is a call as a statement's text has it.
type Site struct {
	Unnamed int      // arguments without a name
	Names   []string // of the others
}

// Calls are the calls of a function in sql; where it cannot be read there are none.
func Calls(sql, function string) (sites []Site) {
	csql, name := C.CString(sql), C.CString(function)
	defer C.free(unsafe.Pointer(csql))
	defer C.free(unsafe.Pointer(name))
	text := C.hs_calls(csql, C.size_t(len(sql)), name)
	defer C.free(unsafe.Pointer(text))
	for line := range strings.Lines(C.GoString(text)) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		n, err := strconv.Atoi(cells[0])
		if err != nil {
			continue // a name with a line break in it
		}
		sites = append(sites, Site{n, cells[1:]})
	}
	return sites
}
