package flightsql_test

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/flightsql"
)

// Every metadata command promises and sends the schema that the protocol gives
// it, to the nullability, and nothing NULL where that says never.
func TestMetadataSchemas(t *testing.T) {
	cl := catalogClient(t)
	parent, child := client.TableRef{Table: "parent"}, client.TableRef{Table: "child"}
	ctx := t.Context()
	info := func(i *flight.FlightInfo, err error) *flight.FlightInfo {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	for name, c := range map[string]struct {
		info *flight.FlightInfo
		want *arrow.Schema
	}{
		"catalogs":      {info(cl.GetCatalogs(ctx)), schema_ref.Catalogs},
		"schemas":       {info(cl.GetDBSchemas(ctx, &client.GetDBSchemasOpts{})), schema_ref.DBSchemas},
		"tables":        {info(cl.GetTables(ctx, &client.GetTablesOpts{})), schema_ref.Tables},
		"with schemas":  {info(cl.GetTables(ctx, &client.GetTablesOpts{IncludeSchema: true})), schema_ref.TablesWithIncludedSchema},
		"table types":   {info(cl.GetTableTypes(ctx)), schema_ref.TableTypes},
		"primary keys":  {info(cl.GetPrimaryKeys(ctx, parent)), schema_ref.PrimaryKeys},
		"imported keys": {info(cl.GetImportedKeys(ctx, child)), schema_ref.ImportedKeys},
		"exported keys": {info(cl.GetExportedKeys(ctx, parent)), schema_ref.ExportedKeys},
		"cross":         {info(cl.GetCrossReference(ctx, parent, child)), schema_ref.CrossReference},
		"sql info":      {info(cl.GetSqlInfo(ctx, nil)), schema_ref.SqlInfo},
		"types":         {info(cl.GetXdbcTypeInfo(ctx, nil)), schema_ref.XdbcTypeInfo},
	} {
		t.Run(name, func(t *testing.T) {
			promised, err := flight.DeserializeSchema(c.info.Schema, memory.DefaultAllocator)
			if err != nil {
				t.Fatal(err)
			}
			rd, err := cl.DoGet(t.Context(), c.info.Endpoint[0].Ticket)
			if err != nil {
				t.Fatal(err)
			}
			defer rd.Release()
			if !promised.Equal(c.want) || !rd.Schema().Equal(c.want) {
				t.Errorf("promised\n%s\nsent\n%s\nwant\n%s", promised, rd.Schema(), c.want)
			}
			rows := 0
			for rd.Next() {
				rec := rd.RecordBatch()
				rows += int(rec.NumRows())
				for i, f := range c.want.Fields() {
					if !f.Nullable && rec.Column(i).NullN() > 0 {
						t.Errorf("column %s has a NULL", f.Name)
					}
				}
			}
			if rd.Err() != nil || rows == 0 {
				t.Fatal(rows, "rows", rd.Err())
			}
		})
	}
}

// A pattern's \ escapes; at its end it is itself. Names are not taken apart,
// whatever is in them.
func TestOddNames(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	update(t, cl, `CREATE SCHEMA "s_1"; CREATE SCHEMA "sx1";
		CREATE TABLE "s_1"."a%b" ("select" INTEGER PRIMARY KEY, "with ""quotes""" VARCHAR);
		CREATE TABLE "s_1"."a_b" (x INTEGER);
		CREATE TABLE "s_1"."back\slash\" (x INTEGER, PRIMARY KEY (x));
		CREATE TABLE "sx1"."o'clock; -- ""é""" ("é'" INTEGER REFERENCES "sx1"."o'clock; -- ""é""" ("é'"), UNIQUE ("é'"))`)
	for _, c := range []struct{ schema, table, want string }{
		{`s\_1`, `a\%b`, `a%b`},
		{`s\_1`, `a\_b`, `a_b`},
		{`s\_1`, `a_b`, "a%b\na_b"},
		{`s_1`, `%`, "a%b\na_b\nback\\slash\\\no'clock; -- \"é\""},
		{`%`, `back\\slash\\`, `back\slash\`},
		{`%`, `%\`, `back\slash\`}, // escapes nothing
		{`%`, `%\\\`, ``},
		{`%`, `o'clock; -- "é"`, `o'clock; -- "é"`},
		{`%`, `' OR true --`, ``},
	} {
		info, err := cl.GetTables(t.Context(), &client.GetTablesOpts{DbSchemaFilterPattern: &c.schema, TableNameFilterPattern: &c.table})
		if err != nil {
			t.Fatal(c, err)
		}
		var names []string
		for line := range strings.Lines(fetch(t, cl, info)) {
			names = append(names, strings.Split(strings.TrimSpace(line), "|")[2])
		}
		if have := strings.Join(names, "\n"); have != c.want {
			t.Errorf("%q.%q gives\n%s\nwant\n%s", c.schema, c.table, have, c.want)
		}
	}
	info, err := cl.GetTables(t.Context(), &client.GetTablesOpts{TableNameFilterPattern: p(`a\%b`), IncludeSchema: true})
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
	if schema.NumFields() != 2 || schema.Field(0).Name != "select" || schema.Field(1).Name != `with "quotes"` {
		t.Fatal(schema)
	}
	if info, err = cl.GetPrimaryKeys(t.Context(), client.TableRef{Table: `back\slash\`}); err != nil {
		t.Fatal(err)
	}
	if have := fetch(t, cl, info); !strings.HasPrefix(have, `hyprstream|s_1|back\slash\|x|1|`) {
		t.Fatal(have)
	}
	if info, err = cl.GetImportedKeys(t.Context(), client.TableRef{Table: `o'clock; -- "é"`}); err != nil {
		t.Fatal(err)
	}
	if have := fetch(t, cl, info); !strings.HasPrefix(have, `hyprstream|sx1|o'clock; -- "é"|é'|hyprstream|sx1|o'clock; -- "é"|é'|1|`) {
		t.Fatal(have)
	}
}

// Columns of composite keys come in the key's order, key by key, one key's rows
// together: not by their names.
func TestCompositeKeys(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	update(t, cl, `CREATE TABLE pk (z INTEGER, a INTEGER, u INTEGER, PRIMARY KEY (z, a), UNIQUE (u), UNIQUE (a, u));
		CREATE TABLE fk (id INTEGER PRIMARY KEY, one INTEGER, two INTEGER, three INTEGER, up INTEGER REFERENCES fk (id),
			FOREIGN KEY (two, one) REFERENCES pk (z, a), FOREIGN KEY (three) REFERENCES pk (u));
		CREATE TABLE fk0 (m INTEGER, n INTEGER, FOREIGN KEY (m, n) REFERENCES pk (z, a))`)
	keys := func(info *flight.FlightInfo, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(fetch(t, cl, info), "\n")
		for i, line := range lines { // pk table, pk column, fk table, fk column, sequence, primary key
			if c := strings.Split(line, "|"); len(c) == 13 {
				lines[i] = strings.Join([]string{c[2], c[3], c[6], c[7], c[8], c[10]}, "|")
			}
		}
		return strings.Join(lines, "\n")
	}
	ctx := t.Context()
	equal(t, keys(cl.GetPrimaryKeys(ctx, client.TableRef{Table: "pk"})),
		"hyprstream|main|pk|z|1|pk_z_a_pkey\nhyprstream|main|pk|a|2|pk_z_a_pkey")
	self := "fk|id|fk|up|1|fk_id_pkey"
	equal(t, keys(cl.GetImportedKeys(ctx, client.TableRef{Table: "fk"})), self+
		"\npk|u|fk|three|1|pk_u_key\npk|z|fk|two|1|pk_z_a_pkey\npk|a|fk|one|2|pk_z_a_pkey")
	equal(t, keys(cl.GetExportedKeys(ctx, client.TableRef{Table: "pk"})),
		"pk|u|fk|three|1|pk_u_key\npk|z|fk|two|1|pk_z_a_pkey\npk|a|fk|one|2|pk_z_a_pkey"+
			"\npk|z|fk0|m|1|pk_z_a_pkey\npk|a|fk0|n|2|pk_z_a_pkey")
	equal(t, keys(cl.GetCrossReference(ctx, client.TableRef{Table: "pk"}, client.TableRef{Table: "fk0"})),
		"pk|z|fk0|m|1|pk_z_a_pkey\npk|a|fk0|n|2|pk_z_a_pkey")
	equal(t, keys(cl.GetCrossReference(ctx, client.TableRef{Table: "fk"}, client.TableRef{Table: "fk"})), self)
	equal(t, keys(cl.GetCrossReference(ctx, client.TableRef{Table: "fk"}, client.TableRef{Table: "pk"})), "")
	equal(t, keys(cl.GetPrimaryKeys(ctx, client.TableRef{Catalog: p("elsewhere"), Table: "pk"})), "")
}
