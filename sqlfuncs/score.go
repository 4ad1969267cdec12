package sqlfuncs

import (
	"slices"
	"strconv"
	"strings"

	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// The functions that score instead of writing. What the model is asked, word by
// word, is inference.Classify's and inference.Filter's.
var (
	logprobOptions  = append([]option{continuationOption}, pick("adapter", "system", "timeout_ms", "on_error", "raw", "special_tokens", "cache")...)
	classifyOptions = append([]option{labelsOption, instructionOption, calibrateOption}, pick("adapter", "timeout_ms", "on_error", "raw", "cache")...)
	filterOptions   = append([]option{judgedBy("predicate")}, pick("adapter", "timeout_ms", "on_error", "raw", "cache")...)
	cascadedFilter  = append(slices.Clone(filterOptions), cascadeOptions...)
	scoreOptions    = append([]option{judgedBy("criteria")}, filterOptions[1:]...)
	rerankOptions   = append([]option{judgedBy("query")}, filterOptions[1:]...)
	matchOptions    = append([]option{secondOption}, cascadedFilter...)
)

// These follow model and text in a packed call.
var (
	continuationOption = option{"continuation", "VARCHAR", func(c *call, a operator.Arg) error {
		if a.Text == "" {
			return invalid("the continuation is empty; there is nothing to score")
		}
		c.req.Continuations = []string{a.Text}
		return nil
	}}
	labelsOption      = option{"labels", "VARCHAR[]", func(c *call, a operator.Arg) error { c.labels = a.List; return nil }}
	instructionOption = option{"instruction", "VARCHAR", func(c *call, a operator.Arg) error { c.instruction = a.Text; return nil }}
	calibrateOption   = option{"calibrate", "BOOLEAN", func(c *call, a operator.Arg) error {
		if c.calibrate = inference.CalibrateOff; a.Text == "true" {
			c.calibrate = inference.CalibrateOn
		}
		return nil
	}}
	secondOption = option{"second", "VARCHAR", func(c *call, a operator.Arg) error { c.second = a.Text; return nil }}
)

// judgedBy is what a text is held against, by the function's name for it.
func judgedBy(name string) option {
	return option{name, "VARCHAR", func(c *call, a operator.Arg) error { c.predicate = a.Text; return nil }}
}

// batched is a function with one request and one answer per row.
type batched struct {
	name string
	asks uint16 // equal for functions that ask the model the same of equal arguments
	opts []option
	// ask completes the request that was read; false: the answer is NULL.
	ask    func(r *call) bool
	answer func(r *call, c inference.Completion) string
}

var batchedFunctions = map[uint16]batched{
	fnGenerate: {"generate", fnGenerate, generateOptions, always, written},
	fnLogprob:  {"logprob", fnLogprob, logprobOptions, always, func(_ *call, c inference.Completion) string { return *float(c.Scores[0]) }},
	fnClassify: {"ai_classify", fnClassify, classifyOptions, askClassify, func(r *call, c inference.Completion) string {
		return r.req.Choice.Likeliest(r.req.Choice.Probabilities(c.Scores))
	}},
	fnClassifyProbs: {"ai_classify_probs", fnClassify, classifyOptions, askClassify, func(r *call, c inference.Completion) string {
		return mapText(r.req.Choice.Answers, r.req.Choice.Probabilities(c.Scores))
	}},
	fnFilter: {"ai_filter", fnFilter, cascadedFilter, askFilter, isYes},
	fnMatch:  {"ai_match", fnMatch, matchOptions, askMatch, isYes},
	fnScore: {"ai_score", fnScore, scoreOptions, askScore, func(r *call, c inference.Completion) string {
		return *float(r.req.Choice.Rating(r.req.Choice.Probabilities(c.Scores)))
	}},
	fnRerank: {"ai_rerank", fnRerank, rerankOptions, askRerank, func(r *call, c inference.Completion) string {
		return *float(yes(r, c))
	}},
	fnFilterProb: {"ai_filter_prob", fnFilter, filterOptions, askFilter, func(r *call, c inference.Completion) string {
		return *float(yes(r, c))
	}},
}

func always(*call) bool { return true }

func written(_ *call, c inference.Completion) string { return c.Text }

func askClassify(r *call) bool {
	c := inference.Classify(r.req.Prompt, r.labels, r.instruction)
	if c != nil {
		c.Calibrate = r.calibrate
	}
	r.req.Choice = c
	return c != nil
}

func askFilter(r *call) bool {
	r.req.Choice = inference.Filter(r.req.Prompt, r.predicate)
	return true
}

func askMatch(r *call) bool {
	r.req.Choice = inference.Match(r.req.Prompt, r.second, r.predicate)
	return true
}

func askScore(r *call) bool {
	r.req.Choice = inference.Score(r.req.Prompt, r.predicate)
	return true
}

func askRerank(r *call) bool {
	r.req.Choice = inference.Relevant(r.predicate, r.req.Prompt)
	return true
}

func isYes(r *call, c inference.Completion) string { return strconv.FormatBool(yes(r, c) > 0.5) }

func yes(r *call, c inference.Completion) float64 {
	return r.req.Choice.Yes(r.req.Choice.Probabilities(c.Scores))
}

// mapText is a MAP(VARCHAR, DOUBLE) as DuckDB's cast from text reads it. The
// numbers are the shortest that read back as the same.
func mapText(keys []string, values []float64) string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(`"` + quote.Replace(k) + `"=` + *float(values[i]))
	}
	return "{" + b.String() + "}"
}

func scoringScalars() []operator.Scalar {
	all := [][]int{{0}, {1}, {2}} // model, text, and what it is scored by: no NULL among them
	scalar := func(fn uint16, text string, opts []option, returns string) operator.Scalar {
		return operator.Scalar{Fn: fn, Name: "__" + batchedFunctions[fn].name, Args: columns(text, opts), Returns: returns, Lift: true, Groups: all}
	}
	return []operator.Scalar{
		scalar(fnLogprob, "prompt", logprobOptions, "DOUBLE"),
		scalar(fnClassify, "text", classifyOptions, "VARCHAR"),
		scalar(fnClassifyProbs, "text", classifyOptions, "MAP(VARCHAR, DOUBLE)"),
		scalar(fnFilter, "text", cascadedFilter, "BOOLEAN"),
		{Fn: fnMatch, Name: "__ai_match", Args: columns("first", matchOptions), Returns: "BOOLEAN", Lift: true, Groups: append(all, []int{3})},
		scalar(fnFilterProb, "text", filterOptions, "DOUBLE"),
		scalar(fnScore, "text", scoreOptions, "DOUBLE"),
		scalar(fnRerank, "document", rerankOptions, "DOUBLE"),
	}
}

// scoringMacros give the inner functions their names. A model that is not named
// is the default one; one that is NULL makes the row NULL.
func scoringMacros() []string {
	const model = onlyNamed + ", model := ''"
	ai := func(name, by string, opts []option) string {
		return macro(name, "text, "+by+", "+model, []string{"model", "text", by}, opts[1:])
	}
	return []string{
		macro("logprob", "model, prompt, continuation, "+onlyNamed,
			[]string{"model", "prompt", "continuation"}, logprobOptions[1:]),
		ai("ai_classify", "labels", classifyOptions),
		ai("ai_classify_probs", "labels", classifyOptions),
		ai("ai_filter", "predicate", cascadedFilter),
		macro("ai_match", "first, second, predicate, "+model,
			[]string{"model", "first", "second", "predicate"}, matchOptions[2:]),
		ai("ai_filter_prob", "predicate", filterOptions),
		ai("ai_score", "criteria", scoreOptions),
		macro("ai_rerank", "query, document, "+model, []string{"model", "document", "query"}, rerankOptions[1:]),
	}
}
