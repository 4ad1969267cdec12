package database

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/errs"
)

// people are n rows of (id BIGINT, name VARCHAR, tags VARCHAR[]).
func people(t *testing.T, n int) array.RecordReader {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "tags", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		if i%3 == 0 {
			b.Field(1).AppendNull()
			b.Field(2).AppendNull()
			continue
		}
		b.Field(1).(*array.StringBuilder).Append("a long enough name of a person")
		l := b.Field(2).(*array.ListBuilder)
		l.Append(true)
		l.ValueBuilder().(*array.StringBuilder).Append("x")
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	r, err := array.NewRecordReader(schema, []arrow.RecordBatch{rec, rec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Release)
	return r
}

func TestIngest(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE TABLE wide(name VARCHAR, extra INT DEFAULT 7, id SMALLINT, tags VARCHAR[])")
	for _, c := range []struct {
		opt  IngestOptions
		code errs.Code
		want string // count, sum of ids
	}{
		{IngestOptions{Table: "p", Mode: IngestAppend}, errs.NotFound, ""},
		{IngestOptions{Table: "p"}, "", "10000|24995000"},
		{IngestOptions{Table: "p", Mode: IngestCreate}, errs.AlreadyExists, ""},
		{IngestOptions{Table: "p", Mode: IngestAppend}, "", "20000|49990000"},
		{IngestOptions{Table: "p", Mode: IngestReplace}, "", "10000|24995000"},
		{IngestOptions{Table: "q", Mode: IngestCreateAppend, Schema: "main"}, "", "10000|24995000"},
		{IngestOptions{Table: "tmp p", Temporary: true}, "", "10000|24995000"},
		{IngestOptions{Table: "wide", Mode: IngestAppend}, "", "10000|24995000"},
		{IngestOptions{Table: "x", Mode: "upsert"}, errs.InvalidArgument, ""},
	} {
		n, err := s.Ingest(t.Context(), c.opt, people(t, 5000))
		if errs.CodeOf(err) != c.code || err == nil && n != 10000 {
			t.Errorf("%+v: %d %v", c.opt, n, err)
			continue
		}
		if err != nil {
			continue
		}
		if got := sql(t, s, "SELECT count(*), sum(id)::BIGINT FROM "+quote(c.opt.Table)); got != c.want {
			t.Errorf("%+v: %s", c.opt, got)
		}
	}
	if got := sql(t, s, "SELECT DISTINCT extra FROM wide"); got != "7" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT name, tags FROM p WHERE id IN (3,4) GROUP BY ALL ORDER BY ALL"); got != `a long enough name of a person|["x"]`+"\n(null)|(null)" {
		t.Error(got)
	}
}

// A failing batch leaves nothing behind, and a client's transaction stays the client's.
func TestIngestIsAtomic(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE TABLE p(id BIGINT PRIMARY KEY, name VARCHAR, tags VARCHAR[])")
	if _, err := s.Ingest(t.Context(), IngestOptions{Table: "p", Mode: IngestAppend}, people(t, 100)); errs.CodeOf(err) != errs.InvalidArgument {
		t.Error(err)
	}
	if got := sql(t, s, "SELECT count(*) FROM p"); got != "0" {
		t.Error(got)
	}
	sql(t, s, "BEGIN")
	if _, err := s.Ingest(t.Context(), IngestOptions{Table: "q"}, people(t, 10)); err != nil {
		t.Error(err)
	}
	sql(t, s, "ROLLBACK")
	if _, err := s.Query(t.Context(), "SELECT * FROM q"); errs.CodeOf(err) != errs.NotFound {
		t.Error(err)
	}
}
