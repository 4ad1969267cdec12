package flightsql_test

// kind is a DuckDB type as clients see it.
type kind struct {
	name   string
	arrow  string
	back   string // as what its values come back
	values []value
	null   string // how Arrow renders its NULL
}

// value is a literal and how Arrow renders it.
type value struct{ literal, arrow string }

func plain(name, arrow string, values ...value) kind {
	return kind{name, arrow, name, values, "(null)"}
}

// asText are types that leave as text.
func asText(name string, values ...string) kind {
	k := kind{name, "utf8", "VARCHAR", nil, "(null)"}
	for _, v := range values {
		k.values = append(k.values, value{"'" + v + "'::" + name, v})
	}
	return k
}

var kinds = []kind{
	plain("BOOLEAN", "bool", value{"true", "true"}, value{"false", "false"}),
	plain("TINYINT", "int8", value{"-128", "-128"}, value{"127", "127"}),
	plain("SMALLINT", "int16", value{"-32768", "-32768"}, value{"32767", "32767"}),
	plain("INTEGER", "int32", value{"-2147483648", "-2147483648"}, value{"2147483647", "2147483647"}),
	plain("BIGINT", "int64", value{"-9223372036854775808", "-9223372036854775808"}, value{"9223372036854775807", "9223372036854775807"}),
	plain("UTINYINT", "uint8", value{"0", "0"}, value{"255", "255"}),
	plain("USMALLINT", "uint16", value{"0", "0"}, value{"65535", "65535"}),
	plain("UINTEGER", "uint32", value{"0", "0"}, value{"4294967295", "4294967295"}),
	plain("UBIGINT", "uint64", value{"0", "0"}, value{"18446744073709551615", "18446744073709551615"}),
	{"HUGEINT", "decimal(38, 0)", "DECIMAL(38,0)", []value{
		{"-99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"}, {"0", "0"},
		{"99999999999999999999999999999999999999", "99999999999999999999999999999999999999"}}, "(null)"},
	asText("UHUGEINT", "0", "170141183460469231731687303715884105728", "340282366920938463463374607431768211455"),
	asText("BIGNUM", "0", "-12345678901234567890123456789012345678901234567890", "12345678901234567890123456789012345678901234567890"),
	plain("DECIMAL(4,1)", "decimal(4, 1)", value{"-999.9", "-999.9"}, value{"999.9", "999.9"}),
	plain("DECIMAL(9,9)", "decimal(9, 9)", value{"-0.999999999", "-0.999999999"}, value{"0.000000001", "1e-09"}),
	plain("DECIMAL(18,6)", "decimal(18, 6)", value{"-999999999999.999999", "-999999999999.999999"}, value{"0", "0"}),
	plain("DECIMAL(38,10)", "decimal(38, 10)", value{"-9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999"}, value{"9999999999999999999999999999.9999999999", "9999999999999999999999999999.9999999999"}),
	plain("DECIMAL(38,38)", "decimal(38, 38)", value{"'-0.99999999999999999999999999999999999999'", "-0.99999999999999999999999999999999999999"}),
	plain("FLOAT", "float32", value{"'-0.0'", "-0"}, value{"'nan'", "NaN"}, value{"'inf'", "+Inf"}, value{"'-inf'", "-Inf"}, value{"3.4028235e38", "3.4028235e+38"}, value{"1e-45", "1e-45"}),
	plain("DOUBLE", "float64", value{"'-0.0'", "-0"}, value{"'nan'", "NaN"}, value{"'inf'", "+Inf"}, value{"'-inf'", "-Inf"}, value{"1.7976931348623157e308", "1.7976931348623157e+308"}, value{"5e-324", "5e-324"}),
	plain("VARCHAR", "utf8", value{"''", ""}, value{"'a' || chr(0) || 'b'", "a\x00b"}, value{"'naïve 🚀 𝔘'", "naïve 🚀 𝔘"}, value{"repeat('x', 20)", "xxxxxxxxxxxxxxxxxxxx"}),
	plain("BLOB", "binary", value{"''::BLOB", ""}, value{`'\x00\xFF\x00'::BLOB`, "AP8A"}, value{`repeat('\x00', 3)::BLOB`, "AAAA"}),
	asText("BIT", "1", "0", "101010101", "0000000000000000000000000000000000000000000000000000000000000000001"),
	asText("UUID", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "0189f7ad-2f9b-7c1e-8d3a-000000000001"),
	asText("JSON", `{"a": [1, null, "x"]}`, `null`, `"text"`, "[]"),
	asText("ENUM('sad', 'ok', 'ha ppy')", "ha ppy", "sad"),
	plain("DATE", "date32", value{"'2024-02-29'", "2024-02-29"}, value{"'0044-03-15 (BC)'", "-0043-03-15"}, value{"'5881580-07-10'", "5881580-07-10"}, value{"'5877642-06-25 (BC)'", "-5877641-06-25"}, value{"'infinity'", "5881580-07-11"}, value{"'-infinity'", "-5877641-06-24"}),
	plain("TIME", "time64[us]", value{"'00:00:00'", "00:00:00.000000"}, value{"'23:59:59.999999'", "23:59:59.999999"}, value{"'24:00:00'", "00:00:00.000000"}),
	plain("TIME_NS", "time64[ns]", value{"'23:59:59.999999999'", "23:59:59.999999999"}),
	asText("TIME WITH TIME ZONE", "12:30:00+02", "00:00:00-15:59:59", "23:59:59.999999+15:59:59"),
	plain("TIMESTAMP", "timestamp[us]", value{"'2024-02-29 12:30:01.000005'", "2024-02-29T12:30:01.000005"}, value{"'0044-03-15 (BC) 00:00:00'", "-63517824000000000"}, value{"'294247-01-10 04:00:54.775806'", "9223372036854775806"}, value{"'infinity'", "9223372036854775807"}, value{"'-infinity'", "-9223372036854775807"}),
	plain("TIMESTAMP_S", "timestamp[s]", value{"'2024-02-29 12:30:01'", "2024-02-29T12:30:01"}, value{"'1600-01-01'", "1600-01-01T00:00:00"}, value{"'infinity'", "9223372036854775807"}),
	plain("TIMESTAMP_MS", "timestamp[ms]", value{"'2024-02-29 12:30:01.005'", "2024-02-29T12:30:01.005"}, value{"'1600-01-01'", "1600-01-01T00:00:00"}, value{"'infinity'", "9223372036854775807"}),
	plain("TIMESTAMP_NS", "timestamp[ns]", value{"'2024-02-29 12:30:01.000000005'", "2024-02-29T12:30:01.000000005"}, value{"'1677-09-22'", "1677-09-22T00:00:00"}, value{"'infinity'", "2262-04-11T23:47:16.854775807"}),
	plain("TIMESTAMP WITH TIME ZONE", "timestamp[us, tz=Etc/UTC]", value{"'2024-02-29 12:30:01.000005+02'", "2024-02-29T10:30:01.000005Z"}, value{"'0044-03-15 (BC) 00:00:00+00'", "-63517824000000000"}, value{"'infinity'", "9223372036854775807"}),
	plain("INTERVAL", "month_day_nano_interval", value{"INTERVAL '1 year 2 days 3 seconds'", `{"months":12,"days":2,"nanoseconds":3000000000}`}, value{"to_microseconds(-1)", `{"months":0,"days":0,"nanoseconds":-1000}`}, value{"to_months(-2147483648)", `{"months":-2147483648,"days":0,"nanoseconds":0}`}, value{"to_microseconds(9223372036854775)", `{"months":0,"days":0,"nanoseconds":9223372036854775000}`}),
	plain("INTEGER[]", "list<l: int32, nullable>", value{"[]", "[]"}, value{"[1, NULL, 3]", "[1,null,3]"}),
	plain("INTEGER[][]", "list<l: list<l: int32, nullable>, nullable>", value{"[[], NULL, [1]]", "[[],null,[1]]"}),
	plain("DECIMAL(38,2)[2]", "fixed_size_list<: decimal(38, 2), nullable>[2]", value{"[1.25, NULL]", `["1.25",null]`}),
	plain("INTEGER[2][3]", "fixed_size_list<: fixed_size_list<: int32, nullable>[2], nullable>[3]", value{"[[1, 2], [3, NULL], NULL]", "[[1,2],[3,null],null]"}),
	plain("STRUCT(a INTEGER, \"b c\" VARCHAR)", "struct<a: int32 nullable, b c: utf8 nullable>", value{"{'a': 1, 'b c': NULL}", `{"a":1,"b c":null}`}, value{"{'a': NULL, 'b c': 'x'}", `{"a":null,"b c":"x"}`}),
	plain("MAP(VARCHAR, INTEGER)", "map<utf8, int32, items_nullable>", value{"MAP {}", "[]"}, value{"MAP {'a': 1, 'b': NULL}", `[{"key":"a","value":1},{"key":"b","value":null}]`}),
	plain("UNION(num INTEGER, str VARCHAR)", "sparse_union<num: type=int32, nullable=0, str: type=utf8, nullable=1>", value{"1::UNION(num INTEGER, str VARCHAR)", "[0,1]"}, value{"union_value(str := 'x')::UNION(num INTEGER, str VARCHAR)", `[1,"x"]`}, value{"union_value(str := NULL::VARCHAR)::UNION(num INTEGER, str VARCHAR)", "(null)"}),
	plain("STRUCT(l MAP(VARCHAR, INTEGER))[]", "list<l: struct<l: map<utf8, int32, items_nullable> nullable>, nullable>", value{"[{'l': MAP {'a': 1}}, NULL, {'l': NULL}, {'l': MAP {}}]", `[{"l":[{"key":"a","value":1}]},null,{"l":null},{"l":[]}]`}),
	plain("STRUCT(u UNION(n INTEGER, d DATE))", "struct<u: sparse_union<n: type=int32, nullable=0, d: type=date32, nullable=1> nullable>", value{"{'u': 1}", `{"u":[0,1]}`}, value{"{'u': DATE '2024-02-29'}", `{"u":[1,"2024-02-29"]}`}, value{"{'u': NULL}", `{"u":null}`}),
	{"ENUM('a', 'b')[]", "list<l: utf8, nullable>", "VARCHAR[]", []value{{"['a', NULL, 'b']", `["a",null,"b"]`}, {"[]", "[]"}}, "(null)"},
	{"STRUCT(b BIT, t TIMETZ, n BIGNUM, u UHUGEINT)", "struct<b: utf8 nullable, t: utf8 nullable, n: utf8 nullable, u: utf8 nullable>", "STRUCT(b VARCHAR, t VARCHAR, n VARCHAR, u VARCHAR)", []value{{"{'b': '101'::BIT, 't': '12:00:00+02'::TIMETZ, 'n': 12::BIGNUM, 'u': 340282366920938463463374607431768211455}", `{"b":"101","n":"12","t":"12:00:00+02","u":"340282366920938463463374607431768211455"}`}}, "(null)"},
	{"BIT[2]", "fixed_size_list<: utf8, nullable>[2]", "VARCHAR[2]", []value{{"['1'::BIT, NULL]", `["1",null]`}}, "(null)"},
	{"MAP(UUID, TIMETZ)", "map<utf8, utf8, items_nullable>", "MAP(VARCHAR, VARCHAR)", []value{{"MAP {'0189f7ad-2f9b-7c1e-8d3a-000000000001'::UUID: '12:00:00+02'::TIMETZ}", `[{"key":"0189f7ad-2f9b-7c1e-8d3a-000000000001","value":"12:00:00+02"}]`}}, "(null)"},
	{"UNION(b BIT, m ENUM('x', 'y'))", "sparse_union<b: type=utf8, nullable=0, m: type=utf8, nullable=1>", "UNION(b VARCHAR, m VARCHAR)", []value{{"union_value(b := '1'::BIT)", `[0,"1"]`}, {"union_value(m := 'y'::ENUM('x', 'y'))", `[1,"y"]`}}, "(null)"},
	plain("INTERVAL[]", "list<l: month_day_nano_interval, nullable>", value{"[INTERVAL '1 day', NULL]", `[{"months":0,"days":1,"nanoseconds":0},null]`}),
	asText("GEOMETRY", "POINT (1 2)"),
}
