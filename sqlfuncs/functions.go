package sqlfuncs

import (
	"fmt"
	"slices"
	"strings"

	"hyprstream/sqlfuncs/operator"
)

// What packed calls name their function by.
const (
	fnGenerate uint16 = iota + 1
	fnGenerateTable
	fnGenerateStream
	fnCountTokens
	fnChat
	fnLogprob
	fnClassify
	fnClassifyProbs
	fnFilter
	fnFilterProb
	fnEmbed
	fnEstimate
	fnMatch
	fnScore
	fnRerank
)

// generateOptions are those of generate, tableOptions of FROM generate;
// streamOptions of FROM generate_stream.
var (
	generateOptions = append(slices.Clone(options), cacheOption)
	tableOptions    = append(slices.Clone(generateOptions), choicesOption)
	streamOptions   = append(slices.Clone(options), sessionOption)
)

// onlyNamed stops a call from giving an option by position: nothing casts to its
// type. Without it generate('m', 42) would quietly be the prompt 'm' with an adapter.
const onlyNamed = `"*" STRUCT("options are given by name" BOOLEAN) := NULL`

// columns are model, the text by the function's name for it, and options.
func columns(text string, opts []option) []operator.Column {
	return append([]operator.Column{{Name: "model", Type: "VARCHAR"}, {Name: text, Type: "VARCHAR"}}, named(opts)...)
}

func named(opts []option) (cs []operator.Column) {
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
	return "model := '', " + text + " := '" + onlyText + "'"
}

// chatOptions are those of chat: the dialogue is the session's, the model an option.
var chatOptions = append([]option{{"model", "VARCHAR", func(c *call, a operator.Arg) error { c.req.Model = a.Text; return nil }}},
	without(options, "messages", "raw", "special_tokens")...)

// embedOptions are those of embed.
var embedOptions = pick("on_error")

// pick takes options of generate by their names.
func pick(names ...string) (out []option) {
	for _, o := range generateOptions {
		if slices.Contains(names, o.name) {
			out = append(out, o)
		}
	}
	return out
}

// without leaves options out by their names.
func without(opts []option, names ...string) []option {
	return slices.DeleteFunc(slices.Clone(opts), func(o option) bool { return slices.Contains(names, o.name) })
}

// similarityMacro is the cosine. Lists and arrays of any number are taken.
const similarityMacro = "CREATE MACRO similarity(a, b) AS __similarity(a, b)"

// generateMacro gives the inner function its named options.
func generateMacro() string {
	return macro("generate", modelAndText("prompt")+", "+onlyNamed, []string{"model", "prompt"}, generateOptions)
}

// macro gives the inner function __name its named options, after the first ones,
// of which those before onlyNamed go by position. last are arguments that come after the options.
func macro(name, first string, args []string, opts []option, last ...string) string {
	params := []string{first}
	for _, o := range opts {
		params = append(params, o.name+" := NULL") // of any type: the inner function says best what is wrong with one
		args = append(args, o.name)
	}
	args = append(args, last...)
	return fmt.Sprintf("CREATE MACRO %s(%s) AS __%[1]s(%[3]s)", name, strings.Join(params, ", "), strings.Join(args, ", "))
}

func functions() operator.Functions {
	promptOrMessages := []int{1, 2}
	return operator.Functions{
		Settings: []operator.Setting{
			{Name: "ai_max_error_ratio", Type: "DOUBLE", Default: "0.1",
				Description: "Share of rows that may fail (and be NULL) before the statement does"},
			{Name: "ai_max_rows", Type: "BIGINT", Default: "0",
				Description: "Distinct rows that models may compute for a statement; 0: any number"},
			{Name: "ai_max_tokens", Type: "BIGINT", Default: "0",
				Description: "Prompt and completion tokens that models may compute for a statement; 0: any number"},
			{Name: "ai_max_seconds", Type: "DOUBLE", Default: "0",
				Description: "Seconds that models may work for a statement; 0: any number"},
		},
		Scalars: append([]operator.Scalar{
			{Fn: fnGenerate, Name: "__generate", Args: columns("prompt", generateOptions), Returns: "VARCHAR", Lift: true,
				Groups: [][]int{{0}, promptOrMessages}},
			{Fn: fnChat, Name: "__chat", Returns: "VARCHAR", Groups: [][]int{{0}, {1}},
				Args: append([]operator.Column{{Name: "session", Type: "VARCHAR"}, {Name: "message", Type: "VARCHAR"}}, named(chatOptions)...)},
			{Fn: fnEmbed, Name: "__embed", Args: columns("text", embedOptions), Returns: "FLOAT[]", Lift: true, Groups: [][]int{{0}, {1}}},
		}, slices.Concat(scoringScalars(), typedScalars(), tokenScalars(), []operator.Scalar{rowsScalar()})...),
		Aggregates: aggregates(),
		Macros: append([]string{
			generateMacro(),
			macro("chat", "session, message, "+onlyNamed, []string{"session", "message"}, chatOptions),
			macro("embed", modelAndText("text")+", "+onlyNamed, []string{"model", "text"}, embedOptions),
			similarityMacro,
		}, slices.Concat(scoringMacros(), typedMacros(), tokenMacros())...),
		Tables: []operator.Table{
			rowsTable(),
			{Fn: fnEstimate, Name: "ai_estimate", Args: []operator.Column{{Name: "statement", Type: "VARCHAR"}}, Overloads: [][]int{{0}},
				Query: true, Columns: estimateColumns},
			{Fn: fnGenerateTable, Name: "generate", Args: columns("prompt", tableOptions), Overloads: [][]int{{}, {1}, {0, 1}},
				Columns: []operator.Column{
					{Name: "index", Type: "INTEGER"}, {Name: "text", Type: "VARCHAR"}, {Name: "finish_reason", Type: "VARCHAR"},
					{Name: "prompt_tokens", Type: "INTEGER"}, {Name: "shared_tokens", Type: "INTEGER"},
					{Name: "completion_tokens", Type: "INTEGER"}, {Name: "logprob", Type: "DOUBLE"}, {Name: "model", Type: "VARCHAR"},
				}},
			{Fn: fnGenerateStream, Name: "generate_stream", Args: columns("prompt", streamOptions), Overloads: [][]int{{}, {1}, {0, 1}},
				Columns: []operator.Column{
					{Name: "seq", Type: "INTEGER"}, {Name: "text", Type: "VARCHAR"}, {Name: "token", Type: "INTEGER"},
					{Name: "logprob", Type: "DOUBLE"}, {Name: "done", Type: "BOOLEAN"}, {Name: "finish_reason", Type: "VARCHAR"},
					{Name: "prompt_tokens", Type: "INTEGER"}, {Name: "completion_tokens", Type: "INTEGER"}, {Name: "model", Type: "VARCHAR"},
				}},
		},
	}
}
