package flightsql

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
)

// dataType is a row of the type table: an SQL type and how tools write it.
type dataType struct {
	name       string
	xdbc       pb.XdbcDataType
	size       int32 // digits, characters or bits; 0 for none
	quoted     bool  // literals stand in single quotes
	params     []string
	unsigned   bool
	radix      int32 // 0 for types that are not numbers
	minScale   int32
	maxScale   int32
	subcode    pb.XdbcDatetimeSubcode
	isDatetime bool
}

var dataTypes = []dataType{
	{name: "BOOLEAN", xdbc: pb.XdbcDataType_XDBC_BIT, size: 1},
	{name: "TINYINT", xdbc: pb.XdbcDataType_XDBC_TINYINT, size: 3, radix: 10},
	{name: "UTINYINT", xdbc: pb.XdbcDataType_XDBC_TINYINT, size: 3, radix: 10, unsigned: true},
	{name: "SMALLINT", xdbc: pb.XdbcDataType_XDBC_SMALLINT, size: 5, radix: 10},
	{name: "USMALLINT", xdbc: pb.XdbcDataType_XDBC_SMALLINT, size: 5, radix: 10, unsigned: true},
	{name: "INTEGER", xdbc: pb.XdbcDataType_XDBC_INTEGER, size: 10, radix: 10},
	{name: "UINTEGER", xdbc: pb.XdbcDataType_XDBC_INTEGER, size: 10, radix: 10, unsigned: true},
	{name: "BIGINT", xdbc: pb.XdbcDataType_XDBC_BIGINT, size: 19, radix: 10},
	{name: "UBIGINT", xdbc: pb.XdbcDataType_XDBC_BIGINT, size: 20, radix: 10, unsigned: true},
	{name: "FLOAT", xdbc: pb.XdbcDataType_XDBC_REAL, size: 24, radix: 2},
	{name: "DOUBLE", xdbc: pb.XdbcDataType_XDBC_DOUBLE, size: 53, radix: 2},
	{name: "DECIMAL", xdbc: pb.XdbcDataType_XDBC_DECIMAL, size: 38, radix: 10, params: []string{"precision", "scale"}, maxScale: 38},
	{name: "VARCHAR", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: 1<<31 - 1, quoted: true},
	{name: "UUID", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: 36, quoted: true},
	{name: "JSON", xdbc: pb.XdbcDataType_XDBC_VARCHAR, size: 1<<31 - 1, quoted: true},
	{name: "BLOB", xdbc: pb.XdbcDataType_XDBC_VARBINARY, size: 1<<31 - 1, quoted: true},
	{name: "DATE", xdbc: pb.XdbcDataType_XDBC_DATE, size: 10, quoted: true, isDatetime: true, subcode: pb.XdbcDatetimeSubcode_XDBC_SUBCODE_DATE},
	{name: "TIME", xdbc: pb.XdbcDataType_XDBC_TIME, size: 15, quoted: true, maxScale: 6, isDatetime: true, subcode: pb.XdbcDatetimeSubcode_XDBC_SUBCODE_TIME},
	{name: "TIMESTAMP", xdbc: pb.XdbcDataType_XDBC_TIMESTAMP, size: 26, quoted: true, maxScale: 6, isDatetime: true, subcode: pb.XdbcDatetimeSubcode_XDBC_SUBCODE_TIMESTAMP},
	{name: "TIMESTAMP WITH TIME ZONE", xdbc: pb.XdbcDataType_XDBC_TIMESTAMP, size: 32, quoted: true, maxScale: 6, isDatetime: true, subcode: pb.XdbcDatetimeSubcode_XDBC_SUBCODE_TIMESTAMP_WITH_TIMEZONE},
	{name: "INTERVAL", xdbc: pb.XdbcDataType_XDBC_INTERVAL, quoted: true},
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
	number := t.radix != 0
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
	str(3, "'", t.quoted)
	str(4, "'", t.quoted)
	params := b.Field(5).(*array.ListBuilder)
	if len(t.params) == 0 {
		params.AppendNull()
	} else {
		params.Append(true)
		params.ValueBuilder().(*array.StringBuilder).AppendValues(t.params, nil)
	}
	num(6, int32(pb.Nullable_NULLABILITY_NULLABLE), true)
	flag(7, t.xdbc == pb.XdbcDataType_XDBC_VARCHAR, true)
	num(8, int32(pb.Searchable_SEARCHABLE_FULL), true)
	flag(9, t.unsigned, number)
	flag(10, t.name == "DECIMAL", true)
	flag(11, false, number)
	str(12, t.name, true)
	num(13, t.minScale, number || t.maxScale > 0)
	num(14, t.maxScale, number || t.maxScale > 0)
	if t.isDatetime {
		num(15, int32(pb.XdbcDataType_XDBC_DATETIME), true)
	} else {
		num(15, int32(t.xdbc), true)
	}
	num(16, int32(t.subcode), t.isDatetime)
	num(17, t.radix, number)
	num(18, 0, false)
}
