package rest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// statement is the SQL text of a request. Only names of ours are written into
// the text; every value that came from a client is a bound parameter.
type statement struct {
	sql  strings.Builder
	args []any
}

// bind adds a parameter and gives its place in the text.
func (st *statement) bind(v any) string {
	st.args = append(st.args, v)
	return fmt.Sprintf("$%d", len(st.args))
}

// text binds a string, or gives a NULL where it is empty: the default model, no prompt.
func (st *statement) text(s string) string {
	if s == "" {
		return "NULL::VARCHAR"
	}
	return st.bind(s)
}

// list writes a list of bound strings.
func (st *statement) list(l []string) string {
	refs := make([]string, len(l))
	for i, s := range l {
		refs[i] = st.bind(s)
	}
	return "[" + strings.Join(refs, ", ") + "]"
}

const (
	choiceColumns = "index, text, finish_reason, prompt_tokens, completion_tokens, model"
	streamColumns = "text, done, finish_reason, prompt_tokens, completion_tokens, model"
)

// chatStatement asks for every choice at once.
func chatStatement(c *chatRequest) (*statement, error) {
	st := &statement{}
	messages, err := messagesJSON(c.Messages)
	if err != nil {
		return nil, err
	}
	st.sql.WriteString("SELECT 0 AS request, " + choiceColumns + " FROM generate(" + st.text(c.Model) + ", NULL::VARCHAR")
	st.option("messages", st.bind(messages))
	st.sampling(&c.sampling, true)
	st.sql.WriteString(")")
	return st, nil
}

// chatStreamStatement asks for one choice, piece by piece.
func chatStreamStatement(c *chatRequest) (*statement, error) {
	st := &statement{}
	messages, err := messagesJSON(c.Messages)
	if err != nil {
		return nil, err
	}
	st.sql.WriteString("SELECT " + streamColumns + " FROM generate_stream(" + st.text(c.Model) + ", NULL::VARCHAR")
	st.option("messages", st.bind(messages))
	st.sampling(&c.sampling, false)
	st.sql.WriteString(")")
	return st, nil
}

// completionStatement asks for the choices of all prompts in one statement.
func completionStatement(c *completionRequest) *statement {
	st := &statement{}
	for i, prompt := range c.Prompt {
		if i > 0 {
			st.sql.WriteString(" UNION ALL ")
		}
		fmt.Fprintf(&st.sql, "SELECT %d AS request, %s FROM generate(%s, %s", i, choiceColumns, st.text(c.Model), st.bind(prompt))
		st.option("raw", "true")
		st.sampling(&c.sampling, true)
		st.sql.WriteString(")")
	}
	return st
}

// completionStreamStatement asks for the one choice of one prompt, piece by piece.
func completionStreamStatement(c *completionRequest) *statement {
	st := &statement{}
	fmt.Fprintf(&st.sql, "SELECT %s FROM generate_stream(%s, %s", streamColumns, st.text(c.Model), st.bind(c.Prompt[0]))
	st.option("raw", "true")
	st.sampling(&c.sampling, false)
	st.sql.WriteString(")")
	return st
}

func messagesJSON(messages []chatMessage) (string, error) {
	b, err := json.Marshal(messages)
	return string(b), err
}

func (st *statement) option(name, ref string) {
	st.sql.WriteString(", " + name + " := " + ref)
}

// sampling adds the options that the request gave; the others keep the SQL
// function's defaults.
func (st *statement) sampling(s *sampling, choices bool) {
	if choices && s.N != nil {
		st.option("n", st.bind(int64(*s.N)))
	}
	if m := s.MaxCompletionTokens; m != nil {
		st.option("max_tokens", st.bind(int64(*m)))
	} else if s.MaxTokens != nil {
		st.option("max_tokens", st.bind(int64(*s.MaxTokens)))
	}
	if s.Temperature != nil {
		st.option("temperature", st.bind(*s.Temperature))
	}
	if s.TopP != nil {
		st.option("top_p", st.bind(*s.TopP))
	}
	if s.TopK != nil {
		st.option("top_k", st.bind(int64(*s.TopK)))
	}
	if s.MinP != nil {
		st.option("min_p", st.bind(*s.MinP))
	}
	if s.RepeatPenalty != nil {
		st.option("repeat_penalty", st.bind(*s.RepeatPenalty))
	}
	if s.Seed != nil {
		st.option("seed", st.bind(*s.Seed))
	}
	if len(s.Stop) > 0 {
		st.option("stop", st.list(s.Stop))
	}
	if schema, _ := s.ResponseFormat.schema(); schema != "" { // check has seen its error
		st.option("json_schema", st.bind(schema))
	}
	if len(s.Adapter) > 0 {
		st.option("adapter", st.list(s.Adapter))
	}
}
