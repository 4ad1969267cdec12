package flightsql_test

import (
	"testing"

	"github.com/apache/arrow-adbc/go/adbc"
	driver "github.com/apache/arrow-adbc/go/adbc/driver/flightsql"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/flightsql"
)

// adbcOpen connects Go's ADBC driver. All Arrow memory must be back at the end.
func adbcOpen(t *testing.T) adbc.Connection {
	t.Helper()
	addr := serve(t, flightsql.Options{Version: "1.2.3"})
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	db, err := driver.NewDriver(mem).NewDatabase(map[string]string{adbc.OptionKeyURI: "grpc://" + addr})
	if err != nil {
		t.Fatal(err)
	}
	con, err := db.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := con.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		mem.AssertSize(t, 0)
	})
	return con
}

func adbcStatement(t *testing.T, con adbc.Connection, sql string) adbc.Statement {
	t.Helper()
	st, err := con.NewStatement()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() }) //nolint:errcheck // the connection is about to be closed too
	if err := st.SetSqlQuery(sql); err != nil {
		t.Fatal(err)
	}
	return st
}

func adbcQuery(t *testing.T, con adbc.Connection, sql string) string {
	t.Helper()
	rd, _, err := adbcStatement(t, con, sql).ExecuteQuery(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return adbcRender(t, rd)
}

func adbcRender(t *testing.T, rd array.RecordReader) string {
	t.Helper()
	defer rd.Release()
	out, err := render(rd)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func adbcUpdate(t *testing.T, con adbc.Connection, sql string) int64 {
	t.Helper()
	n, err := adbcStatement(t, con, sql).ExecuteUpdate(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestADBCStatements(t *testing.T) {
	con := adbcOpen(t)
	adbcUpdate(t, con, "CREATE TABLE t (id INTEGER, name VARCHAR)")
	st := adbcStatement(t, con, "INSERT INTO t VALUES (?, ?)")
	if err := st.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := st.Bind(t.Context(), record(t, `[{"id": 1, "name": "one"}, {"id": 2, "name": null}]`,
		arrow.Field{Name: "id", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		arrow.Field{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true})); err != nil {
		t.Fatal(err)
	}
	if n, err := st.ExecuteUpdate(t.Context()); err != nil || n != 2 {
		t.Fatalf("%d rows, %v", n, err)
	}
	equal(t, adbcQuery(t, con, "SELECT * FROM t ORDER BY id"), "1|one\n2|(null)")
	schema, err := con.GetTableSchema(t.Context(), nil, nil, "t")
	if err != nil {
		t.Fatal(err)
	}
	if schema.NumFields() != 2 || schema.Field(1).Name != "name" {
		t.Fatal(schema)
	}
	// A statement that changes something takes effect without its rows being read.
	rd, _, err := adbcStatement(t, con, "CREATE TABLE u AS SELECT 1 AS x").ExecuteQuery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rd.Release()
	equal(t, adbcQuery(t, con, "SELECT * FROM u"), "1")
}

func TestADBCTransactions(t *testing.T) {
	con := adbcOpen(t)
	adbcUpdate(t, con, "CREATE TABLE t (x INTEGER)")
	if err := con.(adbc.PostInitOptions).SetOption(adbc.OptionKeyAutoCommit, adbc.OptionValueDisabled); err != nil {
		t.Fatal(err)
	}
	adbcUpdate(t, con, "INSERT INTO t VALUES (1)")
	equal(t, adbcQuery(t, con, "SELECT count(*) FROM t"), "1")
	if err := con.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	adbcUpdate(t, con, "INSERT INTO t VALUES (2)")
	if err := con.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, adbcQuery(t, con, "SELECT x FROM t"), "2")
	if err := con.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestADBCMetadata(t *testing.T) {
	con := adbcOpen(t)
	adbcUpdate(t, con, "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR)")
	rd, err := con.GetInfo(t.Context(), []adbc.InfoCode{adbc.InfoVendorName, adbc.InfoVendorVersion})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, adbcRender(t, rd), "0|[0,\"hyprstream\"]\n1|[0,\"1.2.3\"]")
	if rd, err = con.GetTableTypes(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, adbcRender(t, rd), "LOCAL TEMPORARY\nTABLE\nVIEW")
	if rd, err = con.GetObjects(t.Context(), adbc.ObjectDepthAll, nil, p("main"), p("t"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if out := adbcRender(t, rd); out == "" {
		t.Fatal("no objects")
	}
}
