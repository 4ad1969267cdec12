package rest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"hyprstream/database"
	"hyprstream/errs"
)

const arrowStream = "application/vnd.apache.arrow.stream"

type sqlRequest struct {
	SQL    string            `json:"sql"`
	Params []json.RawMessage `json:"params"`
}

// sql runs one statement and streams its rows: JSON, or Arrow IPC where the
// Accept header asks for it.
func (s *server) sql(w http.ResponseWriter, r *http.Request) {
	var req sqlRequest
	if err := readJSON(r, &req); err != nil {
		s.fail(w, r, err)
		return
	}
	if strings.TrimSpace(req.SQL) == "" {
		s.fail(w, r, badParam("sql", "sql must be a statement, such as \"SELECT 1\""))
		return
	}
	args, err := sqlParams(req.Params)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	res, release, err := s.query(w, r, req.SQL, args)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer release()
	if wantsArrow(r.Header.Values("Accept")) {
		s.writeArrow(w, r, res)
		return
	}
	s.writeRows(w, r, res)
}

// sqlParams turns JSON scalars into parameters: integers stay exact.
func sqlParams(params []json.RawMessage) ([]any, error) {
	args := make([]any, len(params))
	for i, raw := range params {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, badParam("params", "params[%d] is not JSON", i)
		}
		switch v := v.(type) {
		case nil, string, bool:
			args[i] = v
		case json.Number:
			if n, err := v.Int64(); err == nil {
				args[i] = n
				continue
			}
			f, err := v.Float64()
			if err != nil || math.IsInf(f, 0) {
				return nil, badParam("params", "params[%d] is a number beyond DOUBLE; send it as a string and cast it", i)
			}
			args[i] = f
		default:
			return nil, badParam("params", "params[%d] must be a string, a number, true, false or null; send lists and objects as JSON text and cast them, such as ?::JSON", i)
		}
	}
	return args, nil
}

func wantsArrow(accept []string) bool {
	for _, value := range strings.Split(strings.Join(accept, ","), ",") {
		if t, _, err := mime.ParseMediaType(value); err == nil && t == arrowStream {
			return true
		}
	}
	return false
}

// writeArrow sends the batches as they come. Arrow's stream has no place for a
// late error, so the connection is broken off: the reader sees an incomplete body.
func (s *server) writeArrow(w http.ResponseWriter, r *http.Request, res *database.Result) {
	more := res.Next()
	if err := res.Err(); !more && err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", arrowStream)
	out := ipc.NewWriter(w, ipc.WithSchema(res.Schema()))
	flush := http.NewResponseController(w)
	for ; more; more = res.Next() {
		if err := out.Write(res.RecordBatch()); err != nil {
			panic(http.ErrAbortHandler)
		}
		_ = flush.Flush() // a client that is gone ends the loop through ctx
	}
	if res.Err() != nil {
		panic(http.ErrAbortHandler)
	}
	_ = out.Close()
}

type columnBody struct {
	Name string `json:"name"`
	Type string `json:"type"` // Arrow's name of the type
}

// writeRows sends {"columns": […], "rows": [[…], …], "row_count": n}. An error
// after the first rows becomes a last member "error" beside those rows.
func (s *server) writeRows(w http.ResponseWriter, r *http.Request, res *database.Result) {
	more := res.Next()
	if err := res.Err(); !more && err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	out := bufio.NewWriterSize(w, 64<<10)
	flush := http.NewResponseController(w)
	columns := []columnBody{}
	for _, f := range res.Schema().Fields() {
		columns = append(columns, columnBody{f.Name, f.Type.String()})
	}
	out.WriteString(`{"columns":`)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(columns) // plain strings; a write that fails fails again at Flush
	out.WriteString(`,"rows":[`)
	var count int64
	var err error
	for ; more && err == nil; more = res.Next() {
		err = writeBatch(out, res.RecordBatch(), count)
		count += res.RecordBatch().NumRows()
		if out.Flush() == nil {
			_ = flush.Flush()
		}
	}
	if err == nil {
		err = res.Err()
	}
	fmt.Fprintf(out, `],"row_count":%d`, count)
	if len(columns) == 0 {
		fmt.Fprintf(out, `,"rows_affected":%d`, res.RowsAffected())
	}
	if err != nil {
		if errs.CodeOf(err) == errs.Internal {
			s.log.Error("rows failed", "query", res.QueryID(), "err", err)
		}
		body, _ := json.Marshal(bodyOf(statusOf(err), "", err))
		fmt.Fprintf(out, `,"error":%s`, body)
	}
	out.WriteString("}\n")
	_ = out.Flush() // a client that is gone needs no answer
}

// writeBatch writes the rows of batch; done rows came before it. Numbers keep
// every digit; decimals, dates, times and binary are strings.
func writeBatch(out *bufio.Writer, batch arrow.RecordBatch, done int64) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	row := make([]any, batch.NumCols())
	for i := range int(batch.NumRows()) {
		if done > 0 || i > 0 {
			out.WriteByte(',')
		}
		for c := range row {
			row[c] = batch.Column(c).GetOneForMarshal(i)
		}
		if err := enc.Encode(row); err != nil {
			return errs.Wrap(err, errs.Internal, "rest", "row %d cannot be written as JSON; ask for Arrow (Accept: %s)", done+int64(i), arrowStream)
		}
	}
	return nil
}
