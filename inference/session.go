package inference

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"hyprstream/errs"
)

// maxSessions is how many dialogues are kept; the one used longest ago goes first.
const maxSessions = 10000

// Session describes a dialogue that is kept.
type Session struct {
	ID       string
	Model    string
	Messages int
	Created  time.Time
	Used     time.Time
}

// Sessions keeps dialogues in memory, until the server stops. It may be used from
// any goroutine.
type Sessions struct {
	mu   sync.Mutex
	byID map[string]*session // guarded by mu, and so are their fields
}

type session struct {
	info     Session // without Messages until the first turn is over
	messages []Message
	turn     chan struct{} // has one item while a turn is on
	turns    int           // on or waited for
}

// NewSessions makes an empty store.
func NewSessions() *Sessions { return &Sessions{byID: map[string]*session{}} }

// Turn is the right to speak in a session. Its holder calls End.
type Turn struct {
	Model    string    // "" in a new session
	Messages []Message // so far

	store *Sessions
	s     *session
}

// Begin waits until nobody else speaks in a session and takes the turn.
func (s *Sessions) Begin(ctx context.Context, id string) (*Turn, error) {
	if id == "" {
		return nil, errs.New(errs.InvalidArgument, "chat", "the session has no name; give it one")
	}
	s.mu.Lock()
	d := s.byID[id]
	if d == nil {
		s.evict()
		d = &session{info: Session{ID: id, Created: time.Now()}, turn: make(chan struct{}, 1)}
		s.byID[id] = d
	}
	d.turns++
	s.mu.Unlock()
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		s.leave(d)
		return nil, contextError(ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Turn{Model: d.info.Model, Messages: slices.Clone(d.messages), store: s, s: d}, nil
}

// Say adds what was said in this turn. A session's first turn fixes its model.
func (t *Turn) Say(model string, messages ...Message) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	d := t.s
	d.info.Model, d.info.Used = model, time.Now()
	d.messages = append(d.messages, messages...)
	d.info.Messages = len(d.messages)
}

// End lets the next one speak.
func (t *Turn) End() {
	<-t.s.turn
	t.store.leave(t.s)
}

// leave forgets a session in which nothing was said.
func (s *Sessions) leave(d *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.turns--
	if d.turns == 0 && len(d.messages) == 0 {
		delete(s.byID, d.info.ID)
	}
}

// evict makes room for one more. mu is held.
func (s *Sessions) evict() {
	if len(s.byID) < maxSessions {
		return
	}
	var oldest *session
	for _, d := range s.byID {
		if d.turns == 0 && (oldest == nil || d.info.Used.Before(oldest.info.Used)) {
			oldest = d
		}
	}
	if oldest != nil {
		delete(s.byID, oldest.info.ID)
	}
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

// List describes the sessions, by id.
func (s *Sessions) List() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Session, 0, len(s.byID))
	for _, d := range s.byID {
		if len(d.messages) > 0 {
			out = append(out, d.info)
		}
	}
	slices.SortFunc(out, func(a, b Session) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
