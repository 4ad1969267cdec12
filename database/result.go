package database

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	m "github.com/duckdb/duckdb-go-bindings"
)

// Result is a statement's rows as record batches, while DuckDB makes them, and
// the count of rows it changed. It holds its session until the last batch was
// read, an error came or Close is called; batches already handed out stay valid
// as long as they are retained. It is an array.RecordReader. One goroutine reads
// it; Close may come from another.
type Result struct {
	s   *Session
	ctx context.Context // of the statement, as long as it runs
	sql string
	id  string

	refs atomic.Int64

	mu      sync.Mutex // guards the fields below; held during a fetch
	res     m.Result
	opt     m.ArrowOptions
	raw     *arrow.Schema // as DuckDB exports it
	schema  *arrow.Schema // as clients see it
	slices  []arrow.RecordBatch
	cur     arrow.RecordBatch
	again   func() (bool, error) // starts the next execution, for several parameter rows
	keep    func()               // releases what again needs
	err     error
	changed int64
	over    bool // this execution has no more rows, or an error
	ahead   int  // rows that the next batch may have: few at first, which leave at once
	most    int  // that ahead grows to
	ended   bool // nothing more to fetch
	holding bool // the session's turn belongs to this result
}

var _ array.RecordReader = (*Result)(nil)

// opened takes in a result DuckDB has begun.
func (r *Result) opened() error {
	m.DestroyArrowOptions(&r.opt)
	r.opt = m.ResultGetArrowOptions(&r.res)
	var cols columns
	defer cols.destroy()
	for i := m.IdxT(0); i < m.ColumnCount(&r.res); i++ {
		cols.add(m.ColumnName(&r.res, i), m.ColumnLogicalType(&r.res, i))
	}
	if m.ResultReturnType(r.res) == m.ResultTypeChangedRows {
		r.changed += int64(m.RowsChanged(&r.res))
	}
	if !isQuery(m.ResultStatementType(r.res), cols, r.sql) {
		r.schema, r.ended = arrow.NewSchema(nil, nil), true
		return nil
	}
	raw, err := cols.schema(r.opt)
	if err != nil {
		return err
	}
	r.raw, r.over = raw, false
	r.ahead, r.most = int(m.VectorSize()), maxBatchRows
	if r.s.buffer == bufferForModels {
		r.most = 1 // what there is leaves
	}
	if r.schema == nil {
		r.schema = plainSchema(raw)
	}
	return nil
}

// adopt gives the session's turn to the result. What has no rows to fetch gives
// it back at once.
func (r *Result) adopt() {
	r.refs.Store(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holding = true
	r.s.mu.Lock()
	r.s.open, r.id = r, r.s.query.used.Query
	done := r.s.done
	r.s.mu.Unlock()
	switch {
	case done:
		r.fail(errSessionClosed)
	case r.ended:
		r.giveBack()
	}
}

// Schema of the batches; without fields where the statement gives no rows.
func (r *Result) Schema() *arrow.Schema { return r.schema }

// RowsAffected is the number of rows the statement changed, 0 for a query.
func (r *Result) RowsAffected() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// QueryID names the statement in ai.queries and ai.usage.
func (r *Result) QueryID() string { return r.id }

// Err is what ended the rows early, nil at their proper end.
func (r *Result) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// RecordBatch is the batch of the last Next; it is valid until the next one
// unless it is retained.
func (r *Result) RecordBatch() arrow.RecordBatch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cur
}

// Record is RecordBatch under its old name, which array.RecordReader asks for.
func (r *Result) Record() arrow.RecordBatch { return r.RecordBatch() }

// Retain adds an owner.
func (r *Result) Retain() { r.refs.Add(1) }

// Release takes an owner away; the last one closes the result.
func (r *Result) Release() {
	if r.refs.Add(-1) == 0 {
		r.Close()
	}
}

// Next waits for a batch with at least one row. It returns as soon as DuckDB has
// rows, and fills the batch up only with what comes without a wait.
func (r *Result) Next() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop()
	for len(r.slices) == 0 {
		if r.ended {
			return false
		}
		if err := r.fetch(); err != nil {
			r.fail(err)
			return false
		}
	}
	r.cur, r.slices = r.slices[0], r.slices[1:]
	return true
}

// fetch gets a batch into r.slices, or ends the rows. Called with mu held.
func (r *Result) fetch() error {
	if err := stopped(r.ctx); err != nil {
		return err
	}
	if r.over {
		r.over = false
		return r.exhausted()
	}
	var rec arrow.RecordBatch
	var err error
	r.s.during(r.ctx, func() { rec, r.over, err = fetchBatch(&r.res, r.opt, r.raw, r.ahead) })
	if rec == nil || err != nil {
		return err
	}
	r.ahead = min(2*r.ahead, r.most)
	if rec, err = plainBatch(rec, r.schema); err != nil {
		return err
	}
	r.slices = slicesOf(rec)
	return nil
}

// exhausted handles DuckDB's end of rows, which is how it also reports an error
// that came late.
func (r *Result) exhausted() error {
	if msg := m.ResultError(&r.res); msg != "" {
		if err := stopped(r.ctx); err != nil {
			return err
		}
		return translate(m.ResultErrorType(&r.res), msg)
	}
	if r.again != nil {
		m.DestroyResult(&r.res)
		more, err := r.again()
		if err != nil || more {
			return err
		}
	}
	r.ended = true
	r.giveBack()
	return nil
}

func (r *Result) fail(err error) {
	r.err, r.ended = err, true
	r.giveBack()
}

// drop releases the batch that was handed out last.
func (r *Result) drop() {
	if r.cur != nil {
		r.cur.Release()
		r.cur = nil
	}
}

// Close stops the statement if it still runs and gives the session back.
func (r *Result) Close() {
	r.s.mu.Lock()
	if r.s.open == r && r.s.cancel != nil {
		r.s.cancel(errInterrupted) // wakes a Next that waits
	}
	r.s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop()
	for _, b := range r.slices {
		b.Release()
	}
	r.slices, r.ended = nil, true
	r.giveBack()
}

// drain reads the rest away and frees the result without giving the turn back:
// the statements before the last of several.
func (r *Result) drain() error {
	for r.Next() {
	}
	err := r.Err()
	r.Close()
	return err
}

// giveBack frees DuckDB's side and ends the session's turn, once.
func (r *Result) giveBack() {
	r.free()
	if r.holding {
		r.holding = false
		r.s.end(r.err)
	}
}

// free destroys what DuckDB holds.
func (r *Result) free() {
	m.DestroyResult(&r.res)
	m.DestroyArrowOptions(&r.opt)
	if r.keep != nil {
		r.keep()
		r.keep = nil
	}
}
