package flightsql

import "context"

// reopen begins the client's transaction anew where its SQL has just ended it, by
// COMMIT or ROLLBACK: the client still holds the transaction, takes what follows
// to be in it, and will end it. It returns err, or what stopped it.
func (l *lease) reopen(ctx context.Context, sql string, err error) error {
	l.session.mu.Lock()
	held := l.own && l.session.tx != ""
	l.session.mu.Unlock()
	if !held || !endsTransaction(sql) {
		return err
	}
	if begun := l.sql.EnsureTransaction(ctx); err == nil {
		err = causeOf(ctx, begun)
	}
	return err
}
