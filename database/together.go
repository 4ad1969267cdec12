package database

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/sqlfuncs/operator"
)

// together is st over all rows of parameters as one statement without parameters;
// nil where they have to be executed one by one. The caller has the turn and closes
// the statement.
func (st *Stmt) together(ctx context.Context, b *binder) *Stmt {
	chunks, err := st.s.chunksOf(b)
	defer func() {
		for i := range chunks {
			m.DestroyDataChunk(&chunks[i])
		}
	}()
	if err != nil {
		return nil // bind says which value cannot be bound
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.prep.Ptr == nil {
		return nil
	}
	all := &Stmt{s: st.s, sql: st.sql}
	var ok bool
	st.s.during(ctx, func() { all.prep, ok = operator.Together(st.s.conn, st.prep, chunks) })
	if !ok {
		return nil
	}
	if all.describe() != nil {
		all.Close()
		return nil
	}
	return all
}

// chunksOf are the parameters' rows as DuckDB has them, a column per parameter. The
// caller destroys the chunks, also with an error; they may point into b's columns.
func (s *Session) chunksOf(b *binder) (chunks []m.DataChunk, err error) {
	fields := make([]arrow.Field, len(b.cols))
	for i, c := range b.cols {
		fields[i] = arrow.Field{Name: "p", Type: c.DataType(), Nullable: true}
	}
	rec := array.NewRecordBatch(arrow.NewSchema(fields, nil), b.cols, int64(b.rows))
	defer rec.Release()
	types, err := newArrowTypes(s.conn, rec.Schema())
	if err != nil {
		return nil, err
	}
	defer types.close()
	step := int64(m.VectorSize())
	for from := int64(0); from < rec.NumRows(); from += step {
		part := rec.NewSlice(from, min(from+step, rec.NumRows()))
		chunk, err := types.chunkOf(s.conn, part)
		part.Release()
		if err != nil {
			return chunks, err
		}
		chunks = append(chunks, chunk)
	}
	return chunks, nil
}
