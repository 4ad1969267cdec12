package flightsql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"hyprstream/flightsql"
)

// What no table can hold, or what comes back as another type.
func TestTypesBeyondTables(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	for _, c := range []struct{ sql, typ, want string }{
		{"SELECT 42::VARIANT, {'a': [1, NULL]}::VARIANT, NULL::VARIANT", "utf8", "42|{'a': [1, NULL]}|(null)"},
		{"SELECT row(1, 'x')", "struct<: int32 nullable, : utf8 nullable>", ""},
		{"SELECT []", "list<l: int32, nullable>", "[]"},
		{"SELECT NULL", "int32", "(null)"},
		{"SELECT sum(i) FROM range(10) t(i)", "decimal(38, 0)", "45"},
	} {
		rec := batch(t, cl, c.sql)
		equal(t, rec.Column(0).DataType().String(), c.typ)
		if c.want != "" {
			equal(t, query(t, cl, c.sql), c.want)
		}
		stmt, err := cl.Prepare(t.Context(), "SELECT ?")
		if err != nil {
			t.Fatal(err)
		}
		params := rec.NewSlice(0, 1)
		first := array.NewRecordBatch(arrow.NewSchema(rec.Schema().Fields()[:1], nil), params.Columns()[:1], 1)
		stmt.SetParameters(first)
		info, err := stmt.Execute(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", c.sql, err)
		}
		equal(t, column(read(t, cl, info)...), column(rec))
		first.Release()
		params.Release()
		stmt.Close(t.Context())
	}
	// HUGEINT has a digit more than its decimal(38, 0) promises.
	for _, want := range []string{"-170141183460469231731687303715884105728", "170141183460469231731687303715884105727"} {
		rec := batch(t, cl, "SELECT '"+want+"'::HUGEINT")
		equal(t, rec.Column(0).(*array.Decimal128).Value(0).BigInt().String(), want)
		stmt, err := cl.Prepare(t.Context(), "SELECT typeof(p), p::VARCHAR FROM (SELECT ? AS p)")
		if err != nil {
			t.Fatal(err)
		}
		stmt.SetParameters(rec)
		info, err := stmt.Execute(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fetch(t, cl, info), "HUGEINT|"+want)
		stmt.Close(t.Context())
		update(t, cl, "CREATE OR REPLACE TABLE huge (v HUGEINT)")
		if err := load(t, cl, "huge", batch(t, cl, "SELECT '"+want+"'::HUGEINT AS v")); err != nil {
			t.Fatal(err)
		}
		equal(t, query(t, cl, "SELECT v::VARCHAR FROM huge"), want)
	}
	// An error rather than what is not so.
	info, err := cl.Execute(t.Context(), "SELECT {'x': [to_hours(3000000)]}")
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, readAll(t, cl, info), codes.InvalidArgument, "INVALID_ARGUMENT")
	update(t, cl, "CREATE TABLE docs (j JSON)")
	rec := record(t, `[{"j": "{\"a\": 1}"}, {"j": "{broken"}]`, arrow.Field{Name: "j", Type: arrow.BinaryTypes.String, Nullable: true})
	wantCode(t, load(t, cl, "docs", rec), codes.InvalidArgument, "INVALID_ARGUMENT")
	equal(t, query(t, cl, "SELECT count(*) FROM docs"), "0")
}

// Values of every Arrow type that DuckDB has something for can be bound, those that it
// has not, or that are beyond its range, are refused.
func TestBindForeignTypes(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	for _, c := range []struct {
		typ         arrow.DataType
		json        string
		back, value string // back "": refused
	}{
		{arrow.FixedWidthTypes.Float16, "1.5", "FLOAT", "1.5"},
		{arrow.BinaryTypes.LargeString, `"x"`, "VARCHAR", "x"},
		{arrow.BinaryTypes.LargeBinary, `"AAE="`, "BLOB", `\x00\x01`},
		{&arrow.FixedSizeBinaryType{ByteWidth: 2}, `"AAE="`, "BLOB", `\x00\x01`},
		{arrow.FixedWidthTypes.Date64, `"1969-12-31"`, "DATE", "1969-12-31"},
		{arrow.FixedWidthTypes.Time32s, `"01:02:03"`, "TIME", "01:02:03"},
		{arrow.FixedWidthTypes.Time64ns, `"01:02:03.000000004"`, "TIME_NS", "01:02:03.000000004"},
		{arrow.FixedWidthTypes.Duration_s, `"90s"`, "INTERVAL", "00:01:30"},
		{arrow.FixedWidthTypes.Duration_s, `"9223372036854775807s"`, "", ""},
		{arrow.FixedWidthTypes.MonthInterval, `{"months": 14}`, "INTERVAL", "1 year 2 months"},
		{arrow.FixedWidthTypes.DayTimeInterval, `{"days": 1, "milliseconds": 2}`, "INTERVAL", "1 day 00:00:00.002"},
		{&arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"}, "1700000000", "TIMESTAMP WITH TIME ZONE", "2023-11-14 22:13:20+00"},
		{&arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"}, "9223372036854775807", "", ""},
		{&arrow.Decimal32Type{Precision: 5, Scale: 2}, `"1.25"`, "DECIMAL(5,2)", "1.25"},
		{&arrow.Decimal64Type{Precision: 18, Scale: 0}, `"-7"`, "DECIMAL(18,0)", "-7"},
		{&arrow.Decimal256Type{Precision: 60, Scale: 0}, `"7"`, "DECIMAL(38,0)", "7"},
		{&arrow.Decimal256Type{Precision: 39, Scale: 0}, `"170141183460469231731687303715884105727"`, "HUGEINT", "170141183460469231731687303715884105727"},
		{&arrow.Decimal256Type{Precision: 39, Scale: 0}, `"-170141183460469231731687303715884105728"`, "HUGEINT", "-170141183460469231731687303715884105728"},
		{&arrow.Decimal256Type{Precision: 40, Scale: 2}, `"-1.25"`, "DECIMAL(38,2)", "-1.25"},
		{&arrow.Decimal256Type{Precision: 60, Scale: 0}, `"170141183460469231731687303715884105728"`, "", ""},
		{arrow.LargeListOf(arrow.PrimitiveTypes.Int8), "[1, null]", "TINYINT[]", "[1, NULL]"},
		{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), "[1, 2]", "FLOAT[2]", "[1.0, 2.0]"},
		{arrow.DenseUnionOf([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int32, Nullable: true}, {Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}}, []arrow.UnionTypeCode{0, 1}),
			`[1, "x"]`, "UNION(n INTEGER, s VARCHAR)", "x"},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `"x"`, "VARCHAR", "x"},
	} {
		stmt, err := cl.Prepare(t.Context(), "SELECT typeof(p), p::VARCHAR FROM (SELECT ? AS p)")
		if err != nil {
			t.Fatal(err)
		}
		stmt.SetParameters(record(t, `[{"p": `+c.json+`}]`, arrow.Field{Name: "p", Type: c.typ, Nullable: true}))
		info, err := stmt.Execute(t.Context())
		switch {
		case c.back == "":
			if err == nil {
				t.Errorf("%s %s: no error", c.typ, c.json)
			}
		case err != nil:
			t.Errorf("%s %s: %v", c.typ, c.json, err)
		default:
			if have := fetch(t, cl, info); have != c.back+"|"+c.value {
				t.Errorf("%s %s: have %s, want %s|%s", c.typ, c.json, have, c.back, c.value)
			}
		}
		stmt.Close(t.Context())
	}
}

// readAll reads a result to its end.
func readAll(t *testing.T, cl *client.Client, info *flight.FlightInfo) error {
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		return err
	}
	defer rd.Release()
	_, err = render(rd)
	return err
}

// What DuckDB cannot take is refused: text that is not UTF-8 would be stored and end the
// process later, and the like.
func TestBadValuesAreRefused(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	text := array.NewStringBuilder(memory.DefaultAllocator)
	defer text.Release()
	text.AppendValues([]string{"ok", "a\xffb", "\xc3"}, nil)
	bad := text.NewArray()
	list := array.NewListBuilder(memory.DefaultAllocator, arrow.BinaryTypes.String)
	defer list.Release()
	list.Append(true)
	list.ValueBuilder().(*array.StringBuilder).Append("a\xffb")
	none := array.NewStructBuilder(memory.DefaultAllocator, arrow.StructOf())
	defer none.Release()
	none.Append(true)
	none.AppendNull()
	money := array.NewDecimal128Builder(memory.DefaultAllocator, &arrow.Decimal128Type{Precision: 5, Scale: -2})
	defer money.Release()
	money.Append(decimal128.FromI64(12))
	money.AppendNull()
	for _, a := range []arrow.Array{bad, array.NewSlice(bad, 1, 2), list.NewArray(), none.NewArray(), money.NewArray()} {
		rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: a.DataType(), Nullable: true}}, nil), []arrow.Array{a}, int64(a.Len()))
		if err := load(t, cl, "bad", rec); err == nil {
			t.Errorf("%v was loaded", a)
		}
		stmt, err := cl.Prepare(t.Context(), "SELECT ? AS v")
		if err != nil {
			t.Fatal(err)
		}
		stmt.SetParameters(rec)
		info, err := stmt.Execute(t.Context())
		if err == nil {
			err = readAll(t, cl, info)
		}
		if err == nil {
			t.Errorf("%v was bound", a)
		}
		stmt.Close(t.Context())
		rec.Release()
		a.Release()
	}
	equal(t, query(t, cl, "SELECT 1"), "1")
}

// Java's driver reads unsigned integers as signed ones, so it gets none; and it is asked
// for times in milliseconds, which it sends whatever it is asked for.
func TestJava(t *testing.T) {
	const expr = "SELECT 255::UTINYINT, 65535::USMALLINT, 4294967295::UINTEGER, 18446744073709551615::UBIGINT, [{'a': 255::UTINYINT}]"
	asked := map[string]string{
		"grpc-java-netty/1.80.0": "timestamp[ms] timestamp[ms, tz=Etc/UTC] time32[ms] int16",
		"other":                  "timestamp[us] timestamp[us, tz=Etc/UTC] time64[us] uint8",
	}
	addr := serve(t, flightsql.Options{})
	for agent, want := range map[string]string{
		"grpc-java-netty/1.80.0": "int16 int32 int64 decimal(20, 0) list<l: struct<a: int16 nullable>, nullable>",
		"other":                  "uint8 uint16 uint32 uint64 list<l: struct<a: uint8 nullable>, nullable>",
	} {
		cl, err := client.NewClient(addr, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent(agent))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		var types []string
		for _, f := range batch(t, cl, expr).Schema().Fields() {
			types = append(types, f.Type.String())
		}
		equal(t, strings.Join(types, " "), want)
		if agent != "other" { // Arrow renders so large a decimal as a float
			expr := strings.Replace(expr, "18446744073709551615", "184467440737095", 1)
			equal(t, query(t, cl, expr), `255|65535|4294967295|184467440737095|[{"a":255}]`)
		}
		stmt, err := cl.Prepare(t.Context(), "SELECT ?::TIMESTAMP, ?::TIMESTAMPTZ, ?::TIME, ?::UTINYINT")
		if err != nil {
			t.Fatal(err)
		}
		var params []string
		for _, f := range stmt.ParameterSchema().Fields() {
			params = append(params, f.Type.String())
		}
		equal(t, strings.Join(params, " "), asked[agent])
		stmt.Close(t.Context())
	}
}

// Chunks that are cut into several batches keep their values, however nested.
func TestLargeNestedValues(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	const text = "repeat('x', 3000) || i"
	for _, expr := range []string{
		"union_value(s := " + text + ")", "{'u': union_value(s := " + text + ")}",
		"[" + text + ", NULL]", "MAP {i: [" + text + "]}", "[" + text + ", 'a']::VARCHAR[2]", "[{'m': MAP {'k': " + text + "}}]",
		"{'t': TIMETZ '12:00:00+02', 's': " + text + "}",
	} {
		info, err := cl.Execute(t.Context(), "SELECT "+expr+" FROM range(4096) t(i)")
		if err != nil {
			t.Fatal(err)
		}
		all := read(t, cl, info)
		if len(all) < 4 {
			t.Errorf("%s: %d batches", expr, len(all))
		}
		for i, line := range strings.Split(column(all...), "\n") {
			if want := fmt.Sprintf("%s%d", strings.Repeat("x", 3000), i); !strings.Contains(line, want+`"`) && line != want {
				t.Fatalf("%s: row %d is %s", expr, i, line)
			}
		}
	}
}
