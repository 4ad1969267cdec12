package flightsql_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/flightsql"
)

// catalogClient is connected to a database with a bit of everything.
func catalogClient(t *testing.T) *client.Client {
	t.Helper()
	cl := dial(t, serve(t, flightsql.Options{Version: "1.2.3"}))
	update(t, cl, `CREATE SEQUENCE ids; CREATE TABLE parent (id INTEGER PRIMARY KEY DEFAULT nextval('ids'), name VARCHAR NOT NULL, price DECIMAL(10, 2));
		COMMENT ON COLUMN parent.name IS 'what it is called';
		CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id));
		CREATE VIEW names AS SELECT name FROM parent;
		CREATE SCHEMA other; CREATE TABLE other.child_2 (a INTEGER, b INTEGER, PRIMARY KEY (a, b));
		CREATE TEMP TABLE passing (x INTEGER)`)
	return cl
}

func p[T any](v T) *T { return &v }

func TestCatalogsAndSchemas(t *testing.T) {
	cl := catalogClient(t)
	info, err := cl.GetCatalogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, fetch(t, cl, info), "hyprstream\ntemp")
	for _, c := range []struct {
		opts *client.GetDBSchemasOpts
		want string
	}{
		{&client.GetDBSchemasOpts{Catalog: p("hyprstream")}, "hyprstream|main\nhyprstream|other"},
		{&client.GetDBSchemasOpts{Catalog: p("hyprstream"), DbSchemaFilterPattern: p("o%")}, "hyprstream|other"},
		{&client.GetDBSchemasOpts{Catalog: p("'; DROP TABLE parent; --")}, ""},
	} {
		info, err := cl.GetDBSchemas(t.Context(), c.opts)
		if err != nil {
			t.Fatal(err)
		}
		have := strings.Split(fetch(t, cl, info), "\n")
		have = slices.DeleteFunc(have, func(s string) bool { return strings.HasSuffix(s, "|ai") })
		equal(t, strings.Join(have, "\n"), c.want)
	}
}

func TestTables(t *testing.T) {
	cl := catalogClient(t)
	for _, c := range []struct {
		opts *client.GetTablesOpts
		want string
	}{
		{&client.GetTablesOpts{DbSchemaFilterPattern: p("main")},
			"hyprstream|main|child|TABLE\nhyprstream|main|names|VIEW\nhyprstream|main|parent|TABLE\ntemp|main|passing|LOCAL TEMPORARY"},
		{&client.GetTablesOpts{TableTypes: []string{"VIEW"}, DbSchemaFilterPattern: p("main")}, "hyprstream|main|names|VIEW"},
		{&client.GetTablesOpts{TableNameFilterPattern: p("child%")}, "hyprstream|main|child|TABLE\nhyprstream|other|child_2|TABLE"},
		{&client.GetTablesOpts{TableNameFilterPattern: p(`child\_%`)}, "hyprstream|other|child_2|TABLE"},
		{&client.GetTablesOpts{Catalog: p("elsewhere")}, ""},
	} {
		info, err := cl.GetTables(t.Context(), c.opts)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fetch(t, cl, info), c.want)
	}
}

// The schema in GetTables is that of the table's rows, with what drivers read
// from field metadata.
func TestTableSchema(t *testing.T) {
	cl := catalogClient(t)
	info, err := cl.GetTables(t.Context(), &client.GetTablesOpts{TableNameFilterPattern: p("parent"), IncludeSchema: true})
	if err != nil {
		t.Fatal(err)
	}
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	if !rd.Next() {
		t.Fatal(rd.Err())
	}
	schema, err := flight.DeserializeSchema(rd.RecordBatch().Column(4).(*array.Binary).Value(0), memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name, typeName string
		typ            arrow.DataType
		nullable       bool
	}{
		{"id", "INTEGER", arrow.PrimitiveTypes.Int32, false},
		{"name", "VARCHAR", arrow.BinaryTypes.String, false},
		{"price", "DECIMAL(10,2)", &arrow.Decimal128Type{Precision: 10, Scale: 2}, true},
	}
	for i, w := range want {
		f := schema.Field(i)
		md := client.ColumnMetadata{Data: &f.Metadata}
		typeName, _ := md.TypeName()
		if f.Name != w.name || typeName != w.typeName || !arrow.TypeEqual(f.Type, w.typ) || f.Nullable != w.nullable {
			t.Errorf("column %d is %v, want %v", i, f, w)
		}
	}
	name, price := schema.Field(1), schema.Field(2)
	for field, counted := range map[*arrow.Field]bool{p(schema.Field(0)): true, &name: false} {
		if auto, _ := (&client.ColumnMetadata{Data: &field.Metadata}).IsAutoIncrement(); auto != counted {
			t.Errorf("%s counts up by itself: %v", field.Name, auto)
		}
	}
	if remarks, _ := (&client.ColumnMetadata{Data: &name.Metadata}).Remarks(); remarks != "what it is called" {
		t.Errorf("remarks %q", remarks)
	}
	if scale, _ := (&client.ColumnMetadata{Data: &price.Metadata}).Scale(); scale != 2 {
		t.Errorf("scale %d", scale)
	}
}

func TestKeys(t *testing.T) {
	cl := catalogClient(t)
	fetched := func(info *flight.FlightInfo, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return fetch(t, cl, info)
	}
	equal(t, fetched(cl.GetPrimaryKeys(t.Context(), client.TableRef{Table: "child_2"})),
		"hyprstream|other|child_2|a|1|child_2_a_b_pkey\nhyprstream|other|child_2|b|2|child_2_a_b_pkey")
	key := "hyprstream|main|parent|id|hyprstream|main|child|parent_id|1|child_parent_id_id_fkey|parent_id_pkey|3|3"
	equal(t, fetched(cl.GetImportedKeys(t.Context(), client.TableRef{Table: "child"})), key)
	equal(t, fetched(cl.GetExportedKeys(t.Context(), client.TableRef{Table: "parent"})), key)
	equal(t, fetched(cl.GetExportedKeys(t.Context(), client.TableRef{Table: "child"})), "")
	equal(t, fetched(cl.GetCrossReference(t.Context(), client.TableRef{Table: "parent"}, client.TableRef{Table: "child"})), key)
}

func TestServerInfo(t *testing.T) {
	cl := catalogClient(t)
	info, err := cl.GetSqlInfo(t.Context(), []client.SqlInfo{
		client.SqlInfoFlightSqlServerName, client.SqlInfoFlightSqlServerVersion,
		client.SqlInfoFlightSqlServerTransaction, client.SqlInfoFlightSqlServerCancel, client.SqlInfo(99999),
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, fetch(t, cl, info), "0|[0,\"hyprstream\"]\n1|[0,\"1.2.3\"]\n8|[3,1]\n9|[1,true]")
	// Every largest size has its answer, 0 where there is none: JDBC's driver fails where one is missing.
	if info, err = cl.GetSqlInfo(t.Context(), []client.SqlInfo{client.SqlInfoMaxColumnsInTable, client.SqlInfoMaxRowSizeIncludesBlobs, client.SqlInfoSupportsConvert}); err != nil {
		t.Fatal(err)
	}
	equal(t, fetch(t, cl, info), "548|[2,0]\n556|[1,true]\n517|[5,[]]")
	if info, err = cl.GetSqlInfo(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Split(fetch(t, cl, info), "\n")); n < 60 {
		t.Fatalf("only %d facts", n)
	}
	if info, err = cl.GetXdbcTypeInfo(t.Context(), p(int32(12))); err != nil { // VARCHAR
		t.Fatal(err)
	}
	if n := len(strings.Split(fetch(t, cl, info), "\n")); n != 10 {
		t.Fatalf("%d types are VARCHAR to XDBC, want VARCHAR and the 9 that leave as text", n)
	}
	if info, err = cl.GetTableTypes(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, fetch(t, cl, info), "LOCAL TEMPORARY\nTABLE\nVIEW")
}
