package flightsql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"hyprstream/flightsql"
)

// Statements of many megabytes run, or say why not.
func TestHugeStatements(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	equal(t, query(t, cl, "SELECT length('"+strings.Repeat("x", 10<<20)+"') AS n"), fmt.Sprint(10<<20))
	var list strings.Builder
	for i := range 500_000 {
		fmt.Fprintf(&list, "%d,", 2*i)
	}
	equal(t, query(t, cl, "SELECT count(*) FROM range(1000) t(i) WHERE i IN ("+list.String()+"-1)"), "500")
	for _, deep := range []string{
		"SELECT " + strings.Repeat("(", 10_000) + "1" + strings.Repeat(")", 10_000),
		"SELECT " + strings.Repeat("1+(", 10_000) + "1" + strings.Repeat(")", 10_000),
		"SELECT " + strings.Repeat("abs(", 10_000) + "1" + strings.Repeat(")", 10_000),
		"SELECT " + strings.Repeat("[", 10_000) + "1" + strings.Repeat("]", 10_000),
		strings.Repeat("SELECT * FROM (", 10_000) + "SELECT 1" + strings.Repeat(")", 10_000),
		"SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 10_000),
	} {
		if _, err := cl.Execute(t.Context(), deep); err != nil {
			clearly(t, deep, err)
		}
		equal(t, query(t, cl, "SELECT 1"), "1")
	}
	_, err := cl.Execute(t.Context(), `SELECT * FROM "`+strings.Repeat("n", 1<<20)+`"`)
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
}

// clearly fails where an error is the server's own, or its text has no end.
func clearly(t *testing.T, sql string, err error) {
	t.Helper()
	if strings.Contains(err.Error(), "INTERNAL") || len(err.Error()) > 4000 {
		t.Errorf("%.60s: %.200s (%d bytes)", sql, err.Error(), len(err.Error()))
	}
}

// A result of 10,000 columns, as one row and as many.
func TestWideResult(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	var cols strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&cols, ",i+%d AS c%d", i, i)
	}
	for _, rows := range []int64{1, 5000} {
		rd, err := open(t.Context(), cl, fmt.Sprintf("SELECT %s FROM range(%d) t(i)", cols.String()[1:], rows))
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for rd.Next() {
			rec := rd.RecordBatch()
			if have := rec.Column(9999).(*array.Int64).Value(0); rec.NumCols() != 10_000 || have != n+9999 {
				t.Fatalf("%d columns, the last with %d at row %d", rec.NumCols(), have, n)
			}
			n += rec.NumRows()
		}
		if rd.Err() != nil || n != rows {
			t.Fatalf("%d rows, %v", n, rd.Err())
		}
		rd.Release()
	}
}

// A value of 100 MB reaches a client that takes such messages; one that does not is told.
func TestHugeValue(t *testing.T) {
	addr := serve(t, flightsql.Options{})
	const huge = "SELECT repeat('x', 100000000) AS x"
	cl, err := client.NewClient(addr, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(200<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	rd, err := open(t.Context(), cl, huge)
	if err != nil {
		t.Fatal(err)
	}
	if !rd.Next() || len(rd.RecordBatch().Column(0).(*array.String).Value(0)) != 100_000_000 {
		t.Fatal(rd.Err())
	}
	rd.Release()
	small := dial(t, addr) // 4 MB, as gRPC has it
	rd, err = open(t.Context(), small, huge)
	if err == nil {
		_, err = render(rd)
		rd.Release()
	}
	if err == nil || !strings.Contains(err.Error(), "larger than max") {
		t.Fatal(err)
	}
	equal(t, query(t, small, "SELECT 1"), "1")
}

// 10,000 prepared statements more than are kept: the oldest go.
func TestManyPrepared(t *testing.T) {
	srv, addr := start(t, flightsql.Options{Handles: 1000})
	cl := dial(t, addr)
	first, err := cl.Prepare(t.Context(), "SELECT 0")
	if err != nil {
		t.Fatal(err)
	}
	var last *client.PreparedStatement
	for i := range 10_000 {
		if last, err = cl.Prepare(t.Context(), fmt.Sprintf("SELECT %d", i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if n := srv.Held().Prepared; n != 1000 {
		t.Fatalf("%d are kept", n)
	}
	_, err = first.Execute(t.Context())
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
	info, err := last.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, fetch(t, cl, info), "9999")
}

// 100,000 rows of parameters, of a change and of a query.
func TestManyParameters(t *testing.T) {
	const rows = 100_000
	cl := dial(t, serve(t, flightsql.Options{}))
	update(t, cl, "CREATE TABLE t (x BIGINT)")
	b := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range int64(rows) {
		b.Append(i)
	}
	params := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}, nil), []arrow.Array{b.NewArray()}, rows)
	for _, c := range []struct {
		sql, want string
		change    bool
	}{{"INSERT INTO t VALUES (?)", "", true}, {"SELECT x FROM t WHERE x = ? AND x % 10000 = 0", strings.Join([]string{
		"0", "10000", "20000", "30000", "40000", "50000", "60000", "70000", "80000", "90000"}, "\n"), false}} {
		st, err := cl.Prepare(t.Context(), c.sql)
		if err != nil {
			t.Fatal(err)
		}
		params.Retain()
		st.SetParameters(params)
		if c.change {
			if n, err := st.ExecuteUpdate(t.Context()); err != nil || n != rows {
				t.Fatalf("%d rows, %v", n, err)
			}
			continue
		}
		info, err := st.Execute(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fetch(t, cl, info), c.want)
	}
	equal(t, query(t, cl, "SELECT count(*) FROM t"), fmt.Sprint(rows))
}
