package rest

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"hyprstream/errs"
)

// kind tells the two OpenAI endpoints apart where their answers differ.
type kind struct {
	prefix string // of ids
	object string
	chunk  string // object of a streamed piece
	chat   bool   // choices carry messages, not texts
}

var (
	chatKind       = kind{"chatcmpl-", "chat.completion", "chat.completion.chunk", true}
	completionKind = kind{"cmpl-", "text_completion", "text_completion", false}
)

// choice is one row of generate(…).
type choice struct {
	index  int
	text   string
	finish string
}

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// answer is the envelope of both endpoints, whole or streamed.
type answer struct {
	ID      string           `json:"id"`
	Object  string           `json:"object"`
	Created int64            `json:"created"`
	Model   string           `json:"model"`
	Choices []map[string]any `json:"choices"`
	Usage   *usage           `json:"usage,omitempty"`
}

func (s *server) chatCompletions(w http.ResponseWriter, r *http.Request) {
	var req chatRequest
	if err := readJSON(r, &req); err != nil {
		s.fail(w, r, err)
		return
	}
	if err := req.check(); err != nil {
		s.fail(w, r, err)
		return
	}
	// generate_stream makes one choice. Several are streamed as they finish.
	pieces := req.Stream && deref(req.N, 1) == 1
	build := chatStatement
	if pieces {
		build = chatStreamStatement
	}
	st, err := build(&req)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.answer(w, r, chatKind, &req.sampling, st, pieces)
}

func (s *server) completions(w http.ResponseWriter, r *http.Request) {
	var req completionRequest
	if err := readJSON(r, &req); err != nil {
		s.fail(w, r, err)
		return
	}
	if err := req.check(); err != nil {
		s.fail(w, r, err)
		return
	}
	pieces := req.Stream && deref(req.N, 1) == 1 && len(req.Prompt) == 1
	st := completionStatement(&req)
	if pieces {
		st = completionStreamStatement(&req)
	}
	s.answer(w, r, completionKind, &req.sampling, st, pieces)
}

// answer runs st and writes its rows in the form the request asked for.
func (s *server) answer(w http.ResponseWriter, r *http.Request, k kind, req *sampling, st *statement, pieces bool) {
	res, release, err := s.query(w, r, st.sql.String(), st.args)
	if err != nil {
		s.fail(w, r, adviseModel(err, req.Model))
		return
	}
	defer release()
	env := answer{
		ID:      k.prefix + strings.ReplaceAll(res.QueryID(), "-", ""),
		Object:  k.object,
		Created: time.Now().Unix(),
		Model:   req.Model,
	}
	if req.Stream {
		sse := &eventStream{s: s, w: w, r: r, kind: k, env: env, want: req.StreamOptions != nil && req.StreamOptions.IncludeUsage, model: req.Model}
		sse.run(res, pieces, deref(req.N, 1))
		return
	}
	var total usage
	perRequest := deref(req.N, 1)
	err = eachRow(r.Context(), res, func(batch arrow.RecordBatch, i int) error {
		c, u, model := choiceAt(batch, i, perRequest)
		env.Choices = append(env.Choices, k.whole(c))
		env.Model = model
		total.add(u, c.index%perRequest == 0)
		return nil
	})
	if err != nil {
		s.fail(w, r, adviseModel(err, req.Model))
		return
	}
	total.TotalTokens = total.PromptTokens + total.CompletionTokens
	env.Usage = &total
	writeJSON(w, http.StatusOK, env)
}

// choiceAt reads a row of chatStatement or completionStatement. The choices of
// request q are numbered from q*n, as OpenAI's server does for several prompts.
func choiceAt(batch arrow.RecordBatch, i, n int) (choice, usage, string) {
	c := choice{
		index:  intAt(batch, 0, i)*n + intAt(batch, 1, i),
		text:   stringAt(batch, 2, i),
		finish: stringAt(batch, 3, i),
	}
	return c, usage{PromptTokens: intAt(batch, 4, i), CompletionTokens: intAt(batch, 5, i)}, stringAt(batch, 6, i)
}

// add counts a choice. The prompt is counted once for all of its choices.
func (u *usage) add(v usage, firstOfPrompt bool) {
	if firstOfPrompt {
		u.PromptTokens += v.PromptTokens
	}
	u.CompletionTokens += v.CompletionTokens
}

// whole is a finished choice in the endpoint's form.
func (k kind) whole(c choice) map[string]any {
	m := map[string]any{"index": c.index, "logprobs": nil, "finish_reason": orNil(c.finish)}
	if k.chat {
		m["message"] = map[string]any{"role": "assistant", "content": c.text, "refusal": nil}
	} else {
		m["text"] = c.text
	}
	return m
}

// piece is a part of a streamed choice; finish "" means there is more to come.
func (k kind) piece(index int, text, finish string, first bool) map[string]any {
	m := map[string]any{"index": index, "logprobs": nil, "finish_reason": orNil(finish)}
	if !k.chat {
		m["text"] = text
		return m
	}
	delta := map[string]any{}
	if first {
		delta["role"] = "assistant"
	}
	if text != "" || first {
		delta["content"] = text
	}
	m["delta"] = delta
	return m
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// adviseModel marks the field of a model that is not there, and tells a server
// without any how to get one.
func adviseModel(err error, model string) error {
	if errs.CodeOf(err) != errs.ModelNotFound {
		return err
	}
	var pe *paramError
	if errors.As(err, &pe) {
		return err
	}
	if model == "" && !strings.Contains(err.Error(), "model load") {
		err = errs.New(errs.ModelNotFound, "rest", "%s; load one with: hyprstream model load PATH", err)
	}
	return &paramError{"model", err}
}
