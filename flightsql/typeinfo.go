package flightsql

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
)

// dataType is a row of the type table: an SQL type and how tools write it. Its XDBC type
// is that of what clients see of its values (docs/types.md).
type dataType struct {
	name     string
	xdbc     pb.XdbcDataType
	size     int32  // digits, characters or bits; 0 for none
	quote    string // before and after a literal, "" for none
	params   []string
	unsigned bool
	radix    int32 // 0 for types that are not numbers
	maxScale int32
	subcode  pb.XdbcDatetimeSubcode // of dates and times
}

const (
	unlimited = math.MaxInt32
	isDate    = pb.XdbcDatetimeSubcode_XDBC_SUBCODE_DATE
	isTime    = pb.XdbcDatetimeSubcode_XDBC_SUBCODE_TIME
	isStamp   = pb.XdbcDatetimeSubcode_XDBC_SUBCODE_TIMESTAMP
	isZoned   = pb.XdbcDatetimeSubcode_XDBC_SUBCODE_TIMESTAMP_WITH_TIMEZONE
)

// dataTypes is in the order that the protocol asks for: by XDBC type, then by name.
var dataTypes = []dataType{
	{name: "BOOLEAN", xdbc: pb.XdbcDataType_XDBC_BIT, size: 1},
	{name: "TINYINT", xdbc: pb.XdbcDataType_XDBC_TINYINT, size: 3, radix: 10},
	{name: "UTINYINT", xdbc: pb.XdbcDataType_XDBC_TINYINT, size: 3, radix: 10, unsigned: true},
	{name: "BIGINT", xdbc: pb.XdbcDataType_XDBC_BIGINT, size: 19, radix: 10},
	{name: "UBIGINT", xdbc: pb.XdbcDataType_XDBC_BIGINT, size: 20, radix: 10, unsigned: true},
	{name: "BLOB", xdbc: pb.XdbcDataType_XDBC_VARBINARY, size: unlimited, quote: "'"},
	{name: "ARRAY", xdbc: pb.XdbcDataType_XDBC_UNKNOWN_TYPE, params: []string{"element type", "size"}},
	{name: "LIST", xdbc: pb.XdbcDataType_XDBC_UNKNOWN_TYPE, params: []string{"element type"}},
	{name: "MAP", xdbc: pb.XdbcDataType_XDBC_UNKNOWN_TYPE, params: []string{"key type", "value type"}},
	{name: "STRUCT", xdbc: pb.XdbcDataType_XDBC_UNKNOWN_TYPE, params: []string{"fields"}},
	{name: "UNION", xdbc: pb.XdbcDataType_XDBC_UNKNOWN_TYPE, params: []string{"members"}},
	{name: "DECIMAL", xdbc: pb.XdbcDataType_XDBC_DECIMAL, size: 38, radix: 10, params: []string{"precision", "scale"}, maxScale: 38},
	{name: "HUGEINT", xdbc: pb.XdbcDataType_XDBC_DECIMAL, size: 39, radix: 10},
	{name: "INTEGER", xdbc: pb.XdbcDataType_XDBC_INTEGER, size: 10, radix: 10},
	{name: "UINTEGER", xdbc: pb.XdbcDataType_XDBC_INTEGER, size: 10, radix: 10, unsigned: true},
	{name: "SMALLINT", xdbc: pb.XdbcDataType_XDBC_SMALLINT, size: 5, radix: 10},
	{name: "USMALLINT", xdbc: pb.XdbcDataType_XDBC_SMALLINT, size: 5, radix: 10, unsigned: true},
	{name: "FLOAT", xdbc: pb.XdbcDataType_XDBC_REAL, size: 24, radix: 2},
	{name: "DOUBLE", xdbc: pb.XdbcDataType_XDBC_DOUBLE, size: 53, radix: 2},
	{name: "INTERVAL", xdbc: pb.XdbcDataType_XDBC_INTERVAL, quote: "'"},
	{name: "BIGNUM", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: unlimited, quote: "'", radix: 10},
	{name: "BIT", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: unlimited, quote: "'"},
	{name: "ENUM", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: unlimited, quote: "'", params: []string{"values"}},
	{name: "GEOMETRY", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: unlimited, quote: "'"},
	{name: "JSON", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: unlimited, quote: "'"},
	{name: "TIME WITH TIME ZONE", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: 24, quote: "'"},
	{name: "UHUGEINT", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: 39, quote: "'", radix: 10, unsigned: true},
	{name: "UUID", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: 36, quote: "'"},
	{name: "VARCHAR", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: unlimited, quote: "'"},
	{name: "VARIANT", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: unlimited, quote: "'"},
	{name: "DATE", xdbc: pb.XdbcDataType_XDBC_DATE, size: 10, quote: "'", subcode: isDate},
	{name: "TIME", xdbc: pb.XdbcDataType_XDBC_TIME, size: 15, quote: "'", maxScale: 6, subcode: isTime},
	{name: "TIME_NS", xdbc: pb.XdbcDataType_XDBC_TIME, size: 18, quote: "'", maxScale: 9, subcode: isTime},
	{name: "TIMESTAMP", xdbc: pb.XdbcDataType_XDBC_TIMESTAMP, size: 26, quote: "'", maxScale: 6, subcode: isStamp},
	{name: "TIMESTAMP WITH TIME ZONE", xdbc: pb.XdbcDataType_XDBC_TIMESTAMP, size: 32, quote: "'", maxScale: 6, subcode: isZoned},
	{name: "TIMESTAMP_MS", xdbc: pb.XdbcDataType_XDBC_TIMESTAMP, size: 23, quote: "'", maxScale: 3, subcode: isStamp},
	{name: "TIMESTAMP_NS", xdbc: pb.XdbcDataType_XDBC_TIMESTAMP, size: 29, quote: "'", maxScale: 9, subcode: isStamp},
	{name: "TIMESTAMP_S", xdbc: pb.XdbcDataType_XDBC_TIMESTAMP, size: 19, quote: "'", subcode: isStamp},
}

// typeInfo lists the types, or those of one XDBC type.
func (s *service) typeInfo(only *int32) arrow.RecordBatch {
	b := array.NewRecordBuilder(s.mem, schema_ref.XdbcTypeInfo)
	defer b.Release()
	for _, t := range dataTypes {
		if only == nil || *only == int32(t.xdbc) {
			t.appendTo(b)
		}
	}
	return b.NewRecordBatch()
}

func (t dataType) appendTo(b *array.RecordBuilder) {
	number, isDatetime := t.radix != 0, t.subcode != 0
	text := t.xdbc == pb.XdbcDataType_XDBC_VARCHAR && !number && t.name != "UUID" && t.name != "BIT" && t.name != "TIME WITH TIME ZONE"
	str := func(i int, v string, ok bool) {
		if f := b.Field(i).(*array.StringBuilder); ok {
			f.Append(v)
		} else {
			f.AppendNull()
		}
	}
	num := func(i int, v int32, ok bool) {
		if f := b.Field(i).(*array.Int32Builder); ok {
			f.Append(v)
		} else {
			f.AppendNull()
		}
	}
	flag := func(i int, v, ok bool) {
		if f := b.Field(i).(*array.BooleanBuilder); ok {
			f.Append(v)
		} else {
			f.AppendNull()
		}
	}
	str(0, t.name, true)
	num(1, int32(t.xdbc), true)
	num(2, t.size, t.size > 0)
	str(3, t.quote, t.quote != "")
	str(4, t.quote, t.quote != "")
	params := b.Field(5).(*array.ListBuilder)
	if len(t.params) == 0 {
		params.AppendNull()
	} else {
		params.Append(true)
		params.ValueBuilder().(*array.StringBuilder).AppendValues(t.params, nil)
	}
	num(6, int32(pb.Nullable_NULLABILITY_NULLABLE), true)
	flag(7, text, true)
	num(8, int32(pb.Searchable_SEARCHABLE_FULL), true)
	flag(9, t.unsigned, number)
	flag(10, false, true) // that is a type for money
	flag(11, false, number)
	str(12, t.name, true)
	num(13, 0, number || isDatetime)
	num(14, t.maxScale, number || isDatetime)
	if isDatetime {
		num(15, int32(pb.XdbcDataType_XDBC_DATETIME), true)
	} else {
		num(15, int32(t.xdbc), true)
	}
	num(16, int32(t.subcode), isDatetime)
	num(17, t.radix, number)
	num(18, 0, false)
}
