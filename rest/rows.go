package rest

import (
	"context"
	"net/http"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"hyprstream/database"
	"hyprstream/errs"
)

// query runs st on a new session and names it in the answer's header. The
// caller calls release after the last row. ctx ends the statement.
func (s *server) query(w http.ResponseWriter, r *http.Request, sql string, args []any) (res *database.Result, release func(), err error) {
	sess, free, err := s.sessions.open(r)
	if err != nil {
		return nil, nil, err
	}
	res, err = sess.Query(r.Context(), sql, args...)
	if err != nil {
		free()
		return nil, nil, err
	}
	if id := res.QueryID(); id != "" {
		w.Header().Set(queryHeader, id)
	}
	return res, func() {
		res.Release()
		free()
	}, nil
}

// eachRow calls f for every row of res; row i of batch. It returns the
// statement's error, which may come after any number of rows.
func eachRow(ctx context.Context, res array.RecordReader, f func(batch arrow.RecordBatch, i int) error) error {
	for res.Next() {
		batch := res.RecordBatch()
		for i := range int(batch.NumRows()) {
			if err := f(batch, i); err != nil {
				return err
			}
		}
	}
	if err := res.Err(); err != nil {
		if ctx.Err() != nil { // told apart from a failure of the statement's own
			return errs.Wrap(ctx.Err(), errs.CodeOf(ctx.Err()), "rest", "the client went away")
		}
		return err
	}
	return nil
}

// stringAt reads column c as text; NULL is "". The text is a copy: a batch's
// memory is DuckDB's and goes with the batch.
func stringAt(batch arrow.RecordBatch, c, i int) string {
	col := batch.Column(c)
	if col.IsNull(i) {
		return ""
	}
	return strings.Clone(col.ValueStr(i))
}

// intAt reads an integer column of any width; NULL is 0.
func intAt(batch arrow.RecordBatch, c, i int) int {
	switch col := batch.Column(c).(type) {
	case *array.Int32:
		if col.IsValid(i) {
			return int(col.Value(i))
		}
	case *array.Int64:
		if col.IsValid(i) {
			return int(col.Value(i))
		}
	}
	return 0
}

// boolAt reads a BOOLEAN column; NULL is false.
func boolAt(batch arrow.RecordBatch, c, i int) bool {
	col, ok := batch.Column(c).(*array.Boolean)
	return ok && col.IsValid(i) && col.Value(i)
}
