package flightsql_test

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/codes"

	"hyprstream/flightsql"
)

// Sound data of every kind is taken, as parameters and as rows of an ingest.
func TestUploads(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	columns := columnOfEach
	columns = append(columns, struct {
		typ    arrow.DataType
		values [2]string
	}{arrow.ListOf(arrow.Null), [2]string{"[null]", "[]"}})
	for i, c := range columns {
		rec := record(t, fmt.Sprintf(`[{"x": %s}, {"x": %s}]`, c.values[0], c.values[1]), arrow.Field{Name: "x", Type: c.typ, Nullable: true})
		st, err := cl.Prepare(t.Context(), "SELECT count(*) FROM (SELECT ?) t")
		if err != nil {
			t.Fatal(err)
		}
		rec.Retain()
		st.SetParameters(rec)
		info, err := st.Execute(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", c.typ, err)
		}
		equal(t, fetch(t, cl, info), "1\n1")
		rd, err := array.NewRecordReader(rec.Schema(), []arrow.RecordBatch{rec})
		if err != nil {
			t.Fatal(err)
		}
		n, err := cl.ExecuteIngest(t.Context(), rd, &client.ExecuteIngestOpts{
			Table: fmt.Sprintf("t%d", i), TableDefinitionOptions: &client.TableDefinitionOptions{IfNotExist: client.TableDefinitionOptionsTableNotExistOptionCreate},
		})
		if err != nil || n != 2 {
			t.Errorf("%s: %d rows, %v", c.typ, n, err)
		}
	}
}

// Values that DuckDB would end the process over, or keep, are refused.
func TestUploadsOfNoValues(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	mem := memory.DefaultAllocator
	texts := array.NewStringBuilder(mem)
	texts.Append("\xff\xfe")
	times := array.NewTime64Builder(mem, arrow.FixedWidthTypes.Time64us.(*arrow.Time64Type))
	times.Append(-1)
	seconds := array.NewTime32Builder(mem, arrow.FixedWidthTypes.Time32s.(*arrow.Time32Type))
	seconds.Append(86401)
	lists := array.NewListBuilder(mem, arrow.BinaryTypes.String)
	lists.Append(true)
	lists.ValueBuilder().(*array.StringBuilder).Append("\xc3")
	for _, b := range []array.Builder{texts, times, seconds, lists} {
		col := b.NewArray()
		schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: col.DataType()}}, nil)
		st, err := cl.Prepare(t.Context(), "SELECT ?::VARCHAR")
		if err != nil {
			t.Fatal(err)
		}
		st.SetParameters(array.NewRecordBatch(schema, []arrow.Array{col}, 1))
		_, err = st.Execute(t.Context())
		wantCode(t, err, codes.InvalidArgument, "INVALID_ARGUMENT")
	}
	equal(t, query(t, cl, "SELECT 1"), "1")
}

// What is compressed is taken, unless it claims to be more than memory should hold.
func TestCompressedUploads(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	st, err := cl.Prepare(t.Context(), "SELECT sum(?::BIGINT)")
	if err != nil {
		t.Fatal(err)
	}
	for _, compress := range []ipc.Option{ipc.WithLZ4(), ipc.WithZstd()} {
		messages := uploadsOf(t, arrow.PrimitiveTypes.Int32, [2]string{"1", "2"}, compress)
		if err := uploadTo(t.Context(), t, cl, 0, st.Handle(), nil, messages); err.Error() != "EOF" {
			t.Fatal(err)
		}
		for _, m := range lies(messages[1]) {
			_ = uploadTo(t.Context(), t, cl, 0, st.Handle(), nil, append(messages[:1:1], m))
			equal(t, query(t, cl, "SELECT 1"), "1")
		}
	}
}
