package flightsql_test

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"google.golang.org/grpc/codes"

	"hyprstream/flightsql"
)

func TestIngest(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	const create, absent = client.TableDefinitionOptionsTableNotExistOptionCreate, client.TableDefinitionOptionsTableNotExistOptionFail
	const fail, add, replace = client.TableDefinitionOptionsTableExistsOptionFail, client.TableDefinitionOptionsTableExistsOptionAppend, client.TableDefinitionOptionsTableExistsOptionReplace
	ingest := func(opts *client.ExecuteIngestOpts) (int64, error) {
		opts.Table = "t"
		rec := record(t, `[{"id": 1, "name": "one"}, {"id": 2, "name": null}]`,
			arrow.Field{Name: "id", Type: arrow.PrimitiveTypes.Int64},
			arrow.Field{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true})
		rd, err := array.NewRecordReader(rec.Schema(), []arrow.RecordBatch{rec, rec})
		if err != nil {
			t.Fatal(err)
		}
		return cl.ExecuteIngest(t.Context(), rd, opts)
	}
	options := func(notExist client.TableDefinitionOptionsTableNotExistOption, exists client.TableDefinitionOptionsTableExistsOption) *client.ExecuteIngestOpts {
		return &client.ExecuteIngestOpts{TableDefinitionOptions: &client.TableDefinitionOptions{IfNotExist: notExist, IfExists: exists}}
	}
	_, err := ingest(options(absent, add))
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
	for _, c := range []struct {
		opts *client.ExecuteIngestOpts
		want string
	}{
		{options(create, fail), "4"}, {options(absent, add), "8"}, {options(create, add), "12"}, {options(create, replace), "4"},
	} {
		if n, err := ingest(c.opts); err != nil || n != 4 {
			t.Fatalf("%d rows, %v", n, err)
		}
		equal(t, query(t, cl, "SELECT count(*) FROM t"), c.want)
	}
	_, err = ingest(options(create, fail))
	wantCode(t, err, codes.AlreadyExists, "ALREADY_EXISTS")
	equal(t, query(t, cl, "SELECT DISTINCT * FROM t ORDER BY id"), "1|one\n2|(null)")

	// Into a temporary table: of this connection only, and hiding the other.
	opts := options(create, fail)
	opts.Temporary = true
	if n, err := ingest(opts); err != nil || n != 4 {
		t.Fatalf("%d rows, %v", n, err)
	}
	update(t, cl, "DELETE FROM temp.t WHERE id = 1")
	equal(t, query(t, cl, "SELECT count(*) FROM t"), "2")

	// Within a transaction that is rolled back.
	tx, err := cl.BeginTransaction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	opts = options(create, fail)
	opts.TransactionId, opts.Catalog, opts.Schema = tx.ID(), p("hyprstream"), p("main")
	opts.TableDefinitionOptions.IfExists = add
	if _, err := ingest(opts); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, query(t, cl, "SELECT count(*) FROM hyprstream.main.t"), "4")
}
