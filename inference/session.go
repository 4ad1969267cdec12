package inference

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"hyprstream/errs"
)

const (
	maxSessions = 10_000 // kept; the one used longest ago goes first
	maxID       = 1_000  // bytes
)

// Session describes a dialogue that is kept.
type Session struct {
	ID       string
	Model    string
	Messages int
	Created  time.Time
	Used     time.Time
}

// SessionStore keeps dialogues; the catalog is one. Its methods may be called from
// several goroutines, those of one session one after the other.
type SessionStore interface {
	// Sessions are those that are kept.
	Sessions() ([]Session, error)
	// Dialogue is what was said in a session.
	Dialogue(id string) ([]Message, error)
	// AddTurn adds what was said, of which s.Messages counts all with it, and returns when it is kept for good.
	AddTurn(s Session, said []Message) error
	// ForgetSession removes a session.
	ForgetSession(id string) error
}

// Sessions are the dialogues of chat. It may be used from any goroutine.
type Sessions struct {
	store SessionStore
	// OnForget, when it is set, hears of a session that was removed. It is set before
	// the first turn.
	OnForget func(id string)

	mu   sync.Mutex
	byID map[string]*session // guarded by mu, and so are their fields
}

type session struct {
	info  Session       // without Messages until the first turn is over
	turn  chan struct{} // has one item while a turn is on
	turns int           // on or waited for
}

func newSession(info Session) *session { return &session{info: info, turn: make(chan struct{}, 1)} }

// NewSessions reads which dialogues a store has.
func NewSessions(store SessionStore) (*Sessions, error) {
	kept, err := store.Sessions()
	if err != nil {
		return nil, err
	}
	s := &Sessions{store: store, byID: make(map[string]*session, len(kept))}
	for _, v := range kept {
		s.byID[v.ID] = newSession(v)
	}
	return s, nil
}

// Turn is the right to speak in a session. Its holder calls End.
type Turn struct {
	Model    string    // "" in a new session
	Messages []Message // so far

	store *Sessions
	s     *session
}

// Begin waits until nobody else speaks in a session and takes the turn.
func (s *Sessions) Begin(ctx context.Context, id string) (*Turn, error) {
	switch {
	case id == "":
		return nil, errs.New(errs.InvalidArgument, "chat", "the session has no name; give it one")
	case len(id) > maxID:
		return nil, errs.New(errs.InvalidArgument, "chat", "the session's name has %d bytes and may have %d", len(id), maxID)
	case strings.ContainsFunc(id, unicode.IsControl):
		return nil, errs.New(errs.InvalidArgument, "chat", "the session's name %q has control characters in it", id)
	}
	s.mu.Lock()
	d := s.byID[id]
	if d == nil {
		d = newSession(Session{ID: id, Created: time.Now().UTC()})
		s.byID[id] = d
	}
	d.turns++
	s.mu.Unlock()
	if err := s.take(ctx, d); err != nil {
		return nil, err
	}
	t := &Turn{Model: d.info.Model, store: s, s: d} // its fields are the turn's holder's to change
	if d.info.Messages == 0 {
		return t, nil
	}
	var err error
	if t.Messages, err = s.store.Dialogue(id); err != nil {
		t.End()
		return nil, err
	}
	return t, nil
}

// take waits for the turn in a session, in which it is counted already.
func (s *Sessions) take(ctx context.Context, d *session) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		s.leave(d)
		return contextError(ctx.Err())
	}
}

// Say adds what was said in this turn; it is kept for good when Say returns nil. A
// session's first turn fixes its model.
func (t *Turn) Say(model string, said ...Message) error {
	now := t.s.info
	now.Model, now.Used = model, time.Now().UTC()
	now.Messages += len(said)
	if err := t.store.store.AddTurn(now, said); err != nil {
		return err
	}
	t.store.mu.Lock()
	t.s.info = now
	t.store.mu.Unlock()
	t.store.evict()
	return nil
}

// End lets the next one speak.
func (t *Turn) End() { t.store.end(t.s) }

func (s *Sessions) end(d *session) {
	<-d.turn
	s.leave(d)
}

// leave forgets a session in which nothing was said.
func (s *Sessions) leave(d *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.turns--
	if d.turns == 0 && d.info.Messages == 0 {
		delete(s.byID, d.info.ID)
	}
}

// evict removes the session used longest ago where there are too many. One that
// cannot be removed now is another time's.
func (s *Sessions) evict() {
	s.mu.Lock()
	var oldest *session
	if len(s.byID) > maxSessions {
		for _, d := range s.byID {
			if d.turns == 0 && (oldest == nil || d.info.Used.Before(oldest.info.Used)) {
				oldest = d
			}
		}
	}
	if oldest == nil {
		s.mu.Unlock()
		return
	}
	oldest.turns++
	oldest.turn <- struct{}{} // nobody else has it
	s.mu.Unlock()
	defer s.end(oldest)
	_ = s.forget(oldest)
}

// forget empties a session whose turn is held.
func (s *Sessions) forget(d *session) error {
	if err := s.store.ForgetSession(d.info.ID); err != nil {
		return err
	}
	id := d.info.ID
	s.mu.Lock()
	d.info = Session{ID: id, Created: time.Now().UTC()}
	s.mu.Unlock()
	if s.OnForget != nil {
		s.OnForget(id)
	}
	return nil
}

// Model is the model of a session, "" where there is none.
func (s *Sessions) Model(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.byID[id]; d != nil {
		return d.info.Model
	}
	return ""
}

// Drop removes a session, after the turn that is on. false: there is none.
func (s *Sessions) Drop(ctx context.Context, id string) (found bool, err error) {
	s.mu.Lock()
	d := s.byID[id]
	if d != nil {
		d.turns++
	}
	s.mu.Unlock()
	if d == nil {
		return false, nil
	}
	if err := s.take(ctx, d); err != nil {
		return false, err
	}
	defer s.end(d)
	if d.info.Messages == 0 {
		return false, nil
	}
	return true, s.forget(d)
}

// List describes the sessions, by id.
func (s *Sessions) List() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Session, 0, len(s.byID))
	for _, d := range s.byID {
		if d.info.Messages > 0 {
			out = append(out, d.info)
		}
	}
	slices.SortFunc(out, func(a, b Session) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
