package inference

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// Where gonja differs from what Python does in a chat template.

// pythonMethods are gonja's methods with those of strings put right.
func pythonMethods() exec.Methods {
	methods := builtins.Methods
	of := map[string]exec.Method[string]{"replace": replace}
	for _, name := range []string{
		"capitalize", "casefold", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isdigit", "islower",
		"isspace", "istitle", "isupper", "join", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rfind",
		"rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill",
	} {
		if m, known := builtins.Methods.Str.Get(name); known {
			of[name] = m
		}
	}
	methods.Str = exec.NewMethodSet(of)
	return methods
}

// replace is Python's: gonja's insists on a count.
func replace(self string, _ *exec.Value, args *exec.VarArgs) (any, error) {
	var before, after string
	count := -1
	if err := args.Take(
		exec.PositionalArgument("old", nil, exec.StringArgument(&before)),
		exec.PositionalArgument("new", nil, exec.StringArgument(&after)),
		exec.PositionalArgument("count", exec.AsValue(-1), exec.IntArgument(&count)),
	); err != nil {
		return nil, exec.ErrInvalidCall(err)
	}
	return strings.Replace(self, before, after, count), nil
}

// pythonFilters are gonja's filters with tojson as transformers has it.
func pythonFilters() *exec.FilterSet {
	return exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters).Update(
		exec.NewFilterSet(map[string]exec.FilterFunction{"tojson": toJSON}))
}

// toJSON writes JSON as Python's json.dumps does, without escaping letters or
// what HTML minds. A mapping has lost its order by then: the role comes first,
// other keys in the order of the alphabet.
func toJSON(_ *exec.Evaluator, in *exec.Value, args *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	indent := ""
	if v, given := args.KwArgs["indent"]; given && v.IsInteger() {
		indent = strings.Repeat(" ", min(max(v.Integer(), 0), 16))
	}
	simple := in.ToGoSimpleType(false)
	if err, failed := simple.(error); failed {
		return exec.AsValue(err)
	}
	var b strings.Builder
	if err := writeJSON(&b, simple, indent, ""); err != nil {
		return exec.AsValue(err)
	}
	return exec.AsSafeValue(b.String())
}

func writeJSON(b *strings.Builder, v any, indent, margin string) error {
	inner := margin + indent
	separate := func(i int) {
		switch {
		case indent != "" && i > 0:
			b.WriteString(",\n" + inner)
		case indent != "":
			b.WriteString("\n" + inner)
		case i > 0:
			b.WriteString(", ")
		}
	}
	end := func(n int, mark byte) {
		if indent != "" && n > 0 {
			b.WriteString("\n" + margin)
		}
		b.WriteByte(mark)
	}
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		keys := slices.SortedFunc(maps.Keys(v), func(x, y string) int {
			if (x == "role") != (y == "role") {
				if x == "role" {
					return -1
				}
				return 1
			}
			return strings.Compare(x, y)
		})
		for i, k := range keys {
			separate(i)
			if err := writeJSON(b, k, "", ""); err != nil {
				return err
			}
			b.WriteString(": ")
			if err := writeJSON(b, v[k], indent, inner); err != nil {
				return err
			}
		}
		end(len(keys), '}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			separate(i)
			if err := writeJSON(b, item, indent, inner); err != nil {
				return err
			}
		}
		end(len(v), ']')
	default:
		var scalar strings.Builder
		e := json.NewEncoder(&scalar)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			return err
		}
		b.WriteString(strings.TrimSuffix(scalar.String(), "\n"))
	}
	return nil
}
