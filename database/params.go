package database

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal"
	"github.com/apache/arrow-go/v18/arrow/memory"
	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
	"hyprstream/sqlfuncs/operator"
)

// binder knows which column of a parameter batch belongs to which parameter.
type binder struct {
	cols []arrow.Array // by parameter
	rows int           // executions
}

// binder matches params to the statement's parameters: by name where the
// parameter has one ($name; the field may be called name, $name or :name), by
// position otherwise.
func (st *Stmt) binder(params arrow.RecordBatch) (*binder, error) {
	n := st.params.NumFields()
	have := 0
	if params != nil {
		have = int(params.NumCols())
	}
	switch {
	case n == 0 && have == 0:
		return &binder{rows: 1}, nil
	case have == 0:
		return nil, errs.New(errs.InvalidArgument, "bind", "the statement has %d parameter(s) and no values were given", n)
	case have != n:
		return nil, errs.New(errs.InvalidArgument, "bind", "the statement has %d parameter(s) and %d value(s) were given", n, have)
	}
	b := &binder{cols: make([]arrow.Array, n), rows: int(params.NumRows())}
	for i, f := range st.params.Fields() {
		at := i
		if k := ordinal(f.Name); k > 0 {
			at = k - 1
		} else if k := fieldNamed(params.Schema(), f.Name); k >= 0 {
			at = k
		}
		if at >= have {
			return nil, errs.New(errs.InvalidArgument, "bind", "no value was given for parameter $%s", f.Name)
		}
		b.cols[i] = params.Column(at)
	}
	return b, nil
}

func fieldNamed(s *arrow.Schema, name string) int {
	for i, f := range s.Fields() {
		if f.Name == name || f.Name == "$"+name || f.Name == ":"+name || f.Name == "@"+name {
			return i
		}
	}
	return -1
}

// bind binds a row's values to prep.
func (b *binder) bind(prep m.PreparedStatement, row int) error {
	m.ClearBindings(prep)
	for i, col := range b.cols {
		v, err := valueOf(col, row)
		if err != nil {
			return errs.Wrap(err, errs.CodeOf(err), "bind", "parameter %d", i+1)
		}
		state := m.BindValue(prep, m.IdxT(i+1), v)
		m.DestroyValue(&v)
		if state != m.StateSuccess {
			return translateText(m.PrepareError(prep))
		}
	}
	return nil
}

// valueOf is the DuckDB value of a[i]; the caller destroys it.
func valueOf(a arrow.Array, i int) (m.Value, error) {
	if a.IsNull(i) || a.DataType().ID() == arrow.NULL {
		t, err := logicalType(a.DataType())
		if err != nil {
			return m.Value{}, err
		}
		defer m.DestroyLogicalType(&t)
		return operator.NullOf(t), nil // of its column's type: other rows have values
	}
	if v, ok := plainValue(a, i); ok {
		return v, nil
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return valueOf(a.Dictionary(), a.GetValueIndex(i))
	case array.ExtensionArray:
		return valueOf(a.Storage(), i)
	case *array.Map:
		return mapValue(a, i)
	case array.ListLike:
		return listValue(a, i)
	case *array.Struct:
		return structValue(a, i)
	}
	return m.Value{}, errs.New(errs.Unsupported, "bind", "values of Arrow type %s cannot be bound: cast them on the client", a.DataType())
}

// plainValue handles types without children.
func plainValue(a arrow.Array, i int) (m.Value, bool) {
	switch a := a.(type) {
	case *array.Boolean:
		return m.CreateBool(a.Value(i)), true
	case *array.Int8:
		return m.CreateInt8(a.Value(i)), true
	case *array.Int16:
		return m.CreateInt16(a.Value(i)), true
	case *array.Int32:
		return m.CreateInt32(a.Value(i)), true
	case *array.Int64:
		return m.CreateInt64(a.Value(i)), true
	case *array.Uint8:
		return m.CreateUInt8(a.Value(i)), true
	case *array.Uint16:
		return m.CreateUInt16(a.Value(i)), true
	case *array.Uint32:
		return m.CreateUInt32(a.Value(i)), true
	case *array.Uint64:
		return m.CreateUInt64(a.Value(i)), true
	case *array.Float16:
		return m.CreateFloat(a.Value(i).Float32()), true
	case *array.Float32:
		return m.CreateFloat(a.Value(i)), true
	case *array.Float64:
		return m.CreateDouble(a.Value(i)), true
	case *array.String:
		return varchar(a.Value(i)), true
	case *array.LargeString:
		return varchar(a.Value(i)), true
	case *array.StringView:
		return varchar(a.Value(i)), true
	case *array.Binary:
		return m.CreateBlob(a.Value(i)), true
	case *array.LargeBinary:
		return m.CreateBlob(a.Value(i)), true
	case *array.BinaryView:
		return m.CreateBlob(a.Value(i)), true
	case *array.FixedSizeBinary:
		return m.CreateBlob(a.Value(i)), true
	}
	if v, ok := decimalValue(a, i); ok {
		return v, true
	}
	return timeValue(a, i)
}

func varchar(s string) m.Value { return m.CreateVarcharLength(s, m.IdxT(len(s))) }

func decimalValue(a arrow.Array, i int) (m.Value, bool) {
	t, ok := a.DataType().(arrow.DecimalType)
	if !ok || t.GetPrecision() > 38 {
		return m.Value{}, false
	}
	var h m.HugeInt
	switch a := a.(type) {
	case *array.Decimal32:
		h = hugeInt(int64(a.Value(i)))
	case *array.Decimal64:
		h = hugeInt(int64(a.Value(i)))
	case *array.Decimal128:
		v := decimal.Decimal128(a.Value(i))
		h = m.NewHugeInt(v.LowBits(), v.HighBits())
	default:
		return m.Value{}, false
	}
	return m.CreateDecimal(m.NewDecimal(uint8(t.GetPrecision()), uint8(t.GetScale()), h)), true
}

func hugeInt(v int64) m.HugeInt { return m.NewHugeInt(uint64(v), v>>63) }

// timeValue handles dates, times, timestamps, durations and intervals. Times
// finer than a microsecond keep their nanoseconds only as TIMESTAMP_NS.
func timeValue(a arrow.Array, i int) (m.Value, bool) {
	switch a := a.(type) {
	case *array.Date32:
		return m.CreateDate(m.NewDate(int32(a.Value(i)))), true
	case *array.Date64:
		days := a.Value(i).ToTime().Unix() / int64(24*time.Hour/time.Second)
		return m.CreateDate(m.NewDate(int32(days))), true
	case *array.Time32:
		unit := a.DataType().(*arrow.Time32Type).Unit
		return m.CreateTime(m.NewTime(int64(a.Value(i)) * int64(unit.Multiplier()/time.Microsecond))), true
	case *array.Time64:
		us := int64(a.Value(i))
		if a.DataType().(*arrow.Time64Type).Unit == arrow.Nanosecond {
			us /= 1000
		}
		return m.CreateTime(m.NewTime(us)), true
	case *array.Timestamp:
		return timestampValue(int64(a.Value(i)), a.DataType().(*arrow.TimestampType)), true
	case *array.Duration:
		return interval(0, 0, int64(a.Value(i)), a.DataType().(*arrow.DurationType).Unit), true
	case *array.MonthInterval:
		return m.CreateInterval(m.NewInterval(int32(a.Value(i)), 0, 0)), true
	case *array.DayTimeInterval:
		v := a.Value(i)
		return interval(0, v.Days, int64(v.Milliseconds), arrow.Millisecond), true
	case *array.MonthDayNanoInterval:
		v := a.Value(i)
		return interval(v.Months, v.Days, v.Nanoseconds, arrow.Nanosecond), true
	}
	return m.Value{}, false
}

func interval(months, days int32, v int64, unit arrow.TimeUnit) m.Value {
	return m.CreateInterval(m.NewInterval(months, days, micros(v, unit)))
}

// micros converts, cutting nanoseconds off.
func micros(v int64, unit arrow.TimeUnit) int64 {
	if unit == arrow.Nanosecond {
		return v / 1000
	}
	return v * int64(unit.Multiplier()/time.Microsecond)
}

// timestampValue keeps the unit; a time zone makes it a TIMESTAMPTZ, which
// DuckDB has in microseconds only.
func timestampValue(v int64, t *arrow.TimestampType) m.Value {
	if t.TimeZone != "" {
		return m.CreateTimestampTZ(m.NewTimestamp(micros(v, t.Unit)))
	}
	switch t.Unit {
	case arrow.Second:
		return m.CreateTimestampS(m.NewTimestampS(v))
	case arrow.Millisecond:
		return m.CreateTimestampMS(m.NewTimestampMS(v))
	case arrow.Nanosecond:
		return m.CreateTimestampNS(m.NewTimestampNS(v))
	}
	return m.CreateTimestamp(m.NewTimestamp(v))
}

// batchOfArgs makes a one-row parameter batch of Go values; nil without any.
func batchOfArgs(args []any) (arrow.RecordBatch, error) {
	if len(args) == 0 {
		return nil, nil
	}
	fields := make([]arrow.Field, len(args))
	cols := make([]arrow.Array, len(args))
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, v := range args {
		a, err := arrayOfArg(v)
		if err != nil {
			return nil, errs.Wrap(err, errs.InvalidArgument, "bind", "parameter %d", i+1)
		}
		cols[i] = a
		fields[i] = arrow.Field{Name: "", Type: a.DataType(), Nullable: true}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, 1), nil
}

// arrayOfArg makes an array of one Go value.
func arrayOfArg(v any) (arrow.Array, error) {
	t, err := typeOfArg(v)
	if err != nil {
		return nil, err
	}
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	if err := appendArg(b, v); err != nil {
		return nil, err
	}
	return b.NewArray(), nil
}

func typeOfArg(v any) (arrow.DataType, error) {
	switch v := v.(type) {
	case nil:
		return arrow.Null, nil
	case bool:
		return arrow.FixedWidthTypes.Boolean, nil
	case int, int64:
		return arrow.PrimitiveTypes.Int64, nil
	case int32:
		return arrow.PrimitiveTypes.Int32, nil
	case uint64:
		return arrow.PrimitiveTypes.Uint64, nil
	case uint32:
		return arrow.PrimitiveTypes.Uint32, nil
	case float32:
		return arrow.PrimitiveTypes.Float32, nil
	case float64:
		return arrow.PrimitiveTypes.Float64, nil
	case string:
		return arrow.BinaryTypes.String, nil
	case []byte:
		return arrow.BinaryTypes.Binary, nil
	case time.Time:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, nil
	case []string:
		return arrow.ListOf(arrow.BinaryTypes.String), nil
	case []any:
		for _, e := range v {
			if e != nil {
				t, err := typeOfArg(e)
				return arrow.ListOf(t), err
			}
		}
		return arrow.ListOf(arrow.Null), nil
	}
	return nil, errs.New(errs.InvalidArgument, "bind", "a value of Go type %T cannot be bound", v)
}

func appendArg(b array.Builder, v any) error {
	if v == nil {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int64Builder:
		if n, ok := v.(int); ok {
			v = int64(n)
		}
		if n, ok := v.(int64); ok {
			b.Append(n)
			return nil
		}
		return errs.New(errs.InvalidArgument, "bind", "a list has values of different types")
	case *array.Int32Builder:
		b.Append(v.(int32))
	case *array.Uint64Builder:
		b.Append(v.(uint64))
	case *array.Uint32Builder:
		b.Append(v.(uint32))
	case *array.Float32Builder:
		b.Append(v.(float32))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.StringBuilder:
		s, ok := v.(string)
		if !ok {
			return errs.New(errs.InvalidArgument, "bind", "a list has values of different types")
		}
		b.Append(s)
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(time.Time).UnixMicro()))
	case *array.ListBuilder:
		b.Append(true)
		if list, ok := v.([]string); ok {
			for _, e := range list {
				b.ValueBuilder().(*array.StringBuilder).Append(e)
			}
			return nil
		}
		for _, e := range v.([]any) {
			if err := appendArg(b.ValueBuilder(), e); err != nil {
				return err
			}
		}
	}
	return nil
}
