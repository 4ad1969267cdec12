package sqlfuncs

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/catalog"
	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// countingEngine answers "<model:prompt>" and remembers how many rows reached it.
// Of what it is to score, texts that are in the prompt have the score -0.5, others
// a third of their length below 0. It asks the gate as the real engine does, and
// takes a prompt's words for its tokens and each answer for one. Prompts that begin with "fail" fail; a step makes it take its time.
type countingEngine struct {
	mu        sync.Mutex
	batches   []int
	step      time.Duration
	backwards bool           // the last of a batch is answered first
	answered  map[string]int // by model
	cancelled int
	limit     int            // of the context, in words
	brief     bool           // the answer for a group is how many words were read
	streaming int            // streams that run
	meanwhile int            // batches that came while one ran
	rate      inference.Rate // what is said to have been measured; set before the engine works
	keep      bool           // remember what is asked
	asked     []inference.Request
}

func (e *countingEngine) take() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.batches
	e.batches = nil
	return b
}

func (e *countingEngine) setStep(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.step = d
}

// ask is what the real engine asks the gate.
func (e *countingEngine) ask(ctx context.Context, texts []string) error {
	gate := inference.GateOf(ctx)
	if gate == nil {
		return nil
	}
	if err := gate.Rows(len(texts)); err != nil {
		return err
	}
	return gate.Work(inference.Work{Model: "m", Write: len(texts), Rate: func() inference.Rate { return e.rate },
		Prompts: func() (int, error) { return len(strings.Fields(strings.Join(texts, " "))), nil }})
}

func promptsOf(reqs []inference.Request) (texts []string) {
	for _, r := range reqs {
		texts = append(texts, promptOf(r))
	}
	return texts
}

// promptOf joins the texts that a group is asked about; of an instruction of one word
// and each text's place it is said what they are.
func promptOf(r inference.Request) string {
	if g := r.Reading; g != nil {
		if len(g.Texts) == 1 && strings.HasPrefix(g.Texts[0], "fail") {
			return g.Texts[0]
		}
		if g.Answers {
			return g.Instruction + "(" + strings.Join(g.Texts, " & ") + ")"
		}
		return g.Instruction + "(" + strings.Join(g.Texts, " + ") + ")"
	}
	return r.Prompt
}

func (e *countingEngine) Generate(ctx context.Context, reqs []inference.Request, done func(int, inference.Completion)) error {
	if err := e.ask(ctx, promptsOf(reqs)); err != nil {
		return err
	}
	e.mu.Lock()
	e.batches = append(e.batches, len(reqs))
	step, backwards := e.step, e.backwards
	if e.streaming > 0 {
		e.meanwhile++
	}
	if e.keep {
		e.asked = append(e.asked, reqs...)
	}
	e.mu.Unlock()
	for i := range reqs {
		if backwards {
			i = len(reqs) - 1 - i
		}
		r := reqs[i]
		r.Prompt = promptOf(r)
		if step > 0 {
			select {
			case <-time.After(step):
			case <-ctx.Done():
				e.mu.Lock()
				e.cancelled++
				e.mu.Unlock()
				return errs.Wrap(ctx.Err(), errs.Cancelled, "generate", "cancelled")
			}
		}
		c := inference.Completion{Text: "<" + r.Model + ":" + r.Prompt + ">", FinishReason: "stop", Model: r.Model,
			PromptTokens: len(strings.Fields(r.Prompt)), CompletionTokens: 1}
		if e.brief && r.Reading != nil {
			c.Text = fmt.Sprintf("%d", c.PromptTokens)
		}
		for _, m := range r.Messages {
			c.Text += m.Role + "=" + m.Content + ";"
		}
		if r.Params.Temperature > 0 {
			c.Text = fmt.Sprintf("draw %d", r.Params.Seed)
		}
		c.Scores = scores(r)
		if strings.HasPrefix(r.Prompt, "fail") {
			c = inference.Completion{Err: errs.New(errs.ContextOverflow, "generate", "prompt too long")}
		}
		e.mu.Lock()
		if e.answered == nil {
			e.answered = map[string]int{}
		}
		e.answered[r.Model]++
		e.mu.Unlock()
		done(i, c)
	}
	return nil
}

func scores(r inference.Request) (out []float64) {
	texts := r.Continuations
	if r.Choice != nil {
		texts = r.Choice.Answers
	}
	for _, t := range texts {
		if strings.Contains(r.Prompt, t) {
			out = append(out, -0.5)
		} else {
			out = append(out, -1-float64(len(t))/3)
		}
	}
	return out
}

func (e *countingEngine) Stream(ctx context.Context, r inference.Request, chunk func(inference.Chunk) error) error {
	e.mu.Lock()
	e.streaming++
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.streaming--
		e.mu.Unlock()
	}()
	if err := e.ask(ctx, []string{r.Prompt}); err != nil {
		return err
	}
	for i, w := range strings.SplitAfter(r.Prompt, " ") {
		if err := chunk(inference.Chunk{Seq: i, Text: w, Token: int32(i)}); err != nil {
			return err
		}
		e.mu.Lock()
		step := e.step
		e.mu.Unlock()
		select {
		case <-time.After(step):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return chunk(inference.Chunk{Seq: 99, Done: true, Token: -1, Final: &inference.Completion{FinishReason: "stop", Model: r.Model, PromptTokens: 3, CompletionTokens: 2}})
}

// Embed gives a text's length, its last byte and a fraction that needs 9 digits.
func (e *countingEngine) Embed(ctx context.Context, model string, texts []string, done func(int, inference.Embedding)) error {
	if err := e.ask(ctx, texts); err != nil {
		return err
	}
	e.mu.Lock()
	e.batches = append(e.batches, len(texts))
	e.mu.Unlock()
	for i, t := range texts {
		v := inference.Embedding{Model: model, PromptTokens: len(t), Vector: []float32{float32(len(t)), float32(("\x00" + t)[len(t)]), 1.17549435e-38}}
		if strings.HasPrefix(t, "fail") {
			v = inference.Embedding{Err: errs.New(errs.ContextOverflow, "embed", "text too long")}
		}
		done(i, v)
	}
	return nil
}

func (e *countingEngine) Tokenize(_ context.Context, _ string, texts []string, _ bool) ([][]int32, error) {
	out := make([][]int32, len(texts))
	for i, t := range texts {
		out[i] = make([]int32, len(strings.Fields(t)))
	}
	return out, nil
}

func (e *countingEngine) Detokenize(_ context.Context, _ string, lists [][]int32) ([]string, error) {
	return make([]string, len(lists)), nil
}

// Count takes words for tokens, and knows the answer to prompts that begin with "kept".
func (e *countingEngine) Count(_ context.Context, reqs []inference.Request, each func(int, inference.Counted)) error {
	for i, r := range reqs {
		if r.Choice != nil {
			r.Prompt = r.Choice.Text
		}
		r.Prompt = promptOf(r)
		c := inference.Counted{Limit: e.limit, Tokens: wordTokens(r.Prompt), Cached: strings.HasPrefix(r.Prompt, "kept")}
		if r.Continuations == nil && r.Choice == nil {
			c.Most = max(r.Params.MaxTokens, 1)
		}
		if strings.HasPrefix(r.Prompt, "fail") {
			c = inference.Counted{Err: errs.New(errs.ContextOverflow, "count", "prompt too long")}
		}
		each(i, c)
	}
	return nil
}

func (e *countingEngine) CountTexts(_ context.Context, _ string, texts []string, each func(int, inference.Counted)) error {
	for i, t := range texts {
		each(i, inference.Counted{Tokens: wordTokens(t)})
	}
	return nil
}

func wordTokens(text string) (out []int32) {
	for _, w := range strings.Fields(text) {
		h := fnv.New32()
		h.Write([]byte(w))
		out = append(out, int32(h.Sum32()))
	}
	return out
}

func (e *countingEngine) Rate(context.Context, string) (inference.Rate, error) { return e.rate, nil }

type fakeRegistry struct{}

func (fakeRegistry) Model(name string) (inference.Model, error) {
	if name == "" {
		name = "m"
	}
	if len(name) > 1 {
		return inference.Model{}, errs.New(errs.ModelNotFound, "model", "no model %q; did you mean \"m\"?", name)
	}
	return inference.Model{Name: name}, nil
}

func (fakeRegistry) Adapter(model, name string) (inference.Adapter, error) {
	if name != "polite" {
		return inference.Adapter{}, errs.New(errs.AdapterNotFound, "adapter", "no adapter %q for model %q", name, model)
	}
	return inference.Adapter{Name: name, Model: model}, nil
}

type fakeStatements struct{}

func (fakeStatements) Parse(sql string) (bool, error) {
	switch {
	case strings.HasPrefix(sql, "CREATE MODEL bad"):
		return false, errs.New(errs.Syntax, "parse", "expected FROM")
	case strings.HasPrefix(sql, "CREATE MODEL"):
		return true, nil
	}
	return false, nil
}

func (fakeStatements) Run(_ context.Context, sql string) (string, error) {
	if strings.Contains(sql, "missing") {
		return "", errs.New(errs.NotFound, "CREATE MODEL", "no such file")
	}
	return "ran " + sql, nil
}

// testDB is an in-memory database with the functions in it.
type testDB struct {
	t      *testing.T
	db     duckdb.Database
	at     *operator.Attachment
	engine *countingEngine
	conn   duckdb.Connection
	ctx    context.Context // of statements
	dir    string
}

func openTestDB(t *testing.T) *testDB {
	t.Helper()
	e := &countingEngine{}
	d := openTestDBWith(t, e)
	d.engine = e
	return d
}

// openSessions keeps dialogues in a catalog of their own, until the test ends.
func openSessions(t *testing.T) *inference.Sessions {
	t.Helper()
	c, err := catalog.Open(t.TempDir(), func(sha string) string { return sha }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	s, err := inference.NewSessions(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func openTestDBWith(t *testing.T, e Engine) *testDB {
	t.Helper()
	d := &testDB{t: t, ctx: t.Context(), dir: t.TempDir()}
	if duckdb.Open("", &d.db) != duckdb.StateSuccess {
		t.Fatal("open")
	}
	at, err := Register(d.db, Deps{Engine: e, Registry: fakeRegistry{}, Statements: fakeStatements{}, Sessions: openSessions(t)})
	if err != nil {
		t.Fatal(err)
	}
	d.at = at
	d.conn = d.connect()
	t.Cleanup(func() {
		duckdb.Disconnect(&d.conn)
		at.Detach()
		duckdb.Close(&d.db)
	})
	return d
}

func (d *testDB) connect() duckdb.Connection {
	var c duckdb.Connection
	if duckdb.Connect(d.db, &c) != duckdb.StateSuccess {
		d.t.Fatal("connect")
	}
	return c
}

// query returns all cells as text, rows joined by "|" ; NULL is "NULL".
func (d *testDB) query(c duckdb.Connection, sql string) ([]string, error) {
	ctx, end := WithStatement(d.ctx, d.dir)
	defer end()
	defer d.at.Begin(ctx, c)(func() {})
	var r duckdb.Result
	defer duckdb.DestroyResult(&r)
	wrapped := sql
	if up := strings.ToUpper(strings.TrimSpace(sql)); strings.HasPrefix(up, "SELECT") || strings.HasPrefix(up, "WITH") || strings.HasPrefix(up, "FROM") {
		wrapped = "SELECT COLUMNS(*)::VARCHAR FROM (" + sql + ")"
	}
	if duckdb.Query(c, wrapped, &r) != duckdb.StateSuccess {
		message := duckdb.ResultError(&r)
		if err := Mistake(wrapped, message); err != nil {
			return nil, err
		}
		return nil, errors.New(message)
	}
	var out []string
	for {
		ch := duckdb.FetchChunk(r)
		if ch.Ptr == nil {
			break
		}
		n, k := int(duckdb.DataChunkGetSize(ch)), int(duckdb.ColumnCount(&r))
		for i := range n {
			row := make([]string, k)
			for j := range k {
				v := duckdb.DataChunkGetVector(ch, duckdb.IdxT(j))
				if val := duckdb.VectorGetValidity(v); val != nil && !duckdb.ValidityRowIsValid(val, duckdb.IdxT(i)) {
					row[j] = "NULL"
				} else if duckdb.ColumnType(&r, duckdb.IdxT(j)) == duckdb.TypeVarchar {
					row[j] = stringAt(duckdb.VectorGetData(v), i)
				} else {
					row[j] = "?"
				}
			}
			out = append(out, strings.Join(row, "|"))
		}
		duckdb.DestroyDataChunk(&ch)
	}
	return out, nil
}

func (d *testDB) must(sql string) []string {
	d.t.Helper()
	rows, err := d.query(d.conn, sql)
	if err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

// stringAt reads row i of a VARCHAR vector's data.
func stringAt(p unsafe.Pointer, i int) string {
	return duckdb.StringTData((*duckdb.StringT)(unsafe.Add(p, i*16)))
}

// answers checks a statement's rows, joined by ",".
func (d *testDB) answers(sql, want string) {
	d.t.Helper()
	if got := strings.Join(d.must(sql), ","); got != want {
		d.t.Errorf("%s\n got %s\nwant %s", sql, got, want)
	}
}

// asks checks how many rows reach the engine. What a part of the input can hold comes
// as one batch, or as one for each model or function; more comes as it is read.
func (d *testDB) asks(sql string, want []int) {
	d.t.Helper()
	d.engine.take()
	d.must(sql)
	got := d.engine.take()
	sum := func(n []int) (s int) {
		for _, x := range n {
			s += x
		}
		return s
	}
	// One more on a machine that is slow to scan; what is asked after something else comes as that is answered.
	if sum(got) != sum(want) || len(want) == 1 && len(got) > 2+sum(want)/1024 {
		d.t.Errorf("%s: batches %v, want %v", sql, got, want)
	}
}
