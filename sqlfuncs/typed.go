package sqlfuncs

import (
	"encoding/json"

	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// The functions whose answers are JSON of the result's type.
const (
	fnGenerateAs uint16 = iota + 20
	fnExtract
	fnTry
)

// returnsOption comes last, so that a call without it is generate's.
var returnsOption = option{"returns", "VARCHAR", func(c *call, a operator.Arg) error {
	c.typed = true
	return setSchema(c, a)
}}

var (
	typedOptions   = append(without(generateOptions, "grammar", "json_schema", "ignore_eos"), returnsOption)
	tryOptions     = append(without(generateOptions, "on_error"), returnsOption)
	extractOptions = append([]option{instructionOption}, append(without(generateOptions, "messages", "grammar", "json_schema", "ignore_eos"), returnsOption)...)
)

func init() {
	batchedFunctions[fnGenerateAs] = batched{"generate_as", fnGenerateAs, typedOptions, always, written}
	batchedFunctions[fnExtract] = batched{"ai_extract", fnExtract, extractOptions, askExtract, written}
	batchedFunctions[fnTry] = batched{"try_generate", fnTry, tryOptions, askTry, tried}
	for _, name := range []string{"generate_as", "ai_extract", "try_generate"} {
		writing[name] = true
	}
}

func askExtract(r *call) bool {
	instruction := r.instruction
	if instruction == "" {
		instruction = inference.Extraction
	}
	r.req.Reading = &inference.Reading{Instruction: instruction, Texts: []string{r.req.Prompt}}
	return true
}

func askTry(r *call) bool {
	r.req.Lineage = true
	return true
}

// tryType is the result of try_generate; lineage has what the answer came from.
const tryType = "STRUCT(value VARCHAR, error STRUCT(code VARCHAR, message VARCHAR, retryable BOOLEAN), " +
	"usage STRUCT(prompt INTEGER, shared INTEGER, completion INTEGER, ms DOUBLE), finish_reason VARCHAR, " +
	"lineage STRUCT(model VARCHAR, model_sha256 VARCHAR, adapters STRUCT(name VARCHAR, sha256 VARCHAR, scale FLOAT)[], " +
	"template_sha256 VARCHAR, engine VARCHAR, seed UINTEGER))"

// tryResult is tryType's value as JSON: every field is there.
type tryResult struct {
	Value   json.RawMessage    `json:"value"`
	Error   *tryError          `json:"error"`
	Usage   tryUsage           `json:"usage"`
	Finish  *string            `json:"finish_reason"`
	Lineage *inference.Lineage `json:"lineage"`
}

type tryError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

type tryUsage struct {
	Prompt     int     `json:"prompt"`
	Shared     int     `json:"shared"`
	Completion int     `json:"completion"`
	MS         float64 `json:"ms"`
}

// tried is what became of a row. Rows that cost nothing, since another's answer is
// theirs, have no usage.
func tried(r *call, c inference.Completion) string {
	o := tryResult{Lineage: c.Lineage}
	if !c.Cached {
		ms := float64((c.Queue + c.Prefill + c.Decode).Microseconds()) / 1000
		o.Usage = tryUsage{c.PromptTokens, c.SharedTokens, c.CompletionTokens, ms}
	}
	switch {
	case c.Err != nil:
		o.Error = &tryError{string(c.Err.Code), c.Err.Error(), c.Err.Code.Retryable()}
	case r.typed:
		o.Value = json.RawMessage(c.Text)
	default:
		o.Value = quoted(c.Text)
	}
	if c.FinishReason != "" {
		o.Finish = &c.FinishReason
	}
	b, err := json.Marshal(o)
	if err != nil { // the value is none after all
		o.Value, o.Error = nil, &tryError{string(errs.Internal), err.Error(), false}
		b, _ = json.Marshal(o) //nolint:errchkjson // text and numbers
	}
	return string(b)
}

func quoted(s string) json.RawMessage {
	b, _ := json.Marshal(s) //nolint:errchkjson // a text always is one
	return b
}

func typedScalars() []operator.Scalar {
	modelAndPrompt := [][]int{{0}, {1, 2}} // or messages
	return []operator.Scalar{
		{Fn: fnGenerateAs, Name: "__generate_as", Args: columns("prompt", typedOptions), Returns: "VARCHAR", Lift: true, JSON: true, Groups: modelAndPrompt},
		{Fn: fnExtract, Name: "__ai_extract", Args: columns("text", extractOptions), Returns: "VARCHAR", Lift: true, JSON: true, Groups: [][]int{{0}, {1}}},
		{Fn: fnTry, Name: "__try_generate", Args: columns("prompt", tryOptions), Returns: tryType, Lift: true, JSON: true, Groups: modelAndPrompt},
	}
}

func typedMacros() []string {
	given := func(opts []option) []option { return opts[:len(opts)-1] } // returns goes by position
	return []string{
		macro("generate_as", "model, prompt, returns := '"+onlyText+"', "+onlyNamed, []string{"model", "prompt"}, given(typedOptions), "returns"),
		macro("ai_extract", "text, returns, "+onlyNamed+", model := ''", []string{"model", "text"}, given(extractOptions), "returns"),
		macro("try_generate", modelAndText("prompt")+", "+onlyNamed, []string{"model", "prompt"}, tryOptions),
	}
}
