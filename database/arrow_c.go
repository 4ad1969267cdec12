package database

/*
#include <stdint.h>
#include <stdlib.h>
#include <stdbool.h>

// Declared here rather than included: the header sits in another module, whose
// place cgo cannot name. The handles are opaque pointers in the C API.
typedef uint64_t idx_t;
struct hs_arrow_blob { char bytes[128]; }; // room for ArrowSchema (72) and ArrowArray (80)
extern void *duckdb_to_arrow_schema(void *options, void **types, const char **names, idx_t n, void *out_schema);
extern void *duckdb_schema_from_arrow(void *conn, void *schema, void **out_types);
extern void *duckdb_data_chunk_from_arrow(void *conn, void *array, void *converted_schema, void **out_chunk);
extern void duckdb_destroy_arrow_converted_schema(void **schema);
*/
import "C"

import (
	"encoding/json"
	"runtime"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/cdata"
	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/sqlfuncs/operator"
)

// schemaOf makes the Arrow schema DuckDB exports for these columns, in C order.
func schemaOf(opt m.ArrowOptions, types []m.LogicalType, names []string) (*arrow.Schema, error) {
	n := len(types)
	if n == 0 {
		return arrow.NewSchema(nil, nil), nil
	}
	ptr := C.size_t(unsafe.Sizeof(uintptr(0)))
	ctypes := C.calloc(C.size_t(n), ptr)
	cnames := C.calloc(C.size_t(n), ptr)
	defer C.free(ctypes)
	defer C.free(cnames)
	for i := range types {
		unsafe.Slice((*unsafe.Pointer)(ctypes), n)[i] = types[i].Ptr
		s := C.CString(names[i])
		defer C.free(unsafe.Pointer(s))
		unsafe.Slice((**C.char)(cnames), n)[i] = s
	}
	blob := C.calloc(1, C.sizeof_struct_hs_arrow_blob)
	defer C.free(blob)
	schema := (*cdata.CArrowSchema)(blob)
	if err := errorData(C.duckdb_to_arrow_schema(opt.Ptr, (*unsafe.Pointer)(ctypes), (**C.char)(cnames), C.idx_t(n), blob)); err != nil {
		return nil, err
	}
	defer cdata.ReleaseCArrowSchema(schema)
	return cdata.ImportCArrowSchema(schema)
}

// fetchBatch gets the next rows of a result, up to maxRows where they are there at
// once, in Arrow memory owned by C that the batch's Release frees. nil: there are no
// more. With ended this was the last batch.
func fetchBatch(res *m.Result, opt m.ArrowOptions, schema *arrow.Schema, maxRows int) (rec arrow.RecordBatch, ended bool, err error) {
	blob := C.calloc(1, C.sizeof_struct_hs_arrow_blob)
	defer C.free(blob)
	rows, ended := operator.Fetch(res, opt, maxRows, blob)
	if rows == 0 {
		return nil, ended, nil
	}
	arr := (*cdata.CArrowArray)(blob)
	defer cdata.ReleaseCArrowArray(arr) // a no-op once the import took it over
	rec, err = cdata.ImportCRecordBatchWithSchema(arr, schema)
	return rec, ended, err
}

// arrowTypes is DuckDB's reading of an Arrow schema, needed to take batches in.
type arrowTypes struct{ ptr unsafe.Pointer }

func newArrowTypes(conn m.Connection, schema *arrow.Schema) (arrowTypes, error) {
	blob := C.calloc(1, C.sizeof_struct_hs_arrow_blob)
	defer C.free(blob)
	cdata.ExportArrowSchema(schema, (*cdata.CArrowSchema)(blob))
	defer cdata.ReleaseCArrowSchema((*cdata.CArrowSchema)(blob))
	var out unsafe.Pointer
	err := errorData(C.duckdb_schema_from_arrow(conn.Ptr, blob, &out))
	return arrowTypes{out}, err
}

func (t *arrowTypes) close() {
	if t.ptr != nil {
		C.duckdb_destroy_arrow_converted_schema(&t.ptr)
		t.ptr = nil
	}
}

// chunkOf turns a batch into a DuckDB chunk the caller destroys. The chunk may
// point into the batch: the batch must outlive it.
func (t arrowTypes) chunkOf(conn m.Connection, rec arrow.RecordBatch) (m.DataChunk, error) {
	blobs := C.calloc(2, C.sizeof_struct_hs_arrow_blob)
	defer C.free(blobs)
	arr := (*cdata.CArrowArray)(blobs)
	sch := (*cdata.CArrowSchema)(unsafe.Add(blobs, C.sizeof_struct_hs_arrow_blob))
	cdata.ExportArrowRecordBatch(rec, arr, sch)
	defer cdata.ReleaseCArrowSchema(sch)
	defer cdata.ReleaseCArrowArray(arr) // DuckDB takes it over by clearing its release
	var out unsafe.Pointer
	err := errorData(C.duckdb_data_chunk_from_arrow(conn.Ptr, unsafe.Pointer(arr), t.ptr, &out))
	runtime.KeepAlive(rec)
	return m.DataChunk{Ptr: out}, err
}

// errorData consumes a duckdb_error_data.
func errorData(p unsafe.Pointer) error {
	if p == nil {
		return nil
	}
	e := m.ErrorData{Ptr: p}
	defer m.DestroyErrorData(&e)
	if !m.ErrorDataHasError(e) {
		return nil
	}
	msg := m.ErrorDataMessage(e)
	// An exception that crossed the C border unrendered comes as JSON.
	var raw struct {
		Type    string `json:"exception_type"`
		Message string `json:"exception_message"`
	}
	if json.Unmarshal([]byte(msg), &raw) == nil && raw.Message != "" {
		return translateText(raw.Type + " Error: " + raw.Message)
	}
	return translate(m.ErrorDataErrorType(e), msg)
}
