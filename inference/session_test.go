package inference

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"hyprstream/errs"
)

// disk is a SessionStore that ends with the test.
type disk struct {
	mu       sync.Mutex
	sessions map[string]Session
	said     map[string][]Message
	full     bool
}

func newDisk() *disk { return &disk{sessions: map[string]Session{}, said: map[string][]Message{}} }

func (m *disk) Sessions() (out []Session, err error) {
	for _, s := range m.sessions {
		out = append(out, s)
	}
	return out, nil
}

func (m *disk) Dialogue(id string) ([]Message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.said[id]), nil
}

func (m *disk) AddTurn(s Session, said []Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errs.New(errs.DiskFull, "test", "no room")
	}
	m.sessions[s.ID], m.said[s.ID] = s, append(m.said[s.ID], said...)
	return nil
}

func (m *disk) ForgetSession(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, id)
	delete(m.said, id)
	return nil
}

func newSessions(t *testing.T, m *disk) *Sessions {
	t.Helper()
	s, err := NewSessions(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func say(t *testing.T, s *Sessions, id, model string, messages ...Message) {
	t.Helper()
	turn, err := s.Begin(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer turn.End()
	if err := turn.Say(model, messages...); err != nil {
		t.Fatal(err)
	}
}

func TestSessions(t *testing.T) {
	m := newDisk()
	s := newSessions(t, m)
	say(t, s, "x", "a", Message{"user", "1"}, Message{"assistant", "2"})
	say(t, s, "w", "b", Message{"user", "5"}, Message{"assistant", "6"})
	for range 2 {
		turn, err := s.Begin(t.Context(), "x")
		if err != nil || turn.Model != "a" || fmt.Sprint(turn.Messages) != "[{user 1} {assistant 2}]" {
			t.Fatalf("%+v %v", turn, err)
		}
		turn.End() // nothing said: nothing kept
		if l := s.List(); len(l) != 2 || l[0].ID != "w" || l[1].ID != "x" || l[1].Messages != 2 || l[1].Model != "a" {
			t.Errorf("%+v", l)
		}
		s = newSessions(t, m) // as at the next start
	}
	for _, id := range []string{"", string(make([]byte, 2000)), "a\x00b"} {
		if _, err := s.Begin(t.Context(), id); errs.CodeOf(err) != errs.InvalidArgument {
			t.Errorf("%.10q: %v", id, err)
		}
	}
	m.full = true
	turn, err := s.Begin(t.Context(), "new")
	if err != nil {
		t.Fatal(err)
	}
	if err := turn.Say("a", Message{"user", "1"}); errs.CodeOf(err) != errs.DiskFull {
		t.Error(err)
	}
	if turn.End(); len(s.List()) != 2 {
		t.Errorf("%+v", s.List())
	}
}

func TestSessionTurnsWait(t *testing.T) {
	s := newSessions(t, newDisk())
	first, err := s.Begin(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Begin(ctx, "x"); errs.CodeOf(err) != errs.Timeout {
		t.Errorf("a second speaker: %v", err)
	}
	if _, err := s.Drop(ctx, "x"); errs.CodeOf(err) != errs.Timeout {
		t.Errorf("dropped while somebody speaks: %v", err)
	}
	got := make(chan int)
	go func() {
		turn, err := s.Begin(t.Context(), "x")
		if err != nil {
			got <- -1
			return
		}
		defer turn.End()
		got <- len(turn.Messages)
	}()
	if err := first.Say("a", Message{"user", "1"}, Message{"assistant", "2"}); err != nil {
		t.Error(err)
	}
	first.End()
	if n := <-got; n != 2 {
		t.Errorf("the next speaker saw %d messages", n)
	}
}

func TestDropSession(t *testing.T) {
	m := newDisk()
	s := newSessions(t, m)
	say(t, s, "x", "a", Message{"user", "1"})
	if found, err := s.Drop(t.Context(), "X"); found || err != nil {
		t.Error(found, err)
	}
	if found, err := s.Drop(t.Context(), "x"); !found || err != nil || len(m.said) != 0 || len(s.List()) != 0 {
		t.Error(found, err, m.said, s.List())
	}
	if found, err := s.Drop(t.Context(), "x"); found || err != nil {
		t.Error(found, err)
	}
	say(t, s, "x", "b", Message{"user", "2"})
	if l := s.List(); len(l) != 1 || l[0].Model != "b" || l[0].Messages != 1 {
		t.Errorf("%+v", l)
	}
}

// Speaking and dropping at one time: what is listed is what is kept.
func TestDropWhileSpeaking(t *testing.T) {
	m := newDisk()
	s := newSessions(t, m)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				id := fmt.Sprint(i % 3)
				if i < 6 {
					say(t, s, id, "a", Message{"user", "1"})
				} else if _, err := s.Drop(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, l := range s.List() {
		if l.Messages != len(m.said[l.ID]) || m.sessions[l.ID].Messages != l.Messages {
			t.Errorf("%+v, kept are %d", l, len(m.said[l.ID]))
		}
	}
	if len(s.List()) != len(m.sessions) {
		t.Errorf("%d listed, %d kept", len(s.List()), len(m.sessions))
	}
}

func TestSessionsAreBounded(t *testing.T) {
	m := newDisk()
	s := newSessions(t, m)
	for i := range maxSessions + 5 {
		say(t, s, fmt.Sprint(i), "a", Message{"user", "1"})
	}
	if l := s.List(); len(l) != maxSessions || len(m.said) != maxSessions || m.said["0"] != nil {
		t.Errorf("%d sessions, %d kept", len(l), len(m.said))
	}
}
