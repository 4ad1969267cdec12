package database

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/errs"
)

// fds counts this process's open files.
func fds(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestOpenClose(t *testing.T) {
	dir := t.TempDir()
	var files, routines int
	for i := range 50 {
		db, err := Open(t.Context(), Config{Dir: dir, AllowDirs: []string{dir}})
		if err != nil {
			t.Fatal(i, err)
		}
		s, err := db.Session(t.Context(), SessionOptions{})
		if err != nil {
			t.Fatal(i, err)
		}
		sql(t, s, "CREATE OR REPLACE TABLE t AS SELECT range AS i FROM range(10)")
		// An open result, left so.
		if _, err := s.Query(t.Context(), "SELECT * FROM range(1000000)"); err != nil {
			t.Fatal(i, err)
		}
		if err := db.Close(context.Background()); err != nil {
			t.Fatal(i, err)
		}
		if i == 4 {
			files, routines = fds(t), runtime.NumGoroutine()
		}
	}
	if f, r := fds(t), runtime.NumGoroutine(); f > files || r > routines {
		t.Errorf("%d files and %d goroutines, after 5 times %d and %d", f, r, files, routines)
	}
}

// A result that is dropped, in whatever way, gives its session back.
func TestSessionComesBack(t *testing.T) {
	s := open(t)
	const many = "SELECT range, repeat('x', 100) FROM range(3000000)"
	for name, drop := range map[string]func(r *Result){
		"close":       func(r *Result) { r.Close() },
		"close twice": func(r *Result) { r.Close(); r.Close() },
		"release":     func(r *Result) { r.Retain(); r.Release(); r.Release() },
		"read one":    func(r *Result) { r.Next(); r.Close() },
		"interrupt":   func(r *Result) { s.Interrupt(); r.Next() },
		"read to end": func(r *Result) {
			for r.Next() {
			}
		},
		"close by other": func(r *Result) {
			go r.Close()
			for r.Next() {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := s.Query(t.Context(), many)
			if err != nil {
				t.Fatal(err)
			}
			drop(r)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err := s.Exec(ctx, "SELECT 1"); err != nil {
				t.Error(err)
			}
			r.Close()
		})
	}
}

// A statement waits for the open result of its session, as long as it may.
func TestWaitsForItsTurn(t *testing.T) {
	s := open(t)
	r, err := s.Query(t.Context(), "SELECT * FROM range(1000000)")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Query(ctx, "SELECT 1"); errs.CodeOf(err) != errs.Timeout {
		t.Error(err)
	}
	time.AfterFunc(50*time.Millisecond, r.Close)
	if got := sql(t, s, "SELECT 2"); got != "2" {
		t.Error(got)
	}
}

// Batches stay valid after their result is gone, and are no larger than clients take.
func TestBatches(t *testing.T) {
	s := open(t)
	r, err := s.Query(t.Context(), "SELECT range AS i, repeat('x', 5000) AS s, [repeat('y', 100)] AS l FROM range(3000)")
	if err != nil {
		t.Fatal(err)
	}
	var kept []arrow.RecordBatch
	n := int64(0)
	for r.Next() {
		b := r.RecordBatch()
		b.Retain()
		kept = append(kept, b)
		if size := batchBytes(b); size > maxBatchBytes {
			t.Errorf("a batch of %d bytes", size)
		}
	}
	r.Close()
	for _, b := range kept {
		n += b.NumRows()
		last := int(b.NumRows()) - 1
		if got := b.Column(1).ValueStr(last); got != strings.Repeat("x", 5000) {
			t.Errorf("%.20s", got)
		}
		b.Release()
	}
	if n != 3000 {
		t.Error(n)
	}
}

// params makes a batch of nullable columns from JSON rows, from memory that is
// checked for leaks.
func params(t *testing.T, json string, types ...arrow.DataType) arrow.RecordBatch {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	fields := make([]arrow.Field, len(types))
	for i, typ := range types {
		fields[i] = arrow.Field{Name: string(rune('a' + i)), Type: typ, Nullable: true}
	}
	rec, _, err := array.RecordFromJSON(mem, arrow.NewSchema(fields, nil), strings.NewReader(json))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return rec
}

func TestParameters(t *testing.T) {
	s := open(t)
	zoned := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	for _, c := range []struct {
		typ        arrow.DataType
		json, want string // want: type and value as DuckDB prints them
	}{
		{arrow.FixedWidthTypes.Boolean, "true", "BOOLEAN true"},
		{arrow.PrimitiveTypes.Int8, "-1", "TINYINT -1"},
		{arrow.PrimitiveTypes.Int16, "-1", "SMALLINT -1"},
		{arrow.PrimitiveTypes.Int32, "-1", "INTEGER -1"},
		{arrow.PrimitiveTypes.Int64, "-1", "BIGINT -1"},
		{arrow.PrimitiveTypes.Uint8, "1", "UTINYINT 1"},
		{arrow.PrimitiveTypes.Uint16, "1", "USMALLINT 1"},
		{arrow.PrimitiveTypes.Uint32, "1", "UINTEGER 1"},
		{arrow.PrimitiveTypes.Uint64, "18446744073709551615", "UBIGINT 18446744073709551615"},
		{arrow.PrimitiveTypes.Float32, "1.5", "FLOAT 1.5"},
		{arrow.PrimitiveTypes.Float64, "1.5", "DOUBLE 1.5"},
		{&arrow.Decimal128Type{Precision: 12, Scale: 2}, `"-123.45"`, "DECIMAL(12,2) -123.45"},
		{arrow.BinaryTypes.String, `"héé 🦆"`, "VARCHAR héé 🦆"},
		{arrow.BinaryTypes.String, `""`, "VARCHAR "},
		{arrow.BinaryTypes.LargeString, `"x"`, "VARCHAR x"},
		{arrow.BinaryTypes.StringView, `"longer than twelve bytes"`, "VARCHAR longer than twelve bytes"},
		{arrow.BinaryTypes.Binary, `"AAFi"`, `BLOB \x00\x01b`},
		{arrow.FixedWidthTypes.Date32, `"2024-02-29"`, "DATE 2024-02-29"},
		{arrow.FixedWidthTypes.Date64, `"2024-02-29"`, "DATE 2024-02-29"},
		{arrow.FixedWidthTypes.Time32s, `"12:34:56"`, "TIME 12:34:56"},
		{arrow.FixedWidthTypes.Time64us, `"12:34:56.000007"`, "TIME 12:34:56.000007"},
		{&arrow.TimestampType{Unit: arrow.Second}, "1709168523", "TIMESTAMP_S 2024-02-29 01:02:03"},
		{&arrow.TimestampType{Unit: arrow.Microsecond}, "1709168523000004", "TIMESTAMP 2024-02-29 01:02:03.000004"},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, "1709168523000000004", "TIMESTAMP_NS 2024-02-29 01:02:03.000000004"},
		{zoned, "1709168523000000", "TIMESTAMP WITH TIME ZONE 2024-02-29 01:02:03+00"},
		{arrow.ListOf(arrow.PrimitiveTypes.Int32), "[1,null]", "INTEGER[] [1, NULL]"},
		{arrow.ListOf(arrow.ListOf(arrow.BinaryTypes.String)), `[["a"],[]]`, "VARCHAR[][] [[a], []]"},
		{arrow.StructOf(arrow.Field{Name: "k", Type: arrow.PrimitiveTypes.Int64, Nullable: true}), `{"k": 7}`, "STRUCT(k BIGINT) {'k': 7}"},
		{arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32), `[{"key": "a", "value": 1}]`, "MAP(VARCHAR, INTEGER) {a=1}"},
	} {
		t.Run(c.typ.String(), func(t *testing.T) {
			st, err := s.Prepare(t.Context(), "SELECT typeof(?) || ' ' || ?::VARCHAR")
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			r, err := st.Execute(t.Context(), params(t, `[{"a": `+c.json+`, "b": `+c.json+`}]`, c.typ, c.typ))
			if got := rows(t, r, err); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if r, err = st.Execute(t.Context(), params(t, `[{"a": null, "b": null}]`, c.typ, c.typ)); rows(t, r, err) != "(null)" {
				t.Error("NULL lost")
			}
		})
	}
}

func TestManyParameterRows(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE TABLE t(i INT PRIMARY KEY, s VARCHAR)")
	ins, err := s.Prepare(t.Context(), "INSERT INTO t VALUES ($i, $s)")
	if err != nil {
		t.Fatal(err)
	}
	defer ins.Close()
	one, two := arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String
	r, err := ins.Execute(t.Context(), params(t, `[{"a":1,"b":"x"},{"a":2,"b":"y"},{"a":3,"b":null}]`, one, two))
	if err != nil || r.RowsAffected() != 3 {
		t.Fatal(r, err)
	}
	// All or nothing.
	if _, err := ins.Execute(t.Context(), params(t, `[{"a":4,"b":"x"},{"a":1,"b":"again"}]`, one, two)); errs.CodeOf(err) != errs.InvalidArgument {
		t.Error(err)
	}
	sel, err := s.Prepare(t.Context(), "SELECT i, s FROM t WHERE i >= ? ORDER BY i")
	if err != nil {
		t.Fatal(err)
	}
	defer sel.Close()
	r, err = sel.Execute(t.Context(), params(t, `[{"a":3},{"a":9},{"a":2}]`, one))
	if got := rows(t, r, err); got != "3|(null)\n2|y\n3|(null)" {
		t.Error(got)
	}
	if _, err := sel.Execute(t.Context(), nil); errs.CodeOf(err) != errs.InvalidArgument {
		t.Error(err)
	}
}

// A schema at prepare, the stream's schema: also for what gives no rows.
func TestSchemasAgree(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE TABLE t(i INT, e ENUM('a','b'))")
	for _, c := range []struct {
		sql   string
		query bool
	}{
		{"SELECT * FROM t", true}, {"INSERT INTO t VALUES (1, 'a')", false}, {"INSERT INTO t VALUES (1, 'a') RETURNING *", true},
		{"INSERT INTO t VALUES (1, 'a') RETURNING 7::BIGINT AS \"Count\"", true},
		{"UPDATE t SET i = 2", false}, {"DELETE FROM t", false}, {"CREATE TABLE u AS SELECT 1 AS a", false}, {"CREATE VIEW w AS SELECT 1", false},
		{"BEGIN", false}, {"COMMIT", false}, {"SET threads = 2", false}, {"PRAGMA table_info('t')", true}, {"EXPLAIN SELECT 1", true},
		{"CALL pragma_version()", true}, {"SHOW TABLES", true}, {"DESCRIBE t", true}, {"CHECKPOINT", false}, {"ATTACH ':memory:' AS x", false},
		{"PREPARE p AS SELECT 1 AS a", false}, {"EXECUTE p", true}, {"DEALLOCATE p", false}, {"VALUES (1, 'x')", true},
		{"MERGE INTO t USING (SELECT 1 AS i) n ON t.i = n.i WHEN MATCHED THEN DELETE", false}, {"FROM t", true}, {"SUMMARIZE t", true},
		{"SELECT true AS \"Success\"", true}, {"SELECT 1::BIGINT AS \"Count\"", true},
	} {
		st, err := s.Prepare(t.Context(), c.sql)
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		r, err := st.Execute(t.Context(), nil)
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		if st.IsQuery() != c.query || !st.Schema().Equal(r.Schema()) || (r.Schema().NumFields() > 0) != c.query {
			t.Errorf("%s: query %v, prepared %v, executed %v", c.sql, st.IsQuery(), st.Schema(), r.Schema())
		}
		for r.Next() {
			if !r.RecordBatch().Schema().Equal(r.Schema()) {
				t.Errorf("%s: batch %v", c.sql, r.RecordBatch().Schema())
			}
		}
		if r.Err() != nil {
			t.Error(c.sql, r.Err())
		}
		r.Close()
		st.Close()
	}
}

// A defect of DuckDB's own stops it, and that is told: a parameter used both with
// and without a type is one.
func TestFatal(t *testing.T) {
	s := open(t)
	if _, err := s.Exec(t.Context(), "SELECT typeof($1) || ' ' || $1::VARCHAR", "x"); errs.CodeOf(err) != errs.Internal || strings.Contains(err.Error(), "0x") {
		t.Fatalf("DuckDB's defect is gone, take another: %v", err)
	}
	if err := s.db.Ready(); errs.CodeOf(err) != errs.Internal || !strings.Contains(err.Error(), "restart") {
		t.Error(err)
	}
}
