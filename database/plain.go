package database

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/sqlfuncs/operator"
)

// maxBatchBytes is where a batch is cut: clients refuse messages over 4 MB.
const maxBatchBytes = 2 << 20

// maxBatchRows is where a batch of small rows ends.
const maxBatchRows = 64 << 10

// plainTypes are the types as which columns leave: DuckDB's own, but text for those
// whose Arrow form clients cannot read, however deep (operator.WireType).
type plainTypes struct {
	types []m.LogicalType
	casts []m.LogicalType // nil where all leave as they are; a nil Ptr for a column that does
}

// plain finds out as which types columns leave; the caller calls destroy.
func (s *Session) plain(types []m.LogicalType) plainTypes {
	p := plainTypes{types: make([]m.LogicalType, len(types))}
	casts, all := make([]m.LogicalType, len(types)), true
	for i, t := range types {
		to, asIs := operator.WireType(t, s.opt.Java)
		if p.types[i] = to; !asIs {
			casts[i], all = to, false
		}
	}
	if !all {
		p.casts = casts
	}
	return p
}

func (p *plainTypes) destroy() {
	for i := range p.types {
		m.DestroyLogicalType(&p.types[i])
	}
	*p = plainTypes{}
}

// inMilliseconds is a schema of parameters for the JDBC driver (18.3.0), which fills in
// milliseconds whatever unit it is told.
func inMilliseconds(s *arrow.Schema) *arrow.Schema {
	fields := s.Fields()
	for i, f := range fields {
		switch t := f.Type.(type) {
		case *arrow.TimestampType:
			fields[i].Type = &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: t.TimeZone}
		case *arrow.Time64Type:
			fields[i].Type = arrow.FixedWidthTypes.Time32ms
		}
	}
	return arrow.NewSchema(fields, nil)
}

// slicesOf cuts rec into batches of at most maxBatchBytes, but never below a row.
// It takes over the caller's reference.
func slicesOf(rec arrow.RecordBatch) []arrow.RecordBatch {
	if rec.NumRows() <= 1 || batchBytes(rec) <= maxBatchBytes {
		return []arrow.RecordBatch{rec}
	}
	defer rec.Release()
	half := rec.NumRows() / 2
	return append(slicesOf(rec.NewSlice(0, half)), slicesOf(rec.NewSlice(half, rec.NumRows()))...)
}

func batchBytes(rec arrow.RecordBatch) (n int64) {
	for _, c := range rec.Columns() {
		n += arrayBytes(c)
	}
	return n
}

// arrayBytes is what a possibly sliced array weighs on the wire, near enough.
func arrayBytes(a arrow.Array) int64 {
	n := int64(a.Len())
	switch a := a.(type) {
	case *array.String:
		if last := a.Len() - 1; last >= 0 {
			n = 4*n + int64(a.ValueOffset(last)-a.ValueOffset(0)) + int64(len(a.Value(last)))
		}
	case *array.Binary:
		if last := a.Len() - 1; last >= 0 {
			n = 4*n + int64(a.ValueOffset(last)-a.ValueOffset(0)) + int64(len(a.Value(last)))
		}
	case array.ListLike:
		if n > 0 {
			from, _ := a.ValueOffsets(0)
			_, to := a.ValueOffsets(a.Len() - 1)
			part := array.NewSlice(a.ListValues(), from, to)
			n = 4*n + arrayBytes(part)
			part.Release()
		}
	case *array.Struct:
		for i := range a.NumField() {
			n += arrayBytes(a.Field(i))
		}
	case *array.SparseUnion:
		for i := range a.NumFields() {
			n += arrayBytes(a.Field(i))
		}
	default:
		if w, ok := a.DataType().(arrow.FixedWidthDataType); ok {
			n = n * int64(w.BitWidth()) / 8
		}
	}
	return n
}
