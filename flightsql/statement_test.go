package flightsql_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"hyprstream/flightsql"
)

func TestQueries(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	update(t, cl, "CREATE TABLE t (id INTEGER, name VARCHAR NOT NULL)")
	if n := update(t, cl, "INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')"); n != 3 {
		t.Fatalf("3 rows were inserted, the server says %d", n)
	}
	if n := update(t, cl, "UPDATE t SET name = upper(name) WHERE id > 1"); n != 2 {
		t.Fatalf("2 rows were updated, the server says %d", n)
	}
	for _, c := range []struct{ sql, want string }{
		{"SELECT 1", "1"},
		{"SELECT id, name FROM t ORDER BY id", "1|one\n2|TWO\n3|THREE"},
		{"SELECT * FROM t WHERE false", ""},
		{"WITH a AS (SELECT 2 AS x) SELECT x * 21 FROM a", "42"},
		{"INSERT INTO t VALUES (4, 'four') RETURNING id, name", "4|four"},
		{"SELECT count(*) FROM t", "4"},
		{"SELECT 'a'::ENUM ('a', 'b') AS e, NULL AS n, [1, 2] AS l, {'x': 1} AS s", `a|(null)|[1,2]|{"x":1}`},
		{"-- a comment\nSELECT 5 -- and another", "5"},
		{"CREATE TABLE made AS SELECT 7 AS x", ""},
		{"FROM made", "7"},
	} {
		equal(t, query(t, cl, c.sql), c.want)
	}
}

// A result much larger than the server may be ahead of its client.
func TestLargeResult(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	info, err := cl.Execute(t.Context(), "SELECT range AS i, repeat('x', 100) AS s FROM range(500000)")
	if err != nil {
		t.Fatal(err)
	}
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	var rows, sum int64
	for rd.Next() {
		rec := rd.RecordBatch()
		rows += rec.NumRows()
		for _, v := range rec.Column(0).(*array.Int64).Values() {
			sum += v
		}
	}
	if rd.Err() != nil || rows != 500000 || sum != 500000*499999/2 {
		t.Fatalf("%d rows, sum %d, error %v", rows, sum, rd.Err())
	}
}

func TestTicketIsUsedOnce(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	info, err := cl.Execute(t.Context(), "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, cl, info)
	_, err = cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
}

func wantCode(t *testing.T, err error, code codes.Code, stable string) {
	t.Helper()
	st, _ := status.FromError(err)
	if err == nil || st.Code() != code {
		t.Fatalf("want %s, have %v", code, err)
	}
	if !strings.HasPrefix(st.Message(), "["+stable+"] ") {
		t.Fatalf("the message should begin with [%s]: %s", stable, st.Message())
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.Reason == stable {
			return
		}
	}
	t.Fatalf("no ErrorInfo with reason %s in %v", stable, st.Details())
}

func TestErrors(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	for _, c := range []struct {
		sql    string
		code   codes.Code
		stable string
	}{
		{"SELEKT 1", codes.InvalidArgument, "SYNTAX_ERROR"},
		{"SELECT nope", codes.InvalidArgument, "INVALID_ARGUMENT"},
		{"SELECT * FROM nowhere", codes.NotFound, "NOT_FOUND"},
		{"SELECT 1; SELECT 2", codes.InvalidArgument, "INVALID_ARGUMENT"},
		{"SELECT ?", codes.InvalidArgument, "INVALID_ARGUMENT"},
		{"", codes.InvalidArgument, "SYNTAX_ERROR"},
	} {
		_, err := cl.Execute(t.Context(), c.sql)
		wantCode(t, err, c.code, c.stable)
	}
	// An error of execution, which preparing could not find.
	info, err := cl.Execute(t.Context(), "SELECT CASE WHEN range > 100000 THEN error('late') ELSE range END FROM range(200000)")
	if err != nil {
		t.Fatal(err)
	}
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err == nil {
		defer rd.Release()
		_, err = render(rd)
	}
	if err == nil || !strings.Contains(err.Error(), "late") {
		t.Fatalf("want the late error, have %v", err)
	}
}

func TestPreparedStatements(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	update(t, cl, "CREATE TABLE t (id INTEGER, name VARCHAR)")

	insert, err := cl.Prepare(t.Context(), "INSERT INTO t VALUES (?, ?)")
	if err != nil {
		t.Fatal(err)
	}
	params := record(t, `[{"id": 1, "name": "one"}, {"id": 2, "name": null}, {"id": 3, "name": "three"}]`,
		arrow.Field{Name: "id", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		arrow.Field{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true})
	insert.SetParameters(params)
	if n, err := insert.ExecuteUpdate(t.Context()); err != nil || n != 3 {
		t.Fatalf("inserted %d, error %v", n, err)
	}
	closeStmt(t, insert.Close)
	equal(t, query(t, cl, "SELECT * FROM t ORDER BY id"), "1|one\n2|(null)\n3|three")

	// The same statement again with other parameters; several rows are several executions.
	sel, err := cl.Prepare(t.Context(), "SELECT name FROM t WHERE id = ?")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ rows, want string }{
		{`[{"id": 1}]`, "one"}, {`[{"id": 3}]`, "three"}, {`[{"id": 3}, {"id": 1}]`, "three\none"}, {`[{"id": 9}]`, ""},
	} {
		sel.SetParameters(record(t, c.rows, arrow.Field{Name: "id", Type: arrow.PrimitiveTypes.Int64}))
		info, err := sel.Execute(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fetch(t, cl, info), c.want)
	}
	if s := sel.DatasetSchema(); s == nil || s.Field(0).Name != "name" {
		t.Fatalf("dataset schema %v", s)
	}
	if s := sel.ParameterSchema(); s == nil || s.NumFields() != 1 {
		t.Fatalf("parameter schema %v", s)
	}
	closeStmt(t, sel.Close)
	_, err = sel.Execute(t.Context())
	if err == nil {
		t.Fatal("a closed statement ran")
	}
}

// The type of SELECT ? is not known until a value is bound.
func TestParameterDecidesType(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	st, err := cl.Prepare(t.Context(), "SELECT ? AS x")
	if err != nil {
		t.Fatal(err)
	}
	defer closeStmt(t, st.Close)
	for _, c := range []struct {
		typ        arrow.DataType
		rows, want string
	}{
		{arrow.PrimitiveTypes.Int64, `[{"x": 7}]`, "7"},
		{arrow.BinaryTypes.String, `[{"x": "seven"}]`, "seven"},
		{arrow.Null, `[{"x": null}]`, "(null)"},
		{arrow.ListOf(arrow.PrimitiveTypes.Int32), `[{"x": [1, 2]}]`, "[1,2]"},
	} {
		st.SetParameters(record(t, c.rows, arrow.Field{Name: "x", Type: c.typ, Nullable: true}))
		info, err := st.Execute(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Schema) == 0 {
			t.Fatal("the schema is known once a value is bound")
		}
		equal(t, fetch(t, cl, info), c.want)
	}
}

// record makes a batch of JSON rows, released with the test.
func record(t *testing.T, rows string, fields ...arrow.Field) arrow.RecordBatch {
	t.Helper()
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(fields, nil), strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return rec
}

func closeStmt[O any](t *testing.T, closeFn func(context.Context, ...O) error) {
	t.Helper()
	if err := closeFn(context.Background()); err != nil {
		t.Error(err)
	}
}

// A result can be opened, and so cancelled, before its first row is there.
func TestSchemaComesBeforeSlowRows(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	info, err := cl.Execute(t.Context(), endless)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start := time.Now()
	rd, err := cl.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	if d := time.Since(start); d > 2*time.Second || rd.Schema().NumFields() != 1 {
		t.Fatalf("the schema came after %v: %v", d, rd.Schema())
	}
	cancel()
	if rd.Next() || rd.Err() == nil {
		t.Fatal("the query ended by itself")
	}
}
