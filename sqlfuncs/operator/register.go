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

// arena keeps C copies alive while a registration call runs.
type arena struct{ ptrs []unsafe.Pointer }

func (a *arena) free() {
	for _, p := range a.ptrs {
		C.free(p)
	}
}

func (a *arena) text(s string) *C.char {
	p := C.CString(s)
	a.ptrs = append(a.ptrs, unsafe.Pointer(p))
	return p
}

func alloc[T any](a *arena, n int) []T {
	if n == 0 {
		return nil
	}
	var t T
	p := C.calloc(C.size_t(n), C.size_t(unsafe.Sizeof(t)))
	a.ptrs = append(a.ptrs, p)
	return unsafe.Slice((*T)(p), n)
}

func (a *arena) columns(cs []Column) (*C.hs_col, C.size_t) {
	out := alloc[C.hs_col](a, len(cs))
	for i, c := range cs {
		out[i] = C.hs_col{name: a.text(c.Name), _type: a.text(c.Type)}
	}
	return unsafe.SliceData(out), C.size_t(len(cs))
}

const errBuf = 2048

func (at *Attachment) register(f Functions) error {
	var a arena
	defer a.free()
	buf := alloc[C.char](&a, errBuf)
	msg := unsafe.SliceData(buf)
	db := at.db.Ptr
	failed := func(rc C.int, what string) error {
		if rc == 0 {
			return nil
		}
		return errs.New(errs.Internal, "operator.Attach", "register %s: %s", what, C.GoString(msg))
	}
	if err := failed(C.hs_attach(db, C.uint64_t(at.id), msg, errBuf), "operator"); err != nil {
		return err
	}
	for _, s := range f.Settings {
		rc := C.hs_add_setting(db, a.text(s.Name), a.text(s.Description), a.text(s.Type), a.text(s.Default), msg, errBuf)
		if err := failed(rc, s.Name); err != nil {
			return err
		}
	}
	for _, s := range f.Scalars {
		if err := failed(C.hs_add_scalar(db, a.scalar(s), msg, errBuf), s.Name); err != nil {
			return err
		}
	}
	for _, g := range f.Aggregates {
		c := a.scalar(Scalar{Fn: g.Fn, Name: g.Name, Args: g.Args})
		if err := failed(C.hs_add_aggregate(db, c, C.size_t(g.Positional), msg, errBuf), g.Name); err != nil {
			return err
		}
	}
	for _, t := range f.Tables {
		if err := failed(C.hs_add_table(db, a.table(t), msg, errBuf), t.Name); err != nil {
			return err
		}
	}
	for _, m := range f.Macros {
		if err := failed(C.hs_add_macro(db, a.text(m), msg, errBuf), "macro"); err != nil {
			return err
		}
	}
	return nil
}

func (a *arena) scalar(s Scalar) *C.hs_scalar {
	c := alloc[C.hs_scalar](a, 1)
	c[0].fn, c[0].name, c[0].returns = C.uint16_t(s.Fn), a.text(s.Name), a.text(s.Returns)
	c[0].args, c[0].nargs = a.columns(s.Args)
	groups := alloc[C.uint64_t](a, len(s.Groups))
	for i, g := range s.Groups {
		for _, pos := range g {
			groups[i] |= 1 << pos
		}
	}
	c[0].groups, c[0].ngroups = unsafe.SliceData(groups), C.size_t(len(groups))
	c[0].lift, c[0].free, c[0].early, c[0].json = flag(s.Lift), flag(s.Free), flag(s.Early), flag(s.JSON)
	return &c[0]
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func (a *arena) table(t Table) *C.hs_table {
	c := alloc[C.hs_table](a, 1)
	c[0].fn, c[0].name = C.uint16_t(t.Fn), a.text(t.Name)
	c[0].args, c[0].nargs = a.columns(t.Args)
	c[0].columns, c[0].ncolumns = a.columns(t.Columns)
	c[0].estimate, c[0].rows = flag(t.Query), flag(t.Rows)
	lists := alloc[*C.uint8_t](a, len(t.Overloads))
	for i, o := range t.Overloads {
		l := alloc[C.uint8_t](a, len(o)+1)
		for j, pos := range o {
			l[j] = C.uint8_t(pos)
		}
		l[len(o)] = 255
		lists[i] = unsafe.SliceData(l)
	}
	c[0].overloads, c[0].noverloads = unsafe.SliceData(lists), C.size_t(len(lists))
	return &c[0]
}
