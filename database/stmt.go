package database

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
	"hyprstream/sqlfuncs/operator"
)

// Stmt is a prepared statement of a Session.
type Stmt struct {
	s      *Session
	sql    string
	params *arrow.Schema
	schema *arrow.Schema // nil: known only once the parameters are
	query  bool

	mu   sync.Mutex // guards prep against Close during Execute
	prep m.PreparedStatement
}

// Prepare parses and binds a single statement. It never runs it, but reads the
// values of a PIVOT that does not list them: they are its columns.
func (s *Session) Prepare(ctx context.Context, sql string) (*Stmt, error) {
	run, err := s.begin(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer s.end(nil)
	ex, n, err := s.extract(sql)
	if err != nil {
		return nil, err
	}
	defer m.DestroyExtracted(&ex)
	first := m.IdxT(0)
	if n > 1 && pivot.MatchString(sql) && !strings.Contains(trimStatement(sql), ";") {
		for ; n > 1; n-- { // DuckDB makes it of an ENUM with the values, and a SELECT
			if err := s.runPart(run, ex, first, sql); err != nil {
				return nil, err
			}
			first++
		}
	}
	if n != 1 {
		return nil, errs.New(errs.InvalidArgument, "prepare", "%d statements were given where one can be prepared: send them one by one", n)
	}
	return s.prepare(run, ex, first, sql)
}

var pivot = regexp.MustCompile(`(?i)\bpivot(_wider)?\b`)

// runPart runs statement i of ex for its effect; the caller has the turn.
func (s *Session) runPart(ctx context.Context, ex m.ExtractedStatements, i m.IdxT, sql string) error {
	r, err := s.runOne(ctx, ex, i, sql, nil)
	if err != nil {
		return err
	}
	return r.drain()
}

// extract splits sql into statements. The caller destroys the result.
func (s *Session) extract(sql string) (m.ExtractedStatements, m.IdxT, error) {
	var ex m.ExtractedStatements
	if strings.ContainsRune(sql, 0) {
		return ex, 0, errs.New(errs.Syntax, "prepare", "the statement has a NUL character in it")
	}
	n := m.ExtractStatements(s.conn, sql, &ex)
	if n > 0 {
		return ex, n, nil
	}
	defer m.DestroyExtracted(&ex)
	if msg := m.ExtractStatementsError(ex); msg != "" {
		return ex, 0, translateText(msg)
	}
	return ex, 0, errs.New(errs.Syntax, "prepare", "the statement is empty")
}

// prepare prepares statement i of ex; the caller has the turn.
func (s *Session) prepare(ctx context.Context, ex m.ExtractedStatements, i m.IdxT, sql string) (*Stmt, error) {
	st := &Stmt{s: s, sql: sql}
	defer s.packing(sql)()
	var state m.State
	s.during(ctx, func() { state = m.PrepareExtractedStatement(s.conn, ex, i, &st.prep) })
	if state != m.StateSuccess {
		defer m.DestroyPrepare(&st.prep)
		if err := stopped(ctx); err != nil {
			return nil, err
		}
		return nil, prepareError(sql, m.PrepareError(st.prep))
	}
	if err := st.describe(); err != nil {
		m.DestroyPrepare(&st.prep)
		return nil, err
	}
	return st, nil
}

// describe fills in the schemas DuckDB knows after binding.
func (st *Stmt) describe() error {
	var opt m.ArrowOptions
	m.ConnectionGetArrowOptions(st.s.conn, &opt)
	defer m.DestroyArrowOptions(&opt)

	var cols columns
	defer cols.destroy()
	for i := m.IdxT(0); i < m.PreparedStatementColumnCount(st.prep); i++ {
		cols.add(m.PreparedStatementColumnName(st.prep, i), m.PreparedStatementColumnLogicalType(st.prep, i))
	}
	st.query = isQuery(m.PreparedStatementType(st.prep), cols, st.sql)
	var err error
	switch {
	case !st.query:
		st.schema = arrow.NewSchema(nil, nil)
	case !cols.unresolved():
		if st.schema, err = st.s.schema(cols, opt); err != nil {
			return err
		}
	}

	var params columns
	defer params.destroy()
	for i := m.IdxT(1); i <= m.NParams(st.prep); i++ {
		t := m.ParamLogicalType(st.prep, i)
		if t.Ptr == nil || m.GetTypeId(t) == m.TypeInvalid || m.GetTypeId(t) == m.TypeAny {
			m.DestroyLogicalType(&t)
			t = m.CreateLogicalType(m.TypeSQLNull) // any type may be bound
		}
		params.add(m.ParameterName(st.prep, i), t)
	}
	if st.params, err = st.s.schema(params, opt); err != nil {
		return err
	}
	if st.s.opt.Java {
		st.params = inMilliseconds(st.params)
	}
	return nil
}

// columns are names and types as DuckDB has them.
type columns struct {
	names []string
	types []m.LogicalType
}

func (c *columns) add(name string, t m.LogicalType) {
	c.names, c.types = append(c.names, name), append(c.types, t)
}

func (c *columns) destroy() {
	for i := range c.types {
		m.DestroyLogicalType(&c.types[i])
	}
}

// unresolved says that a type depends on a parameter not bound yet.
func (c *columns) unresolved() bool {
	for _, t := range c.types {
		if id := m.GetTypeId(t); id == m.TypeInvalid || id == m.TypeAny {
			return true
		}
	}
	return len(c.types) == 0
}

// schema is what the client sees of columns.
func (s *Session) schema(c columns, opt m.ArrowOptions) (*arrow.Schema, error) {
	plain := s.plain(c.types)
	defer plain.destroy()
	return schemaOf(opt, plain.types, c.names)
}

func (c *columns) only(name string, t m.Type) bool {
	return len(c.names) == 1 && c.names[0] == name && m.GetTypeId(c.types[0]) == t
}

var returning = regexp.MustCompile(`(?i)\breturning\b`)

// isQuery says whether a statement's columns are rows for the client rather than
// DuckDB's note of success or of a count. It is asked at prepare and after
// execution, so that both give the client the same schema.
func isQuery(t m.StatementType, c columns, sql string) bool {
	switch t {
	case m.StatementTypeSelect, m.StatementTypeExplain, m.StatementTypeCall, m.StatementTypeExecute, m.StatementTypeRelation:
		return !(t != m.StatementTypeSelect && c.only("Success", m.TypeBoolean))
	case m.StatementTypeInsert, m.StatementTypeUpdate, m.StatementTypeDelete, m.StatementTypeMergeInto:
		return !c.only("Count", m.TypeBigInt) || returning.MatchString(sql)
	}
	return !c.only("Success", m.TypeBoolean) && !c.only("Count", m.TypeBigInt) && len(c.names) > 0
}

// ParameterSchema has a field per parameter: its name ("1", "2" … for positional
// ones) and type, Arrow null where any type may be bound.
func (st *Stmt) ParameterSchema() *arrow.Schema { return st.params }

// Schema is the schema of the result: without fields for a statement that gives
// no rows, nil where it depends on parameters not yet bound (see SchemaWith).
func (st *Stmt) Schema() *arrow.Schema { return st.schema }

// IsQuery says whether executing gives rows (also INSERT … RETURNING).
func (st *Stmt) IsQuery() bool { return st.query }

// SQL is the text that was prepared.
func (st *Stmt) SQL() string { return st.sql }

// SchemaWith is Schema for a result that depends on its parameters: it binds
// the first row of params and asks DuckDB without computing rows.
func (st *Stmt) SchemaWith(ctx context.Context, params arrow.RecordBatch) (*arrow.Schema, error) {
	if st.schema != nil {
		return st.schema, nil
	}
	probe, err := st.s.Prepare(ctx, "SELECT * FROM ("+trimStatement(st.sql)+"\n) LIMIT 0")
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	if params != nil && params.NumRows() > 1 {
		params = params.NewSlice(0, 1)
		defer params.Release()
	}
	r, err := probe.Execute(ctx, params)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.Schema(), nil
}

// Execute runs the statement for each row of params, or once where params is nil
// (then the statement must have no parameters). The rows of each follow each other
// in one Result; counts are summed, and changes of several rows are one transaction.
// Where it can it is one statement over all rows: then they are one batch for the
// model. ctx bounds the statement until its Result is closed.
func (st *Stmt) Execute(ctx context.Context, params arrow.RecordBatch) (*Result, error) {
	run, err := st.s.begin(ctx, st.sql)
	if err != nil {
		return nil, err
	}
	r, err := st.execute(run, params)
	if err != nil {
		st.s.end(err)
		return nil, err
	}
	r.adopt()
	return r, nil
}

// execute does it; the caller has the turn and lets the Result adopt it.
func (st *Stmt) execute(ctx context.Context, params arrow.RecordBatch) (*Result, error) {
	b, err := st.binder(params)
	if err != nil {
		return nil, err
	}
	if b.rows > 1 {
		if all := st.together(ctx, b); all != nil {
			defer all.Close()
			return all.execute(ctx, nil)
		}
		if !st.query {
			return st.executeEach(ctx, b)
		}
	}
	if b.rows == 0 {
		return st.noRows(ctx), nil
	}
	r := &Result{s: st.s, ctx: ctx, sql: st.sql}
	if b.rows > 1 {
		params.Retain()
		r.keep = params.Release
		row := 0
		r.again = func() (bool, error) {
			if row++; row >= b.rows {
				return false, nil
			}
			return true, st.start(ctx, r, b, row)
		}
	}
	if err := st.start(ctx, r, b, 0); err != nil {
		r.free()
		return nil, err
	}
	return r, nil
}

// noRows is the result of executing with a parameter batch without rows.
func (st *Stmt) noRows(ctx context.Context) *Result {
	r := &Result{s: st.s, ctx: ctx, sql: st.sql, schema: st.schema, ended: true}
	if r.schema == nil {
		r.schema = arrow.NewSchema(nil, nil)
	}
	return r
}

// start binds a row and begins execution into r.
func (st *Stmt) start(ctx context.Context, r *Result, b *binder, row int) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.prep.Ptr == nil {
		return errs.New(errs.NotFound, "execute", "the prepared statement is closed: prepare it again")
	}
	if err := b.bind(st.prep, row); err != nil {
		return err
	}
	operator.Buffer(st.s.conn, st.prep, bufferFor(st))
	defer st.s.packing(st.sql)()
	var state m.State
	st.s.during(ctx, func() { state = m.ExecutePreparedStreaming(st.prep, &r.res) })
	if state != m.StateSuccess {
		err := stopped(ctx)
		if err == nil {
			err = translate(m.ResultErrorType(&r.res), m.ResultError(&r.res))
		}
		m.DestroyResult(&r.res)
		return err
	}
	return r.opened()
}

// executeEach runs a statement that changes rows once per parameter row, all or
// nothing, and sums the counts.
func (st *Stmt) executeEach(ctx context.Context, b *binder) (*Result, error) {
	var total int64
	err := st.s.atomically(func() error {
		for row := range b.rows {
			r := &Result{s: st.s, ctx: ctx, sql: st.sql}
			err := st.start(ctx, r, b, row)
			total += r.changed
			r.free()
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := st.noRows(ctx)
	r.changed = total
	return r, nil
}

// Close frees the statement. Results that are open stay valid.
func (st *Stmt) Close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	m.DestroyPrepare(&st.prep)
}

// Query runs one or more statements and returns the last one's result; args bind
// the parameters "1", "2" … of a single statement. ctx bounds the statement
// until its Result is closed.
func (s *Session) Query(ctx context.Context, sql string, args ...any) (*Result, error) {
	run, err := s.begin(ctx, sql)
	if err != nil {
		return nil, err
	}
	r, err := s.run(run, sql, args)
	if err != nil {
		s.end(err)
		return nil, err
	}
	r.adopt()
	return r, nil
}

func (s *Session) run(ctx context.Context, sql string, args []any) (*Result, error) {
	ex, n, err := s.extract(sql)
	if err != nil {
		return nil, err
	}
	defer m.DestroyExtracted(&ex)
	if n > 1 && len(args) > 0 {
		return nil, errs.New(errs.InvalidArgument, "query", "%d statements cannot share parameters: send them one by one", n)
	}
	params, err := batchOfArgs(args)
	if err != nil {
		return nil, err
	}
	if params != nil {
		defer params.Release()
	}
	var last *Result
	for i := range n {
		if last != nil {
			if err := last.drain(); err != nil {
				return nil, err
			}
		}
		if last, err = s.runOne(ctx, ex, i, sql, params); err != nil {
			return nil, err
		}
	}
	return last, nil
}

func (s *Session) runOne(ctx context.Context, ex m.ExtractedStatements, i m.IdxT, sql string, params arrow.RecordBatch) (*Result, error) {
	st, err := s.prepare(ctx, ex, i, sql)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return st.execute(ctx, params)
}

// Exec runs statements for their effect and returns the last one's count.
func (s *Session) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	r, err := s.Query(ctx, sql, args...)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for r.Next() {
	}
	return r.RowsAffected(), r.Err()
}

// trimStatement takes trailing blanks and semicolons off.
func trimStatement(sql string) string {
	for len(sql) > 0 {
		switch sql[len(sql)-1] {
		case ' ', '\t', '\r', '\n', ';':
			sql = sql[:len(sql)-1]
		default:
			return sql
		}
	}
	return sql
}

// ordinal is the number a positional parameter is named by, 0 for a named one.
func ordinal(name string) int {
	n, err := strconv.Atoi(name)
	if err != nil {
		return 0
	}
	return n
}
