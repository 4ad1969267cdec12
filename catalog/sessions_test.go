package catalog

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/inference"
)

// Turns that end at one time are all kept, each session's in its order, and there
// after the next start.
func TestTurnsAreKept(t *testing.T) {
	dir := t.TempDir()
	reopen := func() *Catalog {
		c, err := Open(dir, func(sha string) string { return sha }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := reopen()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := inference.Session{ID: fmt.Sprint("it's ", i), Model: "m", Created: time.Now()}
			for turn := range 10 {
				s.Messages, s.Used = 2*turn+2, time.Now()
				said := []inference.Message{{Role: "user", Content: fmt.Sprint(turn)}, {Role: "assistant", Content: "\x00'\"\u2028"}}
				if err := c.AddTurn(s, said); err != nil {
					t.Error(err)
				}
			}
			if i == 3 {
				if err := c.ForgetSession(s.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for range 2 {
		list, err := c.Sessions()
		if err != nil || len(list) != 7 || list[0].Messages != 20 || list[0].Model != "m" {
			t.Errorf("%+v %v", list, err)
		}
		said, err := c.Dialogue("it's 5")
		if err != nil || len(said) != 20 || said[18].Content != "9" || said[19] != (inference.Message{Role: "assistant", Content: "\x00'\"\u2028"}) {
			t.Errorf("%+v %v", said, err)
		}
		if all, err := c.Messages(""); err != nil || len(all) != 140 {
			t.Errorf("%d messages, %v", len(all), err)
		}
		if said, err := c.Dialogue("it's 3"); err != nil || len(said) != 0 {
			t.Errorf("%+v %v", said, err)
		}
		c.Close()
		if err := c.AddTurn(list[0], nil); errs.CodeOf(err) != errs.EngineUnavailable {
			t.Error(err)
		}
		c = reopen()
	}
	c.Close()
}
