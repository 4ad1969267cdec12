package database

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/errs"
)

// maxBatchBytes is where a batch is cut: clients refuse messages over 4 MB.
const maxBatchBytes = 2 << 20

// maxBatchRows is where a batch of small rows ends.
const maxBatchRows = 64 << 10

// plainSchema is the schema clients see: DuckDB's, but ENUMs (dictionaries) as
// plain strings, since the JDBC driver reads them as numbers.
func plainSchema(s *arrow.Schema) *arrow.Schema {
	fields := make([]arrow.Field, s.NumFields())
	for i, f := range s.Fields() {
		f.Type = plainType(f.Type)
		fields[i] = f
	}
	return arrow.NewSchema(fields, nil)
}

// plainType replaces dictionaries in t, however deep.
func plainType(t arrow.DataType) arrow.DataType {
	field := func(f arrow.Field) arrow.Field { f.Type = plainType(f.Type); return f }
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return t.ValueType
	case *arrow.MapType:
		return arrow.MapOfFields(field(t.KeyField()), field(t.ItemField()))
	case *arrow.ListType:
		return arrow.ListOfField(field(t.ElemField()))
	case *arrow.LargeListType:
		return arrow.LargeListOfField(field(t.ElemField()))
	case *arrow.FixedSizeListType:
		return arrow.FixedSizeListOfField(t.Len(), field(t.ElemField()))
	case *arrow.StructType:
		fields := make([]arrow.Field, t.NumFields())
		for i, f := range t.Fields() {
			fields[i] = field(f)
		}
		return arrow.StructOf(fields...)
	case *arrow.SparseUnionType:
		fields := make([]arrow.Field, t.NumFields())
		for i, f := range t.Fields() {
			fields[i] = field(f)
		}
		return arrow.SparseUnionOf(fields, t.TypeCodes())
	}
	return t
}

// plainBatch gives rec the schema that plainSchema made, decoding dictionaries.
// It takes over the caller's reference to rec.
func plainBatch(rec arrow.RecordBatch, schema *arrow.Schema) (arrow.RecordBatch, error) {
	if rec.Schema().Equal(schema) {
		return rec, nil
	}
	defer rec.Release()
	cols := make([]arrow.Array, rec.NumCols())
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, c := range rec.Columns() {
		data, err := plainData(c.Data(), schema.Field(i).Type)
		if err != nil {
			return nil, err
		}
		cols[i] = array.MakeFromData(data)
		data.Release()
	}
	return array.NewRecordBatch(schema, cols, rec.NumRows()), nil
}

// plainData is d with its dictionaries decoded to type to. The caller releases it.
func plainData(d arrow.ArrayData, to arrow.DataType) (arrow.ArrayData, error) {
	if arrow.TypeEqual(d.DataType(), to) {
		d.Retain()
		return d, nil
	}
	if d.DataType().ID() == arrow.DICTIONARY {
		return decode(d)
	}
	nested, ok := to.(arrow.NestedType)
	if !ok || len(nested.Fields()) != len(d.Children()) {
		return nil, errs.New(errs.Internal, "arrow", "no way from Arrow type %s to %s", d.DataType(), to)
	}
	children := make([]arrow.ArrayData, len(d.Children()))
	for i, f := range nested.Fields() {
		c, err := plainData(d.Children()[i], f.Type)
		if err != nil {
			return nil, err
		}
		defer c.Release()
		children[i] = c
	}
	return array.NewData(to, d.Len(), d.Buffers(), children, d.NullN(), d.Offset()), nil
}

// decode turns a dictionary array of strings into a string array.
func decode(d arrow.ArrayData) (arrow.ArrayData, error) {
	dict := array.NewDictionaryData(d)
	defer dict.Release()
	values, ok := dict.Dictionary().(*array.String)
	if !ok {
		return nil, errs.New(errs.Internal, "arrow", "a dictionary of %s cannot be sent", dict.Dictionary().DataType())
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.Reserve(dict.Len())
	for i := range dict.Len() {
		if dict.IsNull(i) {
			b.AppendNull()
			continue
		}
		b.Append(values.Value(dict.GetValueIndex(i)))
	}
	out := b.NewStringArray()
	defer out.Release()
	out.Data().Retain()
	return out.Data(), nil
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
	default:
		if w, ok := a.DataType().(arrow.FixedWidthDataType); ok {
			n = n * int64(w.BitWidth()) / 8
		}
	}
	return n
}
