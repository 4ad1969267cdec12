package inference

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	structures "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// Chat templates are programs that come with model files. What they may do is
// bounded here: no files, no recursion without end (a Go stack overflow cannot
// be recovered and would end the server), no work without end.
const (
	maxSourceBytes = 64 << 10 // the longest known is a third of it
	maxBrackets    = 100      // nested in one expression
	maxDepth       = 64       // of macro calls
	maxRange       = 1 << 16
	maxRenderTime  = 5 * time.Second
)

// budgetName is where a rendering's budget lies in its context.
const budgetName = "__budget__"

// budget is what is left to one rendering, used by its goroutine alone.
type budget struct {
	depth    int
	deadline time.Time
}

func budgetOf(r *exec.Renderer) *budget {
	v, _ := r.Environment.Context.Get(budgetName)
	b, _ := v.(*budget)
	return b
}

// checkSource refuses sources whose parsing could exhaust the stack.
func checkSource(source string) error {
	if len(source) > maxSourceBytes {
		return fmt.Errorf("it has %d bytes, more than %d", len(source), maxSourceBytes)
	}
	depth := 0
	for i := 0; i < len(source); i++ {
		switch source[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(depth-1, 0)
		case '%': // the end of a tag: brackets in text need not be balanced
			if i+1 < len(source) && source[i+1] == '}' {
				depth = 0
			}
		}
		if depth > maxBrackets {
			return fmt.Errorf("it nests more than %d brackets", maxBrackets)
		}
	}
	return nil
}

// templateEnvironment has gonja's filters, tests and methods, with some put
// right, and of its statements those that stay within the template.
var templateEnvironment = newTemplateEnvironment()

func newTemplateEnvironment() *exec.Environment {
	globals := exec.EmptyContext().Update(builtins.GlobalFunctions)
	globals.Set("range", boundedRange)
	globals.Set("lipsum", nil)
	statements := map[string]parser.ControlStructureParser{"generation": parseGeneration}
	for _, name := range []string{"for", "if", "set", "macro", "raw", "with", "do", "break", "continue", "filter"} {
		parse, known := structures.All.Get(name)
		if !known {
			panic("inference: gonja has lost its statement " + name)
		}
		if name != "break" && name != "continue" { // these are told apart by their type
			parse = limited(parse)
		}
		statements[name] = parse
	}
	return &exec.Environment{
		Context:           globals,
		Filters:           pythonFilters(),
		Tests:             builtins.Tests,
		ControlStructures: exec.NewControlStructureSet(statements),
		Methods:           pythonMethods(),
	}
}

// limited makes each execution of a statement look at the rendering's budget.
func limited(parse parser.ControlStructureParser) parser.ControlStructureParser {
	return func(p, args *parser.Parser) (nodes.ControlStructure, error) {
		inner, err := parse(p, args)
		if err != nil {
			return nil, err
		}
		if loop, ok := inner.(*structures.ForControlStructure); ok && loop.Recursive {
			return nil, errors.New("recursive loops are not supported")
		}
		statement, ok := inner.(exec.ControlStructure)
		if !ok {
			return inner, nil
		}
		return &limitedStatement{statement}, nil
	}
}

type limitedStatement struct{ exec.ControlStructure }

func (s *limitedStatement) Execute(r *exec.Renderer, tag *nodes.ControlStructureBlock) error {
	b := budgetOf(r)
	if b == nil || time.Now().After(b.deadline) {
		return fmt.Errorf("it takes longer than %s", maxRenderTime)
	}
	if err := s.ControlStructure.Execute(r, tag); err != nil {
		return err
	}
	if macro, ok := s.ControlStructure.(*structures.MacroControlStructure); ok {
		return limitMacro(r, macro.Name)
	}
	return nil
}

// limitMacro counts how deep calls of a macro are nested.
func limitMacro(r *exec.Renderer, name string) error {
	v, _ := r.Environment.Context.Get(name)
	call, ok := v.(exec.Macro)
	if !ok {
		return fmt.Errorf("macro %s cannot be called", name)
	}
	b := budgetOf(r)
	r.Environment.Context.Set(name, exec.Macro(func(args *exec.VarArgs) *exec.Value {
		if b.depth >= maxDepth {
			return exec.AsValue(fmt.Errorf("macro %s calls itself more than %d deep", name, maxDepth))
		}
		b.depth++
		defer func() { b.depth-- }()
		return call(args)
	}))
	return nil
}

// generation is {% generation %}…{% endgeneration %}, by which training marks
// the assistant's words. Rendering ignores it.
type generation struct {
	at   *tokens.Token
	body *nodes.Wrapper
}

func (g *generation) Position() *tokens.Token { return g.at }
func (g *generation) String() string          { return "generation" }

func (g *generation) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteWrapper(g.body)
}

func parseGeneration(p, _ *parser.Parser) (nodes.ControlStructure, error) {
	g := &generation{at: p.Current()}
	body, _, err := p.WrapUntil("endgeneration")
	g.body = body
	return g, err
}

// boundedRange replaces gonja's range, whose goroutine leaks when a loop breaks.
func boundedRange(_ *exec.Evaluator, args *exec.VarArgs) ([]int, error) {
	start, stop, step := 0, 0, 1
	for _, a := range args.Args {
		if !a.IsInteger() {
			return nil, errors.New("range takes integers")
		}
	}
	switch len(args.Args) {
	case 1:
		stop = args.Args[0].Integer()
	case 2, 3:
		start, stop = args.Args[0].Integer(), args.Args[1].Integer()
		if len(args.Args) == 3 {
			step = args.Args[2].Integer()
		}
	default:
		return nil, errors.New("range takes one to three integers")
	}
	if step == 0 {
		return nil, errors.New("range cannot step by 0")
	}
	out := []int{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(out) == maxRange {
			return nil, fmt.Errorf("range has more than %d items", maxRange)
		}
		out = append(out, i)
	}
	return out, nil
}

// sourceOnly is a loader with one template and no way to any other.
type sourceOnly string

func (s sourceOnly) Read(string) (io.Reader, error) { return strings.NewReader(string(s)), nil }

func (s sourceOnly) Resolve(path string) (string, error) { return path, nil }

func (s sourceOnly) Inherit(string) (loaders.Loader, error) {
	return nil, errors.New("a chat template cannot load another")
}
