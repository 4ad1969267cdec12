package sqlfuncs

import (
	"context"
	"strings"
	"sync"

	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// chat answers each row in its session. Rows of one session speak one after the
// other, in row order; sessions go side by side. A turn that fails leaves its
// session as it was.
func (h *handler) chat(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	bySession := map[string][]int{}
	for i, c := range calls {
		bySession[c.Args[0].Text] = append(bySession[c.Args[0].Text], i)
	}
	recorderOf(ctx).Expect("chat", "", len(calls), len(calls))
	var wg sync.WaitGroup
	var mu sync.Mutex // done is called by one at a time
	for session, rows := range bySession {
		wg.Go(func() {
			for _, i := range rows {
				a := h.turn(ctx, session, calls[i])
				mu.Lock()
				done(i, a)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// speech is a turn in a session whose message has been put.
type speech struct {
	*inference.Turn
	model string
	said  inference.Message
}

// speak takes the turn in a session and makes a request's prompt its next message.
// The caller calls End.
func (h *handler) speak(ctx context.Context, session string, req *inference.Request) (*speech, error) {
	t, err := h.Sessions.Begin(ctx, session)
	if err != nil {
		return nil, err
	}
	if req.Model == "" {
		req.Model = t.Model
	}
	m, err := h.Registry.Model(req.Model)
	if errs.CodeOf(err) == errs.ModelNotFound && t.Model != "" && req.Model == t.Model {
		err = errs.New(errs.ModelNotFound, "chat", "session %q was held with model %q, which was dropped; create the model again, or begin anew: DROP SESSION '%s'",
			session, t.Model, strings.ReplaceAll(session, "'", "''"))
	}
	if err == nil && t.Model != "" && t.Model != m.Name {
		err = errs.New(errs.InvalidArgument, "chat", "session %q belongs to model %q, not %q; use another session", session, t.Model, m.Name)
	}
	if err != nil {
		t.End()
		return nil, err
	}
	s := &speech{t, m.Name, inference.Message{Role: "user", Content: req.Prompt}}
	req.Model, req.Prompt, req.Messages, req.Keep = m.Name, "", append(t.Messages, s.said), session
	return s, nil
}

// answered keeps the turn.
func (s *speech) answered(text string) error {
	return s.Say(s.model, s.said, inference.Message{Role: "assistant", Content: text})
}

// turn says one message and keeps the answer.
func (h *handler) turn(ctx context.Context, session string, c operator.Call) operator.Answer {
	r, _, err := read(c, chatOptions)
	if err != nil {
		return operator.Answer{Err: asError(err), Fail: r.fail}
	}
	if c.Args[2].Kind == operator.Null {
		r.req.Model = "" // read has put the session's name there
	}
	s, err := h.speak(ctx, session, &r.req)
	if err != nil {
		return operator.Answer{Err: asError(err), Fail: r.fail}
	}
	defer s.End()
	var answer inference.Completion
	err = h.Engine.Generate(ctx, []inference.Request{r.req}, func(_ int, c inference.Completion) { answer = c })
	if err == nil && answer.Err != nil {
		err = answer.Err
	}
	recorderOf(ctx).Row("chat", answer, 1)
	if err != nil {
		return operator.Answer{Err: asError(err), Fail: r.fail}
	}
	if err := s.answered(answer.Text); err != nil {
		return operator.Answer{Err: asError(err), Fail: r.fail}
	}
	return operator.Answer{Text: answer.Text}
}
