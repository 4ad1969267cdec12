package rest

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/apache/arrow-go/v18/arrow"

	"hyprstream/database"
	"hyprstream/errs"
)

// eventStream writes server-sent events: one "data:" line per piece, then
// "data: [DONE]". It is used by the request's goroutine only.
type eventStream struct {
	s     *server
	w     http.ResponseWriter
	r     *http.Request
	kind  kind
	env   answer
	model string // as the client asked for it
	want  bool   // stream_options.include_usage
	open  bool   // the status line is written
	total usage
}

// run sends the rows of res. pieces says that they are those of
// generate_stream; else each row is a whole choice of n.
func (e *eventStream) run(res *database.Result, pieces bool, n int) {
	e.env.Object = e.kind.chunk
	row := func(batch arrow.RecordBatch, i int) error { return e.choice(batch, i, n) }
	if pieces {
		row = e.piece
	}
	if err := eachRow(e.r.Context(), res, row); err != nil {
		e.fail(adviseModel(err, e.model))
		return
	}
	if e.want {
		e.total.TotalTokens = e.total.PromptTokens + e.total.CompletionTokens
		e.env.Choices, e.env.Usage = []map[string]any{}, &e.total
		if e.event(e.env) != nil {
			return
		}
	}
	_ = e.line([]byte("[DONE]"))
}

// piece sends a row of generate_stream.
func (e *eventStream) piece(batch arrow.RecordBatch, i int) error {
	text, done := stringAt(batch, 0, i), boolAt(batch, 1, i)
	e.env.Model = stringAt(batch, 5, i)
	if err := e.begin(0); err != nil {
		return err
	}
	if text != "" {
		if err := e.send(e.kind.piece(0, text, "", false)); err != nil {
			return err
		}
	}
	if !done {
		return nil
	}
	e.total.add(usage{PromptTokens: intAt(batch, 3, i), CompletionTokens: intAt(batch, 4, i)}, true)
	return e.send(e.kind.piece(0, "", stringAt(batch, 2, i), false))
}

// choice sends a whole choice as one piece.
func (e *eventStream) choice(batch arrow.RecordBatch, i, n int) error {
	c, u, model := choiceAt(batch, i, n)
	e.env.Model = model
	e.total.add(u, c.index%n == 0)
	if err := e.send(e.kind.piece(c.index, c.text, "", true)); err != nil {
		return err
	}
	return e.send(e.kind.piece(c.index, "", c.finish, false))
}

// begin sends the piece that carries only the role, once, as OpenAI's server does.
func (e *eventStream) begin(index int) error {
	if e.open || !e.kind.chat {
		return nil
	}
	return e.send(e.kind.piece(index, "", "", true))
}

func (e *eventStream) send(choice map[string]any) error {
	e.env.Choices = []map[string]any{choice}
	return e.event(e.env)
}

func (e *eventStream) event(v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return errs.Wrap(err, errs.Internal, "rest", "an event could not be written")
	}
	return e.line(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}

// line writes one event and flushes it, so that it leaves at once.
func (e *eventStream) line(data []byte) error {
	if !e.open {
		h := e.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no") // nginx holds events back without it
		e.w.WriteHeader(http.StatusOK)
		e.open = true
	}
	_, err := e.w.Write(append(append([]byte("data: "), data...), '\n', '\n'))
	if err == nil {
		err = http.NewResponseController(e.w).Flush()
	}
	if err != nil {
		return errs.Wrap(err, errs.Cancelled, "rest", "the client went away")
	}
	return nil
}

// fail reports err: as a plain answer while nothing has been sent, else as a
// last event, which OpenAI's clients raise as an error.
func (e *eventStream) fail(err error) {
	if !e.open {
		e.s.fail(e.w, e.r, err)
		return
	}
	if errs.CodeOf(err) == errs.Internal {
		e.s.log.Error("stream failed", "path", e.r.URL.Path, "query", e.w.Header().Get(queryHeader), "err", err)
	}
	_ = e.event(map[string]errorBody{"error": bodyOf(statusOf(err), "", err)})
}
