package operator

/*
#include <stdlib.h>
#include "hsop.h"
*/
import "C"

import (
	"unsafe"

	"hyprstream/errs"
)

// Withhold takes table functions and pragmas of DuckDB's own away from every
// connection, until the database is opened again. Names that are not there are
// passed over.
func (a *Attachment) Withhold(names ...string) error {
	const size = 1024
	msg := (*C.char)(C.malloc(size))
	defer C.free(unsafe.Pointer(msg))
	for _, name := range names {
		c := C.CString(name)
		failed := C.hs_withhold(a.db.Ptr, c, msg, size)
		C.free(unsafe.Pointer(c))
		if failed != 0 {
			return errs.New(errs.Internal, "operator.Withhold", "%s cannot be taken away: %s", name, C.GoString(msg))
		}
	}
	return nil
}

// Guard keeps clients' statements out of dir, an absolute path without symbolic
// links. own is the database's file in it: DuckDB itself goes on using that one
// and what is named after it.
func (a *Attachment) Guard(dir, own string) error {
	const size = 1024
	msg := (*C.char)(C.malloc(size))
	defer C.free(unsafe.Pointer(msg))
	cdir, cown := C.CString(dir), C.CString(own)
	defer C.free(unsafe.Pointer(cdir))
	defer C.free(unsafe.Pointer(cown))
	if C.hs_guard(a.db.Ptr, cdir, cown, msg, size) != 0 {
		return errs.New(errs.Internal, "operator.Guard", "%s cannot be guarded: %s", dir, C.GoString(msg))
	}
	return nil
}
