package database

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
	"hyprstream/sqlfuncs/operator"
)

// logicalType is DuckDB's type for values of an Arrow type; the caller destroys it.
func logicalType(t arrow.DataType) (m.LogicalType, error) {
	lt, err := anyType(t)
	if err == nil && lt.Ptr == nil { // such as a STRUCT without fields
		return lt, errs.New(errs.Unsupported, "bind", "Arrow type %s has no DuckDB type", t)
	}
	return lt, err
}

// anyType is logicalType, but for what DuckDB cannot make: that has a nil Ptr.
func anyType(t arrow.DataType) (m.LogicalType, error) {
	if id, ok := scalarTypes[t.ID()]; ok {
		return m.CreateLogicalType(id), nil
	}
	switch t := t.(type) {
	case arrow.ExtensionType:
		return logicalType(t.StorageType())
	case *arrow.DictionaryType:
		return logicalType(t.ValueType)
	case arrow.DecimalType:
		if t.GetPrecision() <= 38 && t.GetScale() >= 0 && t.GetScale() <= t.GetPrecision() {
			return m.CreateDecimalType(uint8(t.GetPrecision()), uint8(t.GetScale())), nil
		}
	case *arrow.TimestampType:
		return m.CreateLogicalType(timestampType(t)), nil
	case *arrow.Time64Type:
		return m.CreateLogicalType(timeType(t)), nil
	case *arrow.MapType:
		return pairType(t.KeyType(), t.ItemType())
	case arrow.ListLikeType:
		child, err := logicalType(t.Elem())
		if err != nil {
			return child, err
		}
		defer m.DestroyLogicalType(&child)
		if n := arraySize(t); n > 0 {
			return m.CreateArrayType(child, m.IdxT(n)), nil
		}
		return m.CreateListType(child), nil
	case *arrow.StructType:
		return partsType(t.Fields(), m.CreateStructType)
	case arrow.UnionType:
		return partsType(t.Fields(), m.CreateUnionType)
	}
	return m.LogicalType{}, errs.New(errs.Unsupported, "bind", "Arrow type %s has no DuckDB type", t)
}

// scalarTypes are the types without parameters.
var scalarTypes = map[arrow.Type]m.Type{
	arrow.NULL: m.TypeSQLNull, arrow.BOOL: m.TypeBoolean,
	arrow.INT8: m.TypeTinyInt, arrow.INT16: m.TypeSmallInt, arrow.INT32: m.TypeInteger, arrow.INT64: m.TypeBigInt,
	arrow.UINT8: m.TypeUTinyInt, arrow.UINT16: m.TypeUSmallInt, arrow.UINT32: m.TypeUInteger, arrow.UINT64: m.TypeUBigInt,
	arrow.FLOAT16: m.TypeFloat, arrow.FLOAT32: m.TypeFloat, arrow.FLOAT64: m.TypeDouble,
	arrow.STRING: m.TypeVarchar, arrow.LARGE_STRING: m.TypeVarchar, arrow.STRING_VIEW: m.TypeVarchar,
	arrow.BINARY: m.TypeBlob, arrow.LARGE_BINARY: m.TypeBlob, arrow.BINARY_VIEW: m.TypeBlob, arrow.FIXED_SIZE_BINARY: m.TypeBlob,
	arrow.DATE32: m.TypeDate, arrow.DATE64: m.TypeDate, arrow.TIME32: m.TypeTime,
	arrow.DURATION: m.TypeInterval, arrow.INTERVAL_MONTHS: m.TypeInterval,
	arrow.INTERVAL_DAY_TIME: m.TypeInterval, arrow.INTERVAL_MONTH_DAY_NANO: m.TypeInterval,
}

func timestampType(t *arrow.TimestampType) m.Type {
	if t.TimeZone != "" {
		return m.TypeTimestampTZ
	}
	switch t.Unit {
	case arrow.Second:
		return m.TypeTimestampS
	case arrow.Millisecond:
		return m.TypeTimestampMS
	case arrow.Nanosecond:
		return m.TypeTimestampNS
	}
	return m.TypeTimestamp
}

func pairType(key, item arrow.DataType) (m.LogicalType, error) {
	k, err := logicalType(key)
	if err != nil {
		return k, err
	}
	defer m.DestroyLogicalType(&k)
	v, err := logicalType(item)
	if err != nil {
		return v, err
	}
	defer m.DestroyLogicalType(&v)
	return m.CreateMapType(k, v), nil
}

// timeType keeps nanoseconds.
func timeType(t *arrow.Time64Type) m.Type {
	if t.Unit == arrow.Nanosecond {
		return m.TypeTimeNS
	}
	return m.TypeTime
}

// arraySize is how many values each list of t has where DuckDB has an ARRAY of that
// size, else 0.
func arraySize(t arrow.DataType) int32 {
	const most = 100000 // DuckDB's
	if t, ok := t.(*arrow.FixedSizeListType); ok && t.Len() < most {
		return t.Len()
	}
	return 0
}

// partsType makes a STRUCT or UNION of fields.
func partsType(fields []arrow.Field, create func([]m.LogicalType, []string) m.LogicalType) (m.LogicalType, error) {
	var cols columns
	defer cols.destroy()
	for _, f := range fields {
		ft, err := logicalType(f.Type)
		if err != nil {
			return ft, err
		}
		cols.add(f.Name, ft)
	}
	return create(cols.types, cols.names), nil
}

// valuesOf are the values of a[from:to]; destroyValues frees them.
func valuesOf(a arrow.Array, from, to int64) ([]m.Value, error) {
	values := make([]m.Value, 0, to-from)
	for j := from; j < to; j++ {
		v, err := valueOf(a, int(j))
		if err != nil {
			destroyValues(values)
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

func destroyValues(values []m.Value) {
	for i := range values {
		m.DestroyValue(&values[i])
	}
}

func listValue(a array.ListLike, i int) (m.Value, error) {
	child, err := logicalType(a.ListValues().DataType())
	if err != nil {
		return m.Value{}, err
	}
	defer m.DestroyLogicalType(&child)
	from, to := a.ValueOffsets(i)
	values, err := valuesOf(a.ListValues(), from, to)
	if err != nil {
		return m.Value{}, err
	}
	defer destroyValues(values)
	if arraySize(a.DataType()) > 0 {
		return m.CreateArrayValue(child, values), nil
	}
	return m.CreateListValue(child, values), nil
}

// unionValue is the value of the member that row i has. A member's NULL is the
// union's, which has none in Arrow; loading makes the same of it.
func unionValue(a array.Union, i int) (m.Value, error) {
	t, err := logicalType(a.DataType())
	if err != nil {
		return m.Value{}, err
	}
	defer m.DestroyLogicalType(&t)
	tag, at := a.ChildID(i), i
	if dense, ok := a.(*array.DenseUnion); ok {
		at = int(dense.ValueOffset(i))
	}
	if a.Field(tag).IsNull(at) {
		return operator.NullOf(t), nil
	}
	v, err := valueOf(a.Field(tag), at)
	if err != nil {
		return m.Value{}, err
	}
	defer m.DestroyValue(&v)
	u, ok := operator.UnionOf(t, tag, v)
	if !ok {
		return m.Value{}, errs.New(errs.Unsupported, "bind", "a value of Arrow type %s cannot be bound", a.DataType())
	}
	return u, nil
}

func mapValue(a *array.Map, i int) (m.Value, error) {
	t, err := logicalType(a.DataType())
	if err != nil {
		return m.Value{}, err
	}
	defer m.DestroyLogicalType(&t)
	from, to := a.ValueOffsets(i)
	keys, err := valuesOf(a.Keys(), from, to)
	if err != nil {
		return m.Value{}, err
	}
	defer destroyValues(keys)
	items, err := valuesOf(a.Items(), from, to)
	if err != nil {
		return m.Value{}, err
	}
	defer destroyValues(items)
	return m.CreateMapValue(t, keys, items), nil
}

func structValue(a *array.Struct, i int) (m.Value, error) {
	t, err := logicalType(a.DataType())
	if err != nil {
		return m.Value{}, err
	}
	defer m.DestroyLogicalType(&t)
	values := make([]m.Value, 0, a.NumField())
	defer func() { destroyValues(values) }()
	for f := range a.NumField() {
		v, err := valueOf(a.Field(f), i)
		if err != nil {
			return m.Value{}, err
		}
		values = append(values, v)
	}
	return m.CreateStructValue(t, values), nil
}
