package sqlfuncs

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// Engine answers requests; *inference.Engine is one.
type Engine interface {
	Generate(ctx context.Context, reqs []inference.Request, done func(i int, c inference.Completion)) error
	Stream(ctx context.Context, req inference.Request, chunk func(inference.Chunk) error) error
	Embed(ctx context.Context, model string, texts []string, done func(i int, v inference.Embedding)) error
	CountTokens(ctx context.Context, model string, texts []string) ([]int, error)
}

// Statements runs the statements that DuckDB cannot parse (CREATE MODEL …).
type Statements interface {
	Parse(sql string) (ours bool, err error)
	Run(ctx context.Context, sql string) (status string, err error)
}

// Deps is what the functions work with.
type Deps struct {
	Engine     Engine
	Registry   inference.Registry // checks names at prepare
	Statements Statements
	Sessions   *inference.Sessions // of chat
}

// Register puts the functions, the operator and the statements into db. Detach
// the attachment after the last connection and before the database is closed.
func Register(db duckdb.Database, d Deps) (*operator.Attachment, error) {
	return operator.Attach(db, &handler{d}, functions())
}

type handler struct{ Deps }

func (h *handler) Parse(sql string) (bool, error) { return h.Statements.Parse(sql) }

func (h *handler) Exec(ctx context.Context, sql string) (string, error) {
	return h.Statements.Run(ctx, sql)
}

func optionsOf(fn uint16) []option {
	switch fn {
	case fnGenerateTable:
		return tableOptions
	case fnCountTokens:
		return nil
	case fnChat:
		return chatOptions
	case fnEmbed:
		return embedOptions
	}
	return options
}

// Check fails for constants that can never work: a model or adapter that does not
// exist, an option out of range.
func (h *handler) Check(c operator.Call) error {
	call, _, err := read(c, optionsOf(c.Fn))
	if err != nil {
		return err
	}
	named := arguments(c.Args)[0]
	if c.Fn == fnChat {
		named = c.Args[2] // NULL: the session's model, or the default
	}
	if named.Kind != operator.Text {
		return nil
	}
	m, err := h.Registry.Model(call.req.Model)
	if err != nil {
		return err
	}
	for _, a := range call.req.Adapters {
		if _, err := h.Registry.Adapter(m.Name, a.Name); err != nil {
			return err
		}
	}
	return nil
}

// Run answers a batch of one function.
func (h *handler) Run(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	switch calls[0].Fn {
	case fnGenerate:
		return h.generate(ctx, calls, done)
	case fnEmbed:
		return h.embed(ctx, calls, done)
	case fnCountTokens:
		return h.countTokens(ctx, calls, done)
	case fnChat:
		return h.chat(ctx, calls, done)
	}
	return errs.New(errs.Internal, "sqlfuncs", "function %d has no rows", calls[0].Fn)
}

// key is equal for calls that have one answer: the same evaluation, or the same
// request where nothing is drawn at random (temperature 0, or a seed).
func key(c operator.Call, r inference.Request, seeded bool) string {
	if r.Params.Temperature > 0 && !seeded {
		return strconv.FormatUint(c.Nonce, 36)
	}
	var b strings.Builder
	for _, a := range c.Args {
		fmt.Fprintf(&b, "%d|%d|%s|%d|", a.Kind, len(a.Text), a.Text, len(a.List))
		for _, s := range a.List {
			fmt.Fprintf(&b, "%d|%s", len(s), s)
		}
	}
	return b.String()
}

func (h *handler) generate(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	var reqs []inference.Request
	var rows [][]int // for each of reqs, the calls it answers
	fail := make([]bool, len(calls))
	seen := map[string]int{}
	for i, c := range calls {
		r, _, err := read(c, options)
		fail[i] = r.fail
		if err != nil {
			done(i, operator.Answer{Err: asError(err), Fail: r.fail})
			continue
		}
		k := key(c, r.req, given(c, options, "seed"))
		if at, ok := seen[k]; ok {
			rows[at] = append(rows[at], i)
			continue
		}
		seen[k] = len(reqs)
		reqs, rows = append(reqs, r.req), append(rows, []int{i})
	}
	if len(reqs) == 0 {
		return nil
	}
	rec := recorderOf(ctx)
	rec.Expect("generate", reqs[0].Model, len(calls), len(reqs))
	return h.Engine.Generate(ctx, reqs, func(i int, c inference.Completion) {
		rec.Row("generate", c, len(rows[i]))
		for _, row := range rows[i] {
			if c.Err != nil {
				done(row, operator.Answer{Err: c.Err, Fail: fail[row] || c.Err.Code == errs.Cancelled})
			} else {
				done(row, operator.Answer{Text: c.Text})
			}
		}
	})
}

func (h *handler) countTokens(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	byModel := map[string][]int{}
	for i := range calls {
		calls[i].Args = arguments(calls[i].Args)
		model := calls[i].Args[0].Text
		byModel[model] = append(byModel[model], i)
	}
	for model, idx := range byModel {
		texts := make([]string, len(idx))
		for i, at := range idx {
			texts[i] = calls[at].Args[1].Text
		}
		counts, err := h.Engine.CountTokens(ctx, model, texts)
		if err != nil {
			return err
		}
		for i, at := range idx {
			done(at, operator.Answer{Text: strconv.Itoa(counts[i])})
		}
	}
	return nil
}

func asError(err error) *errs.Error {
	if e, ok := err.(*errs.Error); ok { //nolint:errorlint // a wrapped one keeps its wrapper's words
		return e
	}
	return &errs.Error{Code: errs.CodeOf(err), Op: "generate", Err: err}
}
