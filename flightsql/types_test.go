package flightsql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/flightsql"
)

// Every type leaves with the schema that was promised and values that clients can read,
// a NULL with them, and comes back: bound, loaded into a new table, and into one that has
// the very type.
func TestTypes(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			update(t, cl, "CREATE OR REPLACE TABLE source (i INTEGER, v "+k.name+")")
			for i, v := range append(k.values, value{"NULL::" + k.name, k.null}) {
				update(t, cl, fmt.Sprintf("INSERT INTO source SELECT %d, %s", i, v.literal))
			}
			texts := query(t, cl, "SELECT v::VARCHAR FROM source ORDER BY i")
			rec := k.goesOut(t, cl)
			if strings.HasPrefix(k.name, "UNION") {
				// Arrow's unions have no NULL of their own: a member's is the union's.
				texts = strings.ReplaceAll(texts, "NULL", "(null)")
			}
			k.isBound(t, cl, rec, texts)
			k.isLoaded(t, cl, rec, texts)
		})
	}
}

// goesOut checks type and values, and that the schema is the same wherever it is told.
func (k kind) goesOut(t *testing.T, cl *client.Client) arrow.RecordBatch {
	const sql = "SELECT i, v FROM source ORDER BY i"
	rec := batch(t, cl, sql)
	v := rec.Column(1)
	if got := v.DataType().String(); got != k.arrow {
		t.Errorf("Arrow type %s, want %s", got, k.arrow)
	}
	for i, want := range append(k.values, value{"NULL", k.null}) {
		if got := v.ValueStr(i); got != want.arrow {
			t.Errorf("%s: have %q, want %q", want.literal, got, want.arrow)
		}
	}
	stmt, err := cl.Prepare(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close(t.Context())
	if !stmt.DatasetSchema().Equal(rec.Schema()) {
		t.Errorf("prepared:\n%s\nsent:\n%s", stmt.DatasetSchema(), rec.Schema())
	}
	insert, err := cl.Prepare(t.Context(), "INSERT INTO source VALUES (-1, ?)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close(t.Context())
	if p := insert.ParameterSchema().Field(0).Type; !arrow.TypeEqual(p, v.DataType()) {
		t.Errorf("the parameter for the column is %s, the column %s", p, v.DataType())
	}
	return rec
}

// isBound gives the values that came as parameters.
func (k kind) isBound(t *testing.T, cl *client.Client, rec arrow.RecordBatch, texts string) {
	params := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{rec.Schema().Field(1)}, nil), rec.Columns()[1:], rec.NumRows())
	defer params.Release()
	ask := func(sql string) []arrow.RecordBatch {
		stmt, err := cl.Prepare(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		defer stmt.Close(t.Context())
		stmt.SetParameters(params)
		info, err := stmt.Execute(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return read(t, cl, info)
	}
	same := ask("SELECT ? AS v")
	equal(t, same[0].Schema().Field(0).Type.String(), rec.Column(1).DataType().String())
	equal(t, column(same...), column(params))
	equal(t, column(ask("SELECT typeof(?)")...), strings.Repeat("\n"+k.back, int(rec.NumRows()))[1:])
	equal(t, column(ask("SELECT ?::"+k.name+"::VARCHAR")...), texts)

	update(t, cl, "CREATE OR REPLACE TABLE exact (v "+k.name+")")
	insert, err := cl.Prepare(t.Context(), "INSERT INTO exact VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close(t.Context())
	insert.SetParameters(params)
	if n, err := insert.ExecuteUpdate(t.Context()); err != nil || n != rec.NumRows() {
		t.Fatalf("inserted %d rows: %v", n, err)
	}
	equal(t, query(t, cl, "SELECT v::VARCHAR FROM exact ORDER BY rowid"), texts)
}

// isLoaded loads the values that came into tables.
func (k kind) isLoaded(t *testing.T, cl *client.Client, rec arrow.RecordBatch, texts string) {
	update(t, cl, "CREATE OR REPLACE TABLE exact (v "+k.name+", i INTEGER)")
	for table, typ := range map[string]string{"made": k.back, "exact": ""} {
		if err := load(t, cl, table, rec); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		have := batch(t, cl, "SELECT v, i FROM "+table+" ORDER BY i")
		equal(t, have.Schema().Field(0).Type.String(), rec.Column(1).DataType().String())
		equal(t, column(have), query(t, cl, "SELECT v FROM source ORDER BY i"))
		equal(t, query(t, cl, "SELECT v::"+k.name+"::VARCHAR FROM "+table+" ORDER BY i"), texts)
		if typ != "" {
			equal(t, query(t, cl, "SELECT DISTINCT typeof(v) FROM "+table), typ)
		}
	}
	update(t, cl, "DROP TABLE made")
}

// load appends rec to a table, which is made when it is not there.
func load(t *testing.T, cl *client.Client, table string, rec arrow.RecordBatch) error {
	t.Helper()
	rows, err := array.NewRecordReader(rec.Schema(), []arrow.RecordBatch{rec})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Release()
	n, err := cl.ExecuteIngest(t.Context(), rows, &client.ExecuteIngestOpts{Table: table, TableDefinitionOptions: &client.TableDefinitionOptions{
		IfNotExist: client.TableDefinitionOptionsTableNotExistOptionCreate, IfExists: client.TableDefinitionOptionsTableExistsOptionAppend}})
	if err == nil && n != rec.NumRows() {
		t.Errorf("%s: %d rows are %d to the server", table, rec.NumRows(), n)
	}
	return err
}

// batch is the only batch of a statement's rows.
func batch(t *testing.T, cl *client.Client, sql string) arrow.RecordBatch {
	t.Helper()
	info, err := cl.Execute(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	all := read(t, cl, info)
	if len(all) != 1 {
		t.Fatalf("%s: %d batches", sql, len(all))
	}
	return all[0]
}

// read gets a result's batches, released with the test, after checking the promised schema.
func read(t *testing.T, cl *client.Client, info *flight.FlightInfo) (all []arrow.RecordBatch) {
	t.Helper()
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	promised, err := flight.DeserializeSchema(info.Schema, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	if !promised.Equal(rd.Schema()) {
		t.Fatalf("the FlightInfo promises\n%s\nDoGet sends\n%s", promised, rd.Schema())
	}
	for rd.Next() {
		rec := rd.RecordBatch()
		rec.Retain()
		t.Cleanup(rec.Release)
		all = append(all, rec)
	}
	if rd.Err() != nil || len(all) == 0 {
		t.Fatalf("%d batches, error %v", len(all), rd.Err())
	}
	return all
}

// column is the first column, a line for each value.
func column(batches ...arrow.RecordBatch) string {
	var lines []string
	for _, rec := range batches {
		for i := range int(rec.NumRows()) {
			lines = append(lines, rec.Column(0).ValueStr(i))
		}
	}
	return strings.Join(lines, "\n")
}
