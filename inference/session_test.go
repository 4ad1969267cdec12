package inference

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hyprstream/errs"
)

func say(t *testing.T, s *Sessions, id, model string, messages ...Message) {
	t.Helper()
	turn, err := s.Begin(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer turn.End()
	turn.Say(model, messages...)
}

func TestSessions(t *testing.T) {
	s := NewSessions()
	say(t, s, "x", "a", Message{"user", "1"}, Message{"assistant", "2"})
	say(t, s, "w", "b", Message{"user", "5"}, Message{"assistant", "6"})
	turn, err := s.Begin(t.Context(), "x")
	if err != nil || turn.Model != "a" || fmt.Sprint(turn.Messages) != "[{user 1} {assistant 2}]" {
		t.Fatalf("%+v %v", turn, err)
	}
	turn.Messages[0].Content = "changed"
	turn.End() // nothing said: nothing kept
	if s.Messages("x")[0].Content != "1" || s.Messages("none") != nil {
		t.Error("messages are shared, or made up")
	}
	if l := s.List(); len(l) != 2 || l[0].ID != "w" || l[1].ID != "x" || l[1].Messages != 2 || l[1].Model != "a" {
		t.Errorf("%+v", l)
	}
	if _, err := s.Begin(t.Context(), ""); errs.CodeOf(err) != errs.InvalidArgument {
		t.Errorf("no name: %v", err)
	}
}

func TestSessionTurnsWait(t *testing.T) {
	s := NewSessions()
	first, err := s.Begin(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Begin(ctx, "x"); errs.CodeOf(err) != errs.Timeout {
		t.Errorf("a second speaker: %v", err)
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
	first.Say("a", Message{"user", "1"}, Message{"assistant", "2"})
	first.End()
	if n := <-got; n != 2 {
		t.Errorf("the next speaker saw %d messages", n)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := NewSessions()
	for i := range maxSessions + 5 {
		say(t, s, fmt.Sprint(i), "a", Message{"user", "1"})
	}
	if l := s.List(); len(l) != maxSessions || s.Messages("0") != nil {
		t.Errorf("%d sessions", len(l))
	}
}
