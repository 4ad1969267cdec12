package flightsql

import (
	"context"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"hyprstream/database"
	"hyprstream/errs"
)

// plan is a statement that was prepared and described, but not run. A prepared
// statement handle and the tickets made from it share one.
type plan struct {
	session *session
	sql     string
	lazy    bool          // may wait for DoGet: it changes nothing
	query   bool          // gives rows
	schema  *arrow.Schema // nil while it depends on parameters
	params  *arrow.Schema

	mu   sync.Mutex
	refs int
	stmt *database.Stmt // on the session's own connection; nil when prepared on a sibling
}

// newPlan prepares sql. The caller releases the plan.
func newPlan(ctx context.Context, s *session, sql string, n need) (*plan, error) {
	l, err := s.acquire(ctx, n)
	if err != nil {
		return nil, err
	}
	defer l.release()
	stmt, err := l.sql.Prepare(ctx, sql)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	p := &plan{
		session: s, sql: sql, refs: 1,
		query: stmt.IsQuery(), lazy: stmt.IsQuery() && readsOnly(sql),
		schema: stmt.Schema(), params: stmt.ParameterSchema(),
	}
	if l.own {
		p.stmt = stmt
	} else {
		stmt.Close()
	}
	return p, nil
}

func (p *plan) retain() *plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refs++
	return p
}

func (p *plan) release() {
	p.mu.Lock()
	p.refs--
	last := p.refs == 0
	p.mu.Unlock()
	if last && p.stmt != nil {
		p.stmt.Close()
	}
}

// need says where the statement can run; tx is the transaction named by the
// client, "" for none.
func (p *plan) need(tx string) (need, error) {
	return p.session.needFor(p.sql, tx)
}

// needFor checks the transaction a statement names and notes what the statement
// may leave behind in its session.
func (s *session) needFor(sql, tx string) (need, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tx != "" && tx != s.tx {
		return needOwn, errs.New(errs.NotFound, "transaction", "the transaction has ended: begin another one")
	}
	if keepsState(sql) {
		s.local = true
	}
	if tx != "" || s.local {
		return needOwn, nil
	}
	return needAny, nil
}

// execute starts the statement in the leased session. The returned function
// frees what execution needed, after the result was closed.
func (p *plan) execute(ctx context.Context, l *lease, params arrow.RecordBatch) (*database.Result, func(), error) {
	if l.own && p.stmt != nil {
		res, err := p.stmt.Execute(ctx, params)
		return res, func() {}, causeOf(ctx, err)
	}
	stmt, err := l.sql.Prepare(ctx, p.sql)
	if err != nil {
		return nil, nil, causeOf(ctx, err)
	}
	res, err := stmt.Execute(ctx, params)
	if err != nil {
		stmt.Close()
		return nil, nil, causeOf(ctx, err)
	}
	return res, stmt.Close, nil
}

// schemaWith is the result's schema when these parameters are bound.
func (p *plan) schemaWith(ctx context.Context, params arrow.RecordBatch) (*arrow.Schema, error) {
	if p.schema != nil {
		return p.schema, nil
	}
	if params == nil || params.NumCols() == 0 {
		return nil, nil // unknown until parameters are bound
	}
	l, err := p.session.acquire(ctx, needAny)
	if err != nil {
		return nil, err
	}
	defer l.release()
	stmt, err := l.sql.Prepare(ctx, p.sql)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	return stmt.SchemaWith(ctx, params)
}

// run executes the statement to its end. The caller releases the batches.
func (p *plan) run(ctx context.Context, tx string, params arrow.RecordBatch) (rows []arrow.RecordBatch, changed int64, err error) {
	ctx, cancel := p.session.bind(ctx)
	defer cancel(nil)
	n, err := p.need(tx)
	if err != nil {
		return nil, 0, err
	}
	l, err := p.session.acquire(ctx, n)
	if err != nil {
		return nil, 0, err
	}
	defer l.release()
	defer func() { err = l.reopen(ctx, p.sql, err) }()
	res, free, err := p.execute(ctx, l, params)
	if err != nil {
		return nil, 0, err
	}
	defer free()
	defer res.Close()
	rows, err = collect(res)
	if err != nil {
		return nil, 0, causeOf(ctx, err)
	}
	return rows, res.RowsAffected(), nil
}

// collect reads all batches, or none when there is an error.
func collect(rows array.RecordReader) ([]arrow.RecordBatch, error) {
	var out []arrow.RecordBatch
	for rows.Next() {
		rec := rows.RecordBatch()
		rec.Retain()
		out = append(out, rec)
	}
	if err := rows.Err(); err != nil {
		for _, rec := range out {
			rec.Release()
		}
		return nil, err
	}
	return out, nil
}
