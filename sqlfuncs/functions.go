package sqlfuncs

import (
	"strings"

	"hyprstream/sqlfuncs/operator"
)

// What packed calls name their function by.
const (
	fnGenerate uint16 = iota + 1
	fnGenerateTable
	fnGenerateStream
	fnCountTokens
)

// tableOptions are those of FROM generate and FROM generate_stream.
var tableOptions = append(append([]option{}, options...), choicesOption)

// onlyNamed stops a call from giving an option by position: nothing casts to its
// type. Without it generate('m', 42) would quietly be the prompt 'm' with an adapter.
const onlyNamed = `"*" STRUCT("options are given by name" BOOLEAN) := NULL`

func columns(opts []option) []operator.Column {
	cs := []operator.Column{{Name: "model", Type: "VARCHAR"}, {Name: "prompt", Type: "VARCHAR"}}
	for _, o := range opts {
		cs = append(cs, operator.Column{Name: o.name, Type: o.typ})
	}
	return cs
}

// onlyText is the second argument's default: the first one is the text then, and
// the model the default one. Overloads would say it better, but DuckDB finds them
// ambiguous where a type is not known yet (correlated columns).
const onlyText = "(the first argument)"

func modelAndText(text string) string {
	return "model VARCHAR := '', " + text + " VARCHAR := '" + onlyText + "'"
}

// generateMacro gives the inner function its named options.
func generateMacro() string {
	params, args := []string{onlyNamed}, []string{}
	for _, o := range options {
		typ := o.typ + " "
		if o.typ == "ANY" {
			typ = ""
		}
		params = append(params, o.name+" "+typ+":= NULL")
		args = append(args, o.name)
	}
	return "CREATE MACRO generate(" + modelAndText("prompt") + ", " + strings.Join(params, ", ") +
		") AS __generate(model, prompt, " + strings.Join(args, ", ") + ")"
}

func functions() operator.Functions {
	promptOrMessages := []int{1, 2}
	return operator.Functions{
		Settings: []operator.Setting{{
			Name:        "ai_max_error_ratio",
			Description: "Share of rows that may fail (and be NULL) before the statement does",
			Type:        "DOUBLE", Default: "0.1",
		}},
		Scalars: []operator.Scalar{
			{Fn: fnGenerate, Name: "__generate", Args: columns(options), Returns: "VARCHAR", Lift: true,
				Groups: [][]int{{0}, promptOrMessages}},
			{Fn: fnCountTokens, Name: "__count_tokens", Args: columns(nil), Returns: "BIGINT",
				Groups: [][]int{{0}, {1}}},
		},
		Macros: []string{
			generateMacro(),
			"CREATE MACRO count_tokens(" + modelAndText("text") + ") AS __count_tokens(model, text)",
		},
		Tables: []operator.Table{
			{Fn: fnGenerateTable, Name: "generate", Args: columns(tableOptions), Overloads: [][]int{{}, {1}, {0, 1}},
				Columns: []operator.Column{
					{Name: "index", Type: "INTEGER"}, {Name: "text", Type: "VARCHAR"}, {Name: "finish_reason", Type: "VARCHAR"},
					{Name: "prompt_tokens", Type: "INTEGER"}, {Name: "shared_tokens", Type: "INTEGER"},
					{Name: "completion_tokens", Type: "INTEGER"}, {Name: "logprob", Type: "DOUBLE"}, {Name: "model", Type: "VARCHAR"},
				}},
			{Fn: fnGenerateStream, Name: "generate_stream", Args: columns(options), Overloads: [][]int{{}, {1}, {0, 1}},
				Columns: []operator.Column{
					{Name: "seq", Type: "INTEGER"}, {Name: "text", Type: "VARCHAR"}, {Name: "token", Type: "INTEGER"},
					{Name: "logprob", Type: "DOUBLE"}, {Name: "done", Type: "BOOLEAN"}, {Name: "finish_reason", Type: "VARCHAR"},
					{Name: "prompt_tokens", Type: "INTEGER"}, {Name: "completion_tokens", Type: "INTEGER"}, {Name: "model", Type: "VARCHAR"},
				}},
		},
	}
}
