package sqlfuncs

import (
	"encoding/json"

	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// rowsOptions are those of FROM generate_rows: the dialogue would be one for all rows.
var rowsOptions = without(generateOptions, "messages")

func init() {
	batchedFunctions[fnRows] = batched{"generate_rows", fnRows, rowsOptions, always, func(_ *call, c inference.Completion) string {
		return finished{Completion: &c.Text, FinishReason: c.FinishReason, rowCost: costOf(c)}.text()
	}}
	writing["generate_rows"] = true
}

func rowsScalar() operator.Scalar {
	return operator.Scalar{Fn: fnRows, Name: "__generate_rows", Args: columns("prompt", rowsOptions), Returns: "VARCHAR",
		Groups: [][]int{{0}, {1}}, Lift: true, Early: true}
}

func rowsTable() operator.Table {
	return operator.Table{Fn: fnRows, Name: "generate_rows", Args: columns("query", rowsOptions), Overloads: [][]int{{}, {1}, {0, 1}},
		Rows: true, Columns: []operator.Column{
			{Name: "completion", Type: "VARCHAR"}, {Name: "finish_reason", Type: "VARCHAR"}, {Name: "prompt_tokens", Type: "INTEGER"},
			{Name: "shared_tokens", Type: "INTEGER"}, {Name: "completion_tokens", Type: "INTEGER"}, {Name: "error", Type: "VARCHAR"},
		}}
}

// finished is a row's answer: what becomes its columns.
type finished struct {
	Completion   *string `json:"completion,omitempty"`
	FinishReason string  `json:"finish_reason,omitempty"`
	*rowCost
	Error string `json:"error,omitempty"`
}

// rowCost is what was computed for a row.
type rowCost struct {
	Prompt  int `json:"prompt_tokens"`
	Shared  int `json:"shared_tokens"`
	Written int `json:"completion_tokens"`
}

func costOf(c inference.Completion) *rowCost {
	if c.Cached {
		return &rowCost{}
	}
	return &rowCost{c.PromptTokens, c.SharedTokens, c.CompletionTokens}
}

func (f finished) text() string {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // it is text and numbers
	}
	return string(b)
}

// failure is the answer to a call that failed; fail: by the wish of the call the statement does.
func failure(fn uint16, err *errs.Error, fail bool) operator.Answer {
	switch {
	case fail || err.Code == errs.Cancelled:
		return operator.Answer{Err: err, Fail: true}
	case ends(err):
		return operator.Answer{Err: err}
	case fn == fnRows:
		return operator.Answer{Text: finished{Error: string(err.Code) + ": " + err.Error()}.text()}
	case fn == fnTry:
		return operator.Answer{Text: tried(&call{}, inference.Completion{Err: err})}
	}
	return operator.Answer{Err: err}
}

// ends says whether a row's failure is in truth its statement's.
func ends(err *errs.Error) bool {
	return err.Code == errs.Cancelled || err.Code == errs.BudgetExceeded
}
