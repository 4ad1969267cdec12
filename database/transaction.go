package database

import (
	"context"

	m "github.com/duckdb/duckdb-go-bindings"
)

// atomically runs f in a transaction: the client's own where it has one open,
// which the client then ends. The caller has the turn.
func (s *Session) atomically(f func() error) error {
	inside, err := s.inTransaction()
	if err != nil {
		return err
	}
	if inside {
		return f()
	}
	if err := s.exec("BEGIN"); err != nil {
		return err
	}
	if err := f(); err != nil {
		_ = s.exec("ROLLBACK") // the first error is what counts
		return err
	}
	return s.exec("COMMIT")
}

// EnsureTransaction begins a transaction unless the client has one open, be it
// one that failed and waits for its ROLLBACK.
func (s *Session) EnsureTransaction(ctx context.Context) (err error) {
	if _, err = s.begin(ctx, "BEGIN"); err != nil {
		return err
	}
	defer func() { s.end(err) }()
	if inside, failed := s.inTransaction(); inside || failed != nil {
		return nil
	}
	return s.exec("BEGIN")
}

// inTransaction asks whether the client has a transaction open: only then do two
// statements see the same one. (BEGIN would tell too, but aborts it.)
func (s *Session) inTransaction() (bool, error) {
	var ids [2]int64
	for i := range ids {
		var r m.Result
		if m.Query(s.conn, "SELECT txid_current()", &r) != m.StateSuccess {
			defer m.DestroyResult(&r)
			return false, translate(m.ResultErrorType(&r), m.ResultError(&r))
		}
		ids[i] = m.ValueInt64(&r, 0, 0) //nolint:staticcheck // deprecated, and the shortest way to one number
		m.DestroyResult(&r)
	}
	return ids[0] == ids[1], nil
}
