package database

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"hyprstream/errs"
)

// open gives a session on a fresh database, closed with the test.
func open(t testing.TB, allow ...string) *Session {
	t.Helper()
	db, err := Open(t.Context(), Config{Dir: t.TempDir(), AllowDirs: allow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s, err := db.Session(t.Context(), SessionOptions{Client: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rows renders a result, a line per row and "|" between columns, and closes it.
func rows(t testing.TB, r *Result, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	for r.Next() {
		rec := r.RecordBatch()
		for i := range int(rec.NumRows()) {
			for j, c := range rec.Columns() {
				if j > 0 {
					b.WriteByte('|')
				}
				b.WriteString(c.ValueStr(i))
			}
			b.WriteByte('\n')
		}
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func sql(t testing.TB, s *Session, text string, args ...any) string {
	t.Helper()
	r, err := s.Query(t.Context(), text, args...)
	return rows(t, r, err)
}

func TestTypes(t *testing.T) {
	s := open(t)
	for _, c := range []struct{ expr, want, arrow string }{
		{"true", "true", "bool"},
		{"1::TINYINT", "1", "int8"},
		{"1::SMALLINT", "1", "int16"},
		{"1", "1", "int32"},
		{"1::BIGINT", "1", "int64"},
		{"255::UTINYINT", "255", "uint8"},
		{"1::USMALLINT", "1", "uint16"},
		{"1::UINTEGER", "1", "uint32"},
		{"18446744073709551615::UBIGINT", "18446744073709551615", "uint64"},
		{"1::HUGEINT", "1", "decimal(38, 0)"},
		{"1.5::FLOAT", "1.5", "float32"},
		{"1.5::DOUBLE", "1.5", "float64"},
		{"1.50::DECIMAL(9,2)", "1.5", "decimal(9, 2)"},
		{"'héé'", "héé", "utf8"},
		{"'ab'::BLOB", "YWI=", "binary"},
		{"DATE '2024-02-29'", "2024-02-29", "date32"},
		{"TIME '12:34:56.789'", "12:34:56.789000", "time64[us]"},
		{"TIMESTAMP '2024-02-29 01:02:03'", "2024-02-29T01:02:03", "timestamp[us]"},
		{"TIMESTAMP_S '2024-02-29 01:02:03'", "2024-02-29T01:02:03", "timestamp[s]"},
		{"TIMESTAMP_NS '2024-02-29 01:02:03.123456789'", "2024-02-29T01:02:03.123456789", "timestamp[ns]"},
		{"INTERVAL 3 MONTH", `{"months":3,"days":0,"nanoseconds":0}`, "month_day_nano_interval"},
		{"[1,2,NULL]", "[1,2,null]", "list<l: int32, nullable>"},
		{"[1,2]::INTEGER[2]", "[1,2]", "fixed_size_list<: int32, nullable>[2]"},
		{"{'a': 1, 'b': 'x'}", `{"a":1,"b":"x"}`, "struct<a: int32 nullable, b: utf8 nullable>"},
		{"MAP {'k': 1}", `[{"key":"k","value":1}]`, "map<utf8, int32, items_nullable>"},
		{"'b'::ENUM('a','b')", "b", "utf8"},
		{"['b','a',NULL]::ENUM('a','b')[]", `["b","a",null]`, "list<l: utf8, nullable>"},
		{"{'e': 'a'::ENUM('a','b')}", `{"e":"a"}`, "struct<e: utf8 nullable>"},
		{"uuid '00000000-0000-0000-0000-000000000001'", "00000000-0000-0000-0000-000000000001", "utf8"},
		{"'101'::BIT::VARCHAR", "101", "utf8"},
		{"NULL", "(null)", "int32"},
		{"'{\"a\":1}'::JSON", `{"a":1}`, "utf8"},
		{"NULL::VARCHAR", "(null)", "utf8"},
		{"union_value(a := 1)", "[0,1]", "sparse_union<a: type=int32, nullable=0>"},
		{"TIMETZ '12:00:00+02'", "12:00:00+02", "utf8"},
		{"123::BIGNUM", "123", "utf8"},
		{"'101'::BIT", "101", "utf8"},
		{"['x', NULL]::VARIANT", "[x, NULL]", "utf8"},
		{"340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455", "utf8"},
	} {
		t.Run(c.expr, func(t *testing.T) {
			st, err := s.Prepare(t.Context(), "SELECT "+c.expr+" AS v")
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			r, err := st.Execute(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if !st.Schema().Equal(r.Schema()) {
				t.Errorf("prepared %v, executed %v", st.Schema(), r.Schema())
			}
			typ := r.Schema().Field(0).Type
			got := rows(t, r, nil)
			if got != c.want || typ.String() != c.arrow {
				t.Errorf("got %s %s, want %s %s", got, typ, c.want, c.arrow)
			}
		})
	}
}

func TestStatements(t *testing.T) {
	s := open(t)
	if got := sql(t, s, "CREATE TABLE t(i INT, s VARCHAR); INSERT INTO t VALUES (1,'a'),(2,'b'); SELECT * FROM t ORDER BY i"); got != "1|a\n2|b" {
		t.Error(got)
	}
	n, err := s.Exec(t.Context(), "INSERT INTO t SELECT ?, ? FROM range(3)", 7, "x")
	if n != 3 || err != nil {
		t.Error(n, err)
	}
	if n, err := s.Exec(t.Context(), "UPDATE t SET s = 'y' WHERE i = 7"); n != 3 || err != nil {
		t.Error(n, err)
	}
	if got := sql(t, s, "DELETE FROM t WHERE i = 7 RETURNING s"); got != "y\ny\ny" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT $a || $b", "1", "2"); got != "12" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT ?, ?::INT + 1, list_sum(?)", nil, 3, []any{1, 2}); got != "(null)|4|3" {
		t.Error(got)
	}
}

func TestUnresolved(t *testing.T) {
	s := open(t)
	st, err := s.Prepare(t.Context(), "SELECT ? AS a, 1 AS b")
	if err != nil {
		t.Fatal(err)
	}
	if st.Schema() != nil || st.ParameterSchema().Field(0).Type.ID() != arrow.NULL {
		t.Error(st.Schema(), st.ParameterSchema())
	}
	p, _ := batchOfArgs([]any{"x"})
	defer p.Release()
	sc, err := st.SchemaWith(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := st.Execute(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Schema().Equal(sc) {
		t.Error(sc, r.Schema())
	}
	if got := rows(t, r, nil); got != "x|1" {
		t.Error(got)
	}
}

func TestErrors(t *testing.T) {
	s := open(t)
	for text, want := range map[string]errs.Code{
		"frobnicate":                          errs.Syntax,
		"":                                    errs.Syntax,
		"SELECT * FROM nowhere":               errs.NotFound,
		"SELECT nothing":                      errs.InvalidArgument,
		"SELECT 'x'::INT":                     errs.InvalidArgument,
		"SELECT error('[MODEL_NOT_FOUND] m')": errs.ModelNotFound,
		"SELECT ?":                            errs.InvalidArgument,
		"CREATE TABLE a(i int); CREATE TABLE a(i int)":                                    errs.AlreadyExists,
		"SELECT CASE WHEN range = 99999 THEN error('late') ELSE 1 END FROM range(100000)": errs.InvalidArgument,
	} {
		r, err := s.Query(t.Context(), text)
		if err == nil {
			for r.Next() {
			}
			err = r.Err()
			r.Close()
		}
		if errs.CodeOf(err) != want {
			t.Errorf("%s: %s %v", text, errs.CodeOf(err), err)
		}
	}
	if got := sql(t, s, "SELECT 1"); got != "1" {
		t.Error(got)
	}
}

func TestCancel(t *testing.T) {
	s := open(t)
	const long = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(100000) b"
	for name, c := range map[string]struct {
		stop func(cancel func())
		want errs.Code
	}{
		"context":   {func(cancel func()) { cancel() }, errs.Cancelled},
		"interrupt": {func(func()) { s.Interrupt() }, errs.Cancelled},
		"deadline":  {nil, errs.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			if c.stop == nil {
				ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
			}
			defer cancel()
			if c.stop != nil {
				time.AfterFunc(200*time.Millisecond, func() { c.stop(cancel) })
			}
			start := time.Now()
			r, err := s.Query(ctx, long)
			if err == nil {
				r.Next()
				err = r.Err()
				r.Close()
			}
			if d := time.Since(start); errs.CodeOf(err) != c.want || d > time.Second {
				t.Error(err, d)
			}
			if got := sql(t, s, "SELECT 1"); got != "1" {
				t.Error(got)
			}
		})
	}
}
