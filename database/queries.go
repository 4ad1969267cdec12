package database

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"hyprstream/catalog"
	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs"
)

// maxShown is how much of a statement ai.queries shows, in bytes.
const maxShown = 500

// query follows one running statement. It is the sqlfuncs.Recorder of its
// statement.
type query struct {
	client string
	sql    string

	mu     sync.Mutex    // guards the fields below
	used   catalog.Usage // Rows is what is expected so far
	done   int64         // rows answered
	part   float64       // how far an import or a load is, 0 to 1
	funcs  []string
	names  []string // models
	adapts []string
	learnt []sqlfuncs.Learnt
}

// Expect implements sqlfuncs.Recorder.
func (q *query) Expect(function, model string, rows, distinct int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used.Rows += int64(rows)
	q.used.DistinctRows += int64(distinct)
	q.funcs = addName(q.funcs, function)
	q.names = addName(q.names, model)
}

// report hears of an import or a load.
func (q *query) report(fraction float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.part = fraction
}

// Row implements sqlfuncs.Recorder.
func (q *query) Row(_ string, c inference.Completion, rows int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done += int64(rows)
	u := &q.used
	if c.Err != nil {
		u.FailedRows += int64(rows)
	}
	q.names = addName(q.names, c.Model)
	for _, a := range c.Adapters {
		q.adapts = addName(q.adapts, a.String())
	}
	if c.Cached { // what it counts was spent before
		u.CachedRows += int64(rows)
		return
	}
	if c.Proxied {
		u.ProxyRows += int64(rows)
	}
	u.PromptTokens += int64(c.PromptTokens)
	u.SharedTokens += int64(c.SharedTokens)
	u.CompletionTokens += int64(c.CompletionTokens)
	u.Queue += c.Queue
	u.Prefill += c.Prefill
	u.Decode += c.Decode
}

func addName(list []string, name string) []string {
	if name == "" || slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// snapshot is a query at one moment.
type snapshot struct {
	catalog.Usage
	client, sql string
	done        int64
	progress    float64 // 0 to 1
}

func (q *query) snapshot() snapshot {
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.used
	u.Function, u.Model = strings.Join(q.funcs, ", "), strings.Join(q.names, ", ")
	u.Adapter = strings.Join(q.adapts, ", ")
	progress := q.part
	if u.Rows > 0 {
		progress = float64(q.done) / float64(u.Rows)
	}
	return snapshot{u, q.client, q.sql, q.done, progress}
}

// Progress is how far a statement is. Rows are calls of model functions; a statement
// without any expects none.
type Progress struct {
	Query            string  `json:"query,omitempty"` // its name in ai.queries
	Rows             int64   `json:"rows"`
	RowsExpected     int64   `json:"rows_expected"`
	FailedRows       int64   `json:"failed_rows"`
	PromptTokens     int64   `json:"prompt_tokens"`
	CompletionTokens int64   `json:"completion_tokens"`
	Fraction         float64 `json:"fraction"` // 0 to 1, also of an import or a load
}

// Running is a statement that runs, or ran.
type Running struct{ q *query }

// Running is the session's statement, nil where none runs.
func (s *Session) Running() *Running {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.query == nil {
		return nil
	}
	return &Running{s.query}
}

// Progress is how far the statement is, or was when it ended; of nil, the zero value.
func (r *Running) Progress() Progress {
	if r == nil {
		return Progress{}
	}
	n := r.q.snapshot()
	return Progress{n.Query, n.done, n.Rows, n.FailedRows, n.PromptTokens, n.CompletionTokens, n.progress}
}

// queries are the statements that run. Its zero value is ready.
type queries struct {
	mu     sync.Mutex
	now    map[*query]struct{}
	learnt []learnt // of finished statements
}

func (qs *queries) begin(opt SessionOptions, sql string) *query {
	if len(sql) > maxShown {
		sql = strings.ToValidUTF8(sql[:maxShown], "") + "…"
	}
	q := &query{client: opt.Client, sql: sql}
	q.used = catalog.Usage{Query: uuid.Must(uuid.NewV7()).String(), User: opt.User, StartedAt: time.Now().UTC()}
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if qs.now == nil {
		qs.now = map[*query]struct{}{}
	}
	qs.now[q] = struct{}{}
	return q
}

// end takes a statement out. usage is its record; used is false for one that
// called no model.
func (qs *queries) end(q *query, err error) (usage func() (u catalog.Usage, used bool)) {
	qs.mu.Lock()
	delete(qs.now, q)
	qs.keepLearnt(q)
	qs.mu.Unlock()
	finished := time.Now().UTC()
	return func() (catalog.Usage, bool) {
		u := q.snapshot().Usage
		u.FinishedAt = finished
		u.Error = string(errs.CodeOf(err))
		return u, u.Rows > 0
	}
}

// running are the statements that run now, oldest first.
func (qs *queries) running() []snapshot {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	out := make([]snapshot, 0, len(qs.now))
	for q := range qs.now {
		out = append(out, q.snapshot())
	}
	slices.SortFunc(out, func(a, b snapshot) int { return cmp.Compare(a.Query, b.Query) })
	return out
}
