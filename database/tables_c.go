package database

/*
#include <stdint.h>
#include <stdlib.h>

void hsTableBind(void *info);
void hsTableInit(void *info);
void hsTableScan(void *info, void *chunk);
void hsFreeHandle(void *handle);
*/
import "C"

import (
	"fmt"
	"runtime/cgo"
	"time"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
)

// table is a read-only table function without parameters, fed from Go. rows is
// called once per scan, on a thread of DuckDB's.
type table struct {
	name    string
	columns []column
	rows    func() [][]any // nil is NULL; else by the column's type
}

// column's type is one that put knows.
type column struct {
	name string
	typ  m.Type // TypeList is a list of VARCHAR
}

// scan is the state of one scan.
type scan struct {
	*table
	data [][]any
	at   int
}

// register makes the function known to the database of conn.
func (t *table) register(conn m.Connection) error {
	f := m.CreateTableFunction()
	defer m.DestroyTableFunction(&f)
	m.TableFunctionSetName(f, t.name)
	m.TableFunctionSetExtraInfo(f, newHandle(t), unsafe.Pointer(C.hsFreeHandle))
	m.TableFunctionSetBind(f, unsafe.Pointer(C.hsTableBind))
	m.TableFunctionSetInit(f, unsafe.Pointer(C.hsTableInit))
	m.TableFunctionSetFunction(f, unsafe.Pointer(C.hsTableScan))
	if m.RegisterTableFunction(conn, f) != m.StateSuccess {
		return errs.New(errs.Internal, "database.Open", "table function %s was not registered", t.name)
	}
	return nil
}

// newHandle puts a Go value where C can hold on to it; hsFreeHandle lets go.
func newHandle(v any) unsafe.Pointer {
	p := C.malloc(C.size_t(unsafe.Sizeof(cgo.Handle(0))))
	*(*cgo.Handle)(p) = cgo.NewHandle(v)
	return p
}

func handleValue(p unsafe.Pointer) any { return (*(*cgo.Handle)(p)).Value() }

//export hsFreeHandle
func hsFreeHandle(p unsafe.Pointer) {
	(*(*cgo.Handle)(p)).Delete()
	C.free(p)
}

// caught turns a panic into the statement's error: one that crosses into C ends
// the process.
func caught(set func(msg string)) {
	if r := recover(); r != nil {
		set(fmt.Sprintf("a defect in a table of schema ai: %v", r))
	}
}

//export hsTableBind
func hsTableBind(p unsafe.Pointer) {
	info := m.BindInfo{Ptr: p}
	defer caught(func(s string) { m.BindSetError(info, s) })
	for _, c := range handleValue(m.BindGetExtraInfo(info)).(*table).columns {
		t := m.CreateLogicalType(c.typ)
		if c.typ == m.TypeList {
			m.DestroyLogicalType(&t)
			v := m.CreateLogicalType(m.TypeVarchar)
			t = m.CreateListType(v)
			m.DestroyLogicalType(&v)
		}
		m.BindAddResultColumn(info, c.name, t)
		m.DestroyLogicalType(&t)
	}
}

//export hsTableInit
func hsTableInit(p unsafe.Pointer) {
	info := m.InitInfo{Ptr: p}
	defer caught(func(s string) { m.InitSetError(info, s) })
	t := handleValue(m.InitGetExtraInfo(info)).(*table)
	m.InitSetMaxThreads(info, 1)
	m.InitSetInitData(info, newHandle(&scan{table: t, data: t.rows()}), unsafe.Pointer(C.hsFreeHandle))
}

//export hsTableScan
func hsTableScan(p, chunkPtr unsafe.Pointer) {
	info, chunk := m.FunctionInfo{Ptr: p}, m.DataChunk{Ptr: chunkPtr}
	defer caught(func(s string) { m.FunctionSetError(info, s) })
	s := handleValue(m.FunctionGetInitData(info)).(*scan)
	n := min(len(s.data)-s.at, int(m.VectorSize()))
	for i, c := range s.columns {
		v := m.DataChunkGetVector(chunk, m.IdxT(i))
		for row := range n {
			put(v, c.typ, row, s.data[s.at+row][i])
		}
	}
	s.at += n
	m.DataChunkSetSize(chunk, m.IdxT(n))
}

// put writes a value into row of a vector.
func put(v m.Vector, t m.Type, row int, value any) {
	if value == nil {
		m.VectorEnsureValidityWritable(v)
		m.ValiditySetRowInvalid(m.VectorGetValidity(v), m.IdxT(row))
		if t == m.TypeList {
			cell[[2]uint64](v, row, [2]uint64{})
		}
		return
	}
	switch t {
	case m.TypeVarchar:
		m.VectorAssignStringElementLen(v, m.IdxT(row), []byte(value.(string)))
	case m.TypeBoolean:
		cell(v, row, value.(bool))
	case m.TypeBigInt:
		cell(v, row, value.(int64))
	case m.TypeDouble:
		cell(v, row, value.(float64))
	case m.TypeTimestampTZ:
		cell(v, row, value.(time.Time).UnixMicro())
	case m.TypeList:
		from := m.ListVectorGetSize(v)
		items := value.([]string)
		to := from + m.IdxT(len(items))
		m.ListVectorReserve(v, to)
		child := m.ListVectorGetChild(v)
		for i, s := range items {
			m.VectorAssignStringElementLen(child, from+m.IdxT(i), []byte(s))
		}
		m.ListVectorSetSize(v, to)
		cell(v, row, [2]uint64{uint64(from), uint64(len(items))})
	default:
		panic(fmt.Sprintf("column type %d", t))
	}
}

func cell[T any](v m.Vector, row int, value T) {
	*(*T)(unsafe.Add(m.VectorGetData(v), uintptr(row)*unsafe.Sizeof(value))) = value
}
