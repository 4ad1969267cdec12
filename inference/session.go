package inference

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"hyprstream/errs"
)

// Session is a dialogue that is kept.
type Session struct {
	ID       string
	Model    string
	Messages int
	Created  time.Time
	Used     time.Time
}

// Sessions keeps dialogues in memory. It may be used from any goroutine.
type Sessions struct {
	mu   sync.Mutex
	byID map[string]*session
}

type session struct {
	info     Session
	messages []Message
}

// NewSessions makes an empty store.
func NewSessions() *Sessions { return &Sessions{byID: map[string]*session{}} }

// Append adds messages to a session, which begins with the first. All of a
// session's messages are for one model.
func (s *Sessions) Append(id, model string, messages ...Message) error {
	if id == "" {
		return errs.New(errs.InvalidArgument, "chat", "the session has no name; give it one")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.byID[id]
	now := time.Now()
	if d == nil {
		d = &session{info: Session{ID: id, Model: model, Created: now}}
		s.byID[id] = d
	}
	if d.info.Model != model {
		return errs.New(errs.InvalidArgument, "chat", "session %q belongs to model %q, not %q; use another session", id, d.info.Model, model)
	}
	d.messages = append(d.messages, messages...)
	d.info.Messages, d.info.Used = len(d.messages), now
	return nil
}

// Messages is a copy of a session's dialogue; nil when there is none.
func (s *Sessions) Messages(id string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.byID[id]; d != nil {
		return slices.Clone(d.messages)
	}
	return nil
}

// Delete forgets a session and says whether there was one.
func (s *Sessions) Delete(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, was := s.byID[id]
	delete(s.byID, id)
	return was
}

// List describes the sessions, by id.
func (s *Sessions) List() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Session, 0, len(s.byID))
	for _, d := range s.byID {
		out = append(out, d.info)
	}
	slices.SortFunc(out, func(a, b Session) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
