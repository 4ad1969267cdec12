package database

import (
	"context"
	"sync"
	"time"

	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/catalog"
	"hyprstream/errs"
	"hyprstream/sqlfuncs"
	"hyprstream/sqlfuncs/operator"
)

// SessionOptions say who is at the other end.
type SessionOptions struct {
	User   string // for ai.queries and ai.usage; "" where there is no authentication
	Client string // for the same; such as "flight", "rest" or "cli"
	Java   bool   // the JDBC driver, which needs no unsigned integers and times of parameters in milliseconds
}

// Session is one DuckDB connection: transactions, temporary tables and settings
// live in it. Its methods may be called from several goroutines; statements run
// one after the other, waiting for their turn as long as their context allows.
type Session struct {
	db   *DB
	opt  SessionOptions
	conn m.Connection

	turn   chan struct{} // holds a token while a statement or an open Result uses conn
	closed chan struct{} // closed by Close

	mu     sync.Mutex // guards the fields below
	cancel context.CancelCauseFunc
	detach func(over func()) // ends the association of the context with conn; over: nothing works for it any more
	query  *query            // the statement that runs
	open   *Result           // the Result that holds the turn
	done   bool
}

// Session opens a connection. Close it when its client is gone.
func (db *DB) Session(ctx context.Context, opt SessionOptions) (*Session, error) {
	if err := stopped(ctx); err != nil {
		return nil, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, errs.New(errs.EngineUnavailable, "database.Session", "the database is shutting down")
	}
	s := &Session{db: db, opt: opt, turn: make(chan struct{}, 1), closed: make(chan struct{})}
	if m.Connect(db.duck, &s.conn) != m.StateSuccess {
		return nil, errs.New(errs.Internal, "database.Session", "DuckDB gave no connection")
	}
	db.sessions[s] = struct{}{}
	return s, nil
}

// maxSettling is how long a statement's end waits for the model to stop working for
// it: a step or two.
const maxSettling = time.Second

// begin waits for the connection and makes the context under which sql runs: it
// ends with ctx, by Interrupt and by Close. end gives the connection back.
func (s *Session) begin(ctx context.Context, sql string) (context.Context, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, stopped(ctx)
	case <-s.closed:
		return nil, errSessionClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		<-s.turn
		return nil, errSessionClosed
	}
	run, cancel := context.WithCancelCause(ctx)
	s.cancel = cancel
	s.query = s.db.queries.begin(s.opt, sql)
	run = catalog.WithProgress(sqlfuncs.WithRecorder(run, s.query), s.query.report)
	run, end := sqlfuncs.WithStatement(run, s.db.cfg.Dir)
	detach := s.db.funcs.Begin(run, s.conn)
	s.detach = func(over func()) { detach(over); end() }
	return run, nil
}

// end gives the connection to the next statement and records how this one ended.
func (s *Session) end(err error) {
	s.mu.Lock()
	s.cancel(nil)
	q, detach := s.query, s.detach
	s.cancel, s.detach, s.query, s.open = nil, nil, nil, nil
	s.mu.Unlock()
	s.db.noteFatal(err)
	usage := s.db.queries.end(q, err)
	recorded := make(chan struct{})
	detach(func() { // what a row cut short has cost is known when the model has stopped
		if u, used := usage(); used {
			s.db.catalog.AddUsage(u)
		}
		close(recorded)
	})
	select { // so that the next statement finds this one in ai.usage
	case <-recorded:
	case <-time.After(maxSettling):
	}
	<-s.turn
}

var errSessionClosed = errs.New(errs.Cancelled, "", "the session is closed")

// Interrupt cancels the statement that runs now, if any: its caller, or the
// reader of its Result, gets errs.Cancelled. Later statements are not touched.
func (s *Session) Interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel(errInterrupted)
	}
}

// Close cancels what runs, closes an open Result, rolls back an open
// transaction and gives the connection back. It may be called twice.
func (s *Session) Close() {
	s.mu.Lock()
	if s.done {
		s.mu.Unlock()
		return
	}
	s.done = true
	close(s.closed)
	if s.cancel != nil {
		s.cancel(errSessionClosed)
	}
	open := s.open
	s.mu.Unlock()
	if open != nil {
		open.Close()
	}
	s.turn <- struct{}{} // whoever was in a call has left; the token is never given back
	m.Disconnect(&s.conn)
	s.db.forget(s)
}

// interruptEvery is how often the interrupt is repeated until the call returns:
// one that comes before DuckDB clears the flag at a statement's start is lost.
const interruptEvery = 5 * time.Millisecond

// during makes a blocking call into DuckDB and interrupts it when ctx ends. The
// interrupter is gone when it returns, so that it cannot hit the next call.
func (s *Session) during(ctx context.Context, call func()) {
	if ctx.Done() == nil {
		call()
		return
	}
	finished, joined := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(joined)
		for {
			m.Interrupt(s.conn)
			s.db.funcs.Wake(s.conn) // a sleeping operator does not see the flag
			select {
			case <-finished:
				return
			case <-time.After(interruptEvery):
			}
		}
	})
	call()
	close(finished)
	if !stop() {
		<-joined
	}
}

// packing makes plans whose rows are packed, which only fetchBatch reads: those of a
// statement that is prepared or, with its plan made anew, executed. The rows of a model
// leave one by one. The returned function ends it.
func (s *Session) packing(sql string) (end func()) {
	if usesModel.MatchString(sql) {
		return func() {}
	}
	operator.Pack(s.conn, true, s.opt.Java)
	return func() { operator.Pack(s.conn, false, false) }
}

// exec runs a statement of our own on the connection, whose turn the caller has.
func (s *Session) exec(sql string) error { return execOn(s.conn, sql) }

// execOn runs SQL on a connection and drops its rows.
func execOn(conn m.Connection, sql string) error {
	var r m.Result
	defer m.DestroyResult(&r)
	if m.Query(conn, sql, &r) != m.StateSuccess {
		return translate(m.ResultErrorType(&r), m.ResultError(&r))
	}
	return nil
}
