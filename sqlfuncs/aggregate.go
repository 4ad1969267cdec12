package sqlfuncs

import (
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// Of the functions over many rows.
const (
	fnAgg uint16 = iota + 30
	fnSummarizeAgg
	fnRows
)

// What a group is answered with: its texts are the second argument, as a list.
var (
	groupOptions = pick("adapter", "system", "max_tokens", "temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed", "stop",
		"timeout_ms", "on_error", "raw", "cache")
	aggOptions = append([]option{instructionOption}, groupOptions...)
)

func init() {
	batchedFunctions[fnAgg] = batched{"ai_agg", fnAgg, aggOptions, askAgg, written}
	batchedFunctions[fnSummarizeAgg] = batched{"ai_summarize_agg", fnSummarizeAgg, groupOptions, askSummary, written}
	writing["ai_agg"], writing["ai_summarize_agg"] = true, true
}

func askAgg(r *call) bool {
	r.req.Reading = &inference.Reading{Instruction: r.instruction, Texts: r.texts}
	return true
}

func askSummary(r *call) bool {
	r.req.Reading = &inference.Reading{Instruction: inference.Summary, Texts: r.texts}
	return true
}

func aggregates() []operator.Aggregate {
	return []operator.Aggregate{
		{Fn: fnAgg, Name: "ai_agg", Args: columns("text", aggOptions), Positional: 2},
		{Fn: fnSummarizeAgg, Name: "ai_summarize_agg", Args: columns("text", groupOptions), Positional: 1},
	}
}
