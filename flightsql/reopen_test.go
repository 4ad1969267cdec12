package flightsql_test

import (
	"testing"

	"hyprstream/flightsql"
)

// A client whose SQL ends its transaction goes on in another one, under the same id.
func TestTransactionEndedBySQL(t *testing.T) {
	addr := serve(t, flightsql.Options{})
	a, b := dial(t, addr), dial(t, addr)
	update(t, a, "CREATE TABLE t (x INTEGER PRIMARY KEY)")
	count := "SELECT count(*) FROM t"
	for _, c := range []struct{ end, kept string }{
		{"COMMIT", "1"}, {"/* so be it */ end", "2"}, {"ROLLBACK", "2"}, {"SELECT 1; ABORT", "2"}, {"COMMIT; BEGIN", "3"},
	} {
		tx, err := a.BeginTransaction(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		run := func(sql string) {
			t.Helper()
			if _, err := tx.ExecuteUpdate(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
		next := "INSERT INTO t SELECT count(*) FROM t"
		run(next)
		run(c.end)
		equal(t, query(t, b, count), c.kept)
		run(next)
		equal(t, query(t, b, count), c.kept)
		if _, err := tx.ExecuteUpdate(t.Context(), "INSERT INTO t VALUES (0), (0)"); err == nil {
			t.Fatal("two rows of one key")
		}
		run("ROLLBACK") // of a transaction that failed
		run(next)
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatalf("after %s: %v", c.end, err)
		}
		equal(t, query(t, a, count), c.kept)
	}
}
