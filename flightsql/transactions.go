package flightsql

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"

	"hyprstream/errs"
)

// BeginTransaction opens the session's transaction. A session has one at a
// time, as a DuckDB connection has.
func (s *service) BeginTransaction(ctx context.Context, _ flightsql.ActionBeginTransactionRequest) ([]byte, error) {
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	l, err := sess.acquire(ctx, needOwn)
	if err != nil {
		return nil, err
	}
	defer l.release()
	sess.mu.Lock()
	open := sess.tx != ""
	sess.mu.Unlock()
	if open {
		return nil, errs.New(errs.InvalidArgument, "BeginTransaction",
			"this connection has a transaction open: end it, or use a second connection")
	}
	if _, err := l.sql.Exec(ctx, "BEGIN TRANSACTION"); err != nil {
		return nil, causeOf(ctx, err)
	}
	id := newID()
	sess.mu.Lock()
	sess.tx = id
	sess.mu.Unlock()
	return []byte(id), nil
}

// BeginSavepoint refuses: DuckDB has none.
func (s *service) BeginSavepoint(context.Context, flightsql.ActionBeginSavepointRequest) ([]byte, error) {
	return nil, errSavepoints()
}

// EndSavepoint refuses as well.
func (s *service) EndSavepoint(context.Context, flightsql.ActionEndSavepointRequest) error {
	return errSavepoints()
}

func errSavepoints() error {
	return errs.New(errs.Unsupported, "savepoint", "there are no savepoints, as SqlInfo says: commit or roll back the transaction as a whole")
}

// EndTransaction commits or rolls back. Whatever the outcome, the transaction
// is over.
func (s *service) EndTransaction(ctx context.Context, req flightsql.ActionEndTransactionRequest) error {
	verb := "COMMIT"
	switch req.GetAction() {
	case flightsql.EndTransactionCommit:
	case flightsql.EndTransactionRollback:
		verb = "ROLLBACK"
	default:
		return errs.New(errs.InvalidArgument, "EndTransaction", "the action must be commit or rollback")
	}
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	if _, err := sess.needFor("", string(req.GetTransactionId())); err != nil {
		return err
	}
	l, err := sess.acquire(ctx, needEnd)
	if err != nil {
		return err
	}
	defer l.release()
	_, err = l.sql.Exec(ctx, verb)
	if err != nil && verb == "COMMIT" {
		// A transaction that cannot commit is of no more use to anybody; where
		// DuckDB ended it already, this fails and changes nothing.
		_, _ = l.sql.Exec(ctx, "ROLLBACK")
	}
	sess.mu.Lock()
	sess.tx = ""
	sess.mu.Unlock()
	return causeOf(ctx, err)
}
