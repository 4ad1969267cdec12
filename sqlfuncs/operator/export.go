package operator

/*
#include <stdlib.h>
#include "hsop.h"
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"hyprstream/errs"
)

// The functions below are called from C++, on DuckDB's threads. None may panic:
// that would kill the process.

func goBytes(s C.hs_str) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s.p)), int(s.n))
}

func panicText(r any) string {
	return fmt.Sprintf("[%s] a defect in hyprstream: %v", errs.Internal, r)
}

//export goHsOpen
func goHsOpen(env, conn, op C.uint64_t, t C.hs_terms) {
	if a := find(uint64(env)); a != nil {
		a.begin(uint64(conn), uint64(op), Terms{Query: uint64(t.query), Estimate: uint64(t.estimate),
			Rows: int64(t.rows), Tokens: int64(t.tokens), Seconds: float64(t.seconds)})
	}
}

//export goHsSubmit
func goHsSubmit(env, conn, op, first, n C.uint64_t, reqs *C.hs_str) {
	a := find(uint64(env))
	if a == nil {
		return
	}
	var calls []Call
	var index []uint64
	for i, r := range unsafe.Slice(reqs, int(n)) {
		if r.p == nil {
			continue
		}
		c, err := decode(goBytes(r))
		if err != nil {
			answer(uint64(op), uint64(first)+uint64(i), Answer{Err: errs.New(errs.Internal, "operator", "%v", err), Fail: true})
			return
		}
		calls, index = append(calls, c), append(index, uint64(first)+uint64(i))
	}
	if len(calls) == 0 {
		return
	}
	if r := runningOf(uint64(op)); r != nil {
		r.feed(calls, index)
	}
}

//export goHsStream
func goHsStream(env, conn, op C.uint64_t, req C.hs_str) {
	a := find(uint64(env))
	c, err := decode(goBytes(req))
	if a == nil || err != nil {
		p, n := cText("[INTERNAL] the engine is gone")
		C.hs_end(op, p, n)
		return
	}
	if r := runningOf(uint64(op)); r != nil {
		a.wg.Add(1)
		r.work.enter()
		go a.stream(r, uint64(op), c)
	}
}

//export goHsStop
func goHsStop(op C.uint64_t) {
	if r := runningOf(uint64(op)); r != nil {
		r.cancel()
	}
}

//export goHsClose
func goHsClose(op C.uint64_t) { closeOperator(uint64(op)) }

//export goHsCheck
func goHsCheck(env C.uint64_t, req C.hs_str) (out *C.char) {
	defer func() {
		if r := recover(); r != nil {
			out = C.CString(panicText(r))
		}
	}()
	a := find(uint64(env))
	c, err := decode(goBytes(req))
	if err == nil && a != nil {
		err = a.handler.Check(c)
	}
	if err != nil {
		return C.CString(message(err))
	}
	return nil
}

//export goHsReturns
func goHsReturns(env C.uint64_t, req C.hs_str) (out *C.char) {
	defer func() {
		if r := recover(); r != nil {
			out = nil
		}
	}()
	a := find(uint64(env))
	c, err := decode(goBytes(req))
	if err != nil || a == nil {
		return nil
	}
	if t := a.handler.Returns(c); t != "" {
		return C.CString(t)
	}
	return nil
}

//export goHsExplain
func goHsExplain(env C.uint64_t, req C.hs_str, rows C.uint64_t) (out *C.char) {
	defer func() {
		if r := recover(); r != nil {
			out = C.CString(panicText(r))
		}
	}()
	a := find(uint64(env))
	c, err := decode(goBytes(req))
	if a == nil || err != nil {
		return C.CString("the engine is gone")
	}
	return C.CString(strings.Join(a.handler.Explain(c, int64(rows)), "\n"))
}

//export goHsCost
func goHsCost(env C.uint64_t, req C.hs_str, yes *C.double) (out C.double) {
	defer func() {
		if r := recover(); r != nil {
			out = 0 // an order like any other
		}
	}()
	a := find(uint64(env))
	c, err := decode(goBytes(req))
	if a == nil || err != nil {
		return 0
	}
	cost, share, known := a.handler.Cost(c)
	if known {
		*yes = C.double(share)
	}
	return C.double(cost)
}

//export goHsSpent
func goHsSpent(op C.uint64_t) (out *C.char) {
	defer func() {
		if r := recover(); r != nil {
			out = C.CString(panicText(r))
		}
	}()
	r := runningOf(uint64(op))
	if r == nil {
		return C.CString("")
	}
	return C.CString(strings.Join(r.a.handler.Spent(r.spent), "\n"))
}

//export goHsTemplate
func goHsTemplate(env C.uint64_t, name C.hs_str, size *C.size_t, errOut **C.char) (out *C.char) {
	defer func() {
		if r := recover(); r != nil {
			*errOut, out = C.CString(panicText(r)), nil
		}
	}()
	a := find(uint64(env))
	if a == nil {
		*errOut = C.CString("[INTERNAL] the engine is gone")
		return nil
	}
	pieces, err := a.handler.Template(string(goBytes(name)))
	if err != nil {
		*errOut = C.CString(message(err))
		return nil
	}
	var b []byte
	for _, p := range pieces {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(p))), p...)
	}
	*size = C.size_t(len(b))
	return (*C.char)(C.CBytes(b))
}

//export goHsParse
func goHsParse(env C.uint64_t, sql C.hs_str, errOut **C.char) (out C.int) {
	defer func() {
		if r := recover(); r != nil {
			*errOut, out = C.CString(panicText(r)), 2
		}
	}()
	a := find(uint64(env))
	if a == nil {
		return 0
	}
	ours, err := a.handler.Parse(string(goBytes(sql)))
	switch {
	case err != nil:
		*errOut = C.CString(message(err))
		return 2
	case ours:
		return 1
	}
	return 0
}

//export goHsRun
func goHsRun(env, conn C.uint64_t, sql C.hs_str, answerOut **C.char) (out C.int) {
	defer func() {
		if r := recover(); r != nil {
			*answerOut, out = C.CString(panicText(r)), 1
		}
	}()
	a := find(uint64(env))
	if a == nil {
		*answerOut = C.CString("[INTERNAL] the engine is gone")
		return 1
	}
	s, err := a.handler.Exec(a.statement(uint64(conn)).ctx, string(goBytes(sql)))
	if err != nil {
		*answerOut = C.CString(message(err))
		return 1
	}
	*answerOut = C.CString(s)
	return 0
}

func sendRow(op uint64, values []*string) {
	var pin runtime.Pinner
	defer pin.Unpin()
	row := make([]C.hs_str, len(values))
	empty := byte(0)
	for i, v := range values {
		if v == nil {
			continue
		}
		p := unsafe.StringData(*v)
		if len(*v) == 0 {
			p = &empty // NULL pointers mean NULL
		}
		pin.Pin(p)
		row[i] = C.hs_str{p: (*C.char)(unsafe.Pointer(p)), n: C.size_t(len(*v))}
	}
	C.hs_row(C.uint64_t(op), unsafe.SliceData(row), C.size_t(len(row)))
}
