package sqlfuncs

import (
	"cmp"
	"context"
	"fmt"
	"sync"

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
	Tokenize(ctx context.Context, model string, texts []string, special bool) ([][]int32, error)
	Detokenize(ctx context.Context, model string, lists [][]int32) ([]string, error)
	Count(ctx context.Context, reqs []inference.Request, each func(i int, c inference.Counted)) error
	CountTexts(ctx context.Context, model string, texts []string, each func(i int, c inference.Counted)) error
	Rate(ctx context.Context, model string) (inference.Rate, error)
}

// Statements runs the statements that DuckDB cannot parse (CREATE MODEL …).
type Statements interface {
	Parse(sql string) (ours bool, err error)
	Run(ctx context.Context, sql string) (status string, err error)
}

// Prompts are the texts of CREATE PROMPT; *catalog.Catalog has them.
type Prompts interface {
	// Template is a prompt's text, cut at its placeholders: up to the first one, its
	// field, up to the next one and so on, ending with a text.
	Template(name string) (pieces []string, err error)
}

// Deps is what the functions work with.
type Deps struct {
	Engine     Engine
	Registry   inference.Registry // checks names at prepare
	Statements Statements
	Sessions   *inference.Sessions // of chat
	Prompts    Prompts             // of render
}

// Register puts the functions, the operator and the statements into db. Detach
// the attachment after the last connection and before the database is closed.
func Register(db duckdb.Database, d Deps) (*operator.Attachment, error) {
	return operator.Attach(db, &handler{Deps: d}, functions())
}

type handler struct {
	Deps
	history  history
	verdicts verdicts
}

func (h *handler) Parse(sql string) (bool, error) { return h.Statements.Parse(sql) }

func (h *handler) Template(prompt string) ([]string, error) { return h.Prompts.Template(prompt) }

func (h *handler) Exec(ctx context.Context, sql string) (string, error) {
	return h.Statements.Run(ctx, sql)
}

func optionsOf(fn uint16) []option {
	switch fn {
	case fnGenerate:
		return generateOptions
	case fnGenerateTable:
		return tableOptions
	case fnCountTokens, fnTokenize:
		return tokenOptions
	case fnDetokenize:
		return nil
	case fnChat:
		return chatOptions
	case fnGenerateStream:
		return streamOptions
	case fnEmbed:
		return embedOptions
	}
	return batchedFunctions[fn].opts
}

// Check fails for constants that can never work: a model or adapter that does not
// exist, an option out of range.
func (h *handler) Check(c operator.Call) error {
	call, _, err := read(c, optionsOf(c.Fn))
	if err != nil {
		return err
	}
	named := arguments(c)[0]
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
	if proxy := call.target.model(); proxy != "" {
		if _, err := h.Registry.Model(proxy); err != nil {
			return err
		}
	}
	for _, a := range call.req.Adapters {
		if _, err := h.Registry.Adapter(m.Name, a.Name); err != nil {
			return err
		}
	}
	return nil
}

// Returns implements operator.Handler: vectors are as long as their model makes
// them, where it is known.
func (h *handler) Returns(c operator.Call) string {
	model := arguments(c)[0]
	if c.Fn != fnEmbed || model.Kind != operator.Text {
		return ""
	}
	m, err := h.Registry.Model(model.Text)
	if err != nil || m.EmbeddingLength == 0 {
		return ""
	}
	return fmt.Sprintf("FLOAT[%d]", m.EmbeddingLength)
}

// Run answers a batch: of one function, or of several that can be lifted.
func (h *handler) Run(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	if operator.TermsOf(ctx).Estimate != 0 {
		if err := h.gather(ctx, calls); err != nil {
			return err
		}
		for i := range calls {
			done(i, operator.Answer{Null: true})
		}
		return nil
	}
	ctx, explain, leave := h.watched(ctx)
	defer leave()
	return explain(h.run(ctx, calls, func(i int, a operator.Answer) {
		var err error
		if a.Err != nil {
			err = a.Err
		}
		if err = explain(err); errs.CodeOf(err) == errs.BudgetExceeded {
			a = operator.Answer{Err: asError(err), Fail: true}
		}
		done(i, a)
	}))
}

func (h *handler) run(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	var vectors, others []int
	for i, c := range calls {
		if c.Fn == fnEmbed {
			vectors = append(vectors, i)
		} else {
			others = append(others, i)
		}
	}
	if len(vectors) > 0 && len(others) > 0 {
		return h.both(ctx, calls, vectors, others, done)
	}
	fn := calls[0].Fn
	if _, ok := batchedFunctions[fn]; ok {
		return h.batch(ctx, calls, done)
	}
	switch fn {
	case fnEmbed:
		return h.embed(ctx, calls, done)
	case fnCountTokens, fnTokenize:
		return h.tokenize(ctx, calls, done)
	case fnDetokenize:
		return h.detokenize(ctx, calls, done)
	case fnChat:
		return h.chat(ctx, calls, done)
	}
	return errs.New(errs.Internal, "sqlfuncs", "function %d has no rows", fn)
}

// both answers two parts of a batch side by side: one operator may have calls of
// functions that ask the engine in different ways.
func (h *handler) both(ctx context.Context, calls []operator.Call, one, other []int, done func(int, operator.Answer)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex // done is called by one at a time
	var failed [2]error
	var wg sync.WaitGroup
	for part, rows := range [][]int{one, other} {
		wg.Go(func() {
			mine := make([]operator.Call, len(rows))
			for i, row := range rows {
				mine[i] = calls[row]
			}
			failed[part] = h.run(ctx, mine, func(i int, a operator.Answer) {
				mu.Lock()
				defer mu.Unlock()
				done(rows[i], a)
			})
			if failed[part] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil && errs.CodeOf(err) != errs.Cancelled {
			return err
		}
	}
	return cmp.Or(failed[0], failed[1])
}

func asError(err error) *errs.Error {
	if e, ok := err.(*errs.Error); ok { //nolint:errorlint // a wrapped one keeps its wrapper's words
		return e
	}
	return &errs.Error{Code: errs.CodeOf(err), Op: "generate", Err: err}
}
