package decode_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

// prefixed are n rows with a beginning in common.
func prefixed(common string, n int, change ...func(*decode.Request)) []decode.Request {
	var reqs []decode.Request
	for i := range n {
		reqs = append(reqs, req(fmt.Sprintf("%s%c%d", common, 'a'+i%26, i), append([]func(*decode.Request){maxTokens(5)}, change...)...))
	}
	return reqs
}

func sharing(slots int) decode.Options {
	return decode.Options{Info: decode.Info{Slots: slots}, Share: true}
}

func letters(n int) string { return strings.Repeat("x", n-1) } // and the BOS

// What is shared, and that the counts are true to the token: computed is what
// the backend saw. The fake compares each slot with its sequence.
func TestSharedTokens(t *testing.T) {
	tests := []struct {
		name   string
		slots  int
		reqs   []decode.Request
		shared int
	}{
		{"one user", 4, prefixed(letters(100), 1), 0},
		{"a short prefix", 4, prefixed(letters(31), 20), 0},
		{"the shortest prefix", 4, prefixed(letters(32), 20), 19 * 32},
		{"fewer rows than slots", 8, prefixed(letters(100), 4), 3 * 100},
		{"more rows than slots", 4, prefixed(letters(100), 40), 39 * 100},
		{"nothing in common", 4, []decode.Request{req("a" + letters(60)), req("b" + letters(60)), req("c" + letters(60))}, 0},
		{"equal prompts", 4, []decode.Request{req(letters(50)), req(letters(50)), req(letters(50)), req(letters(50))}, 3 * 49},
		{"longer than a batch", 4, prefixed(letters(900), 10), 9 * 900},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &fake.Model{}
			l := newLoop(t, m, sharing(tt.slots))
			var c collector
			if err := l.Submit(t.Context(), tt.reqs, c.sink); err != nil {
				t.Fatal(err)
			}
			prompts, shared, said := 0, 0, 0
			for i := range tt.reqs {
				r := c.result(t, i)
				if want := len(tt.reqs[i].Prompt[0].Text) + 1; r.Err != nil || r.PromptTokens != want {
					t.Errorf("row %d: %d prompt tokens, want %d; %v", i, r.PromptTokens, want, r.Err)
				}
				if want := strings.ToUpper(tt.reqs[i].Prompt[0].Text); !strings.HasPrefix(want, r.Text) {
					t.Errorf("row %d says %q", i, r.Text)
				}
				prompts, shared, said = prompts+r.PromptTokens, shared+r.SharedTokens, said+r.CompletionTokens
				if r.FinishReason == decode.FinishLength {
					said-- // the last token is not computed
				}
			}
			if shared != tt.shared {
				t.Errorf("%d tokens shared, want %d", shared, tt.shared)
			}
			s := l.Stats()
			if int(s.PromptTokens) != prompts || int(s.SharedTokens) != shared {
				t.Errorf("stats %+v, the results say %d and %d", s, prompts, shared)
			}
			entries := 0
			_, batches, _ := m.Seen()
			for _, b := range batches {
				entries += len(b)
			}
			if want := prompts - shared + said; entries != want {
				t.Errorf("%d tokens were computed, want %d", entries, want)
			}
		})
	}
}

// A prefix stays for later Submits, and goes with its adapters.
func TestPrefixStaysWarmUntilAdaptersChange(t *testing.T) {
	l := newLoop(t, &fake.Model{}, sharing(4))
	steps := []struct {
		reqs   []decode.Request
		shared int
	}{
		{prefixed(letters(100), 4), 300},
		{prefixed(letters(100), 1), 100},                                          // warm
		{prefixed("other"+letters(60), 1), 0},                                     // one user does not replace it
		{prefixed(letters(100), 4), 400},                                          // still warm
		{prefixed(letters(100), 4, using(lora("a", 1))), 300},                     // anew
		{prefixed(letters(100), 1), 0},                                            // the other set's is no use
		{prefixed("other"+letters(60), 4), 3 * 65},                                // another
		{prefixed("other"+letters(60)+strings.Repeat("y", 80), 4), 275 + 225 + 0}, // longer: goes on from there
	}
	for i, s := range steps {
		var c collector
		if err := l.Submit(t.Context(), s.reqs, c.sink); err != nil {
			t.Fatal(err)
		}
		got := 0
		for r := range s.reqs {
			got += c.result(t, r).SharedTokens
		}
		if got != s.shared {
			t.Errorf("step %d: %d tokens shared, want %d", i, got, s.shared)
		}
	}
}

// A prefix that cannot be computed, or copied, fails no row.
func TestBrokenPrefixFailsNoRow(t *testing.T) {
	broken := errors.New("broken")
	for name, m := range map[string]*fake.Model{
		"compute": {BeforeDecode: func(b []decode.Entry) error {
			if b[0].Slot == 4 {
				return broken
			}
			return nil
		}},
		"full": {BeforeDecode: func(b []decode.Entry) error {
			if b[0].Slot == 4 && b[0].Pos > 20 {
				return decode.ErrFull
			}
			return nil
		}},
		"copy": {CopyError: broken},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, m, sharing(4))
			var c collector
			reqs := prefixed(letters(100), 50)
			if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
				t.Fatal(err)
			}
			for i := range reqs {
				if r := c.result(t, i); r.Err != nil || r.SharedTokens != 0 || r.Text != "XXXXX" {
					t.Errorf("row %d: %+v", i, r)
				}
			}
		})
	}
}

// Rows that wait for a prefix can be cancelled and have deadlines.
func TestWaitingForAPrefixEnds(t *testing.T) {
	for name, cut := range map[string]bool{"cancel": true, "deadline": false} {
		t.Run(name, func(t *testing.T) {
			began := make(chan struct{}, 1000)
			m := &fake.Model{BeforeDecode: func([]decode.Entry) error {
				began <- struct{}{}
				time.Sleep(5 * time.Millisecond)
				return nil
			}}
			l := newLoop(t, m, sharing(4)) // 900 tokens in batches of 16: 280 ms
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			want := errs.Timeout
			reqs := prefixed(letters(900), 10)
			if cut {
				want = errs.Cancelled
				go func() { <-began; cancel() }()
			} else {
				for i := range reqs {
					reqs[i].Deadline = time.Now().Add(60 * time.Millisecond)
				}
			}
			var c collector
			_ = l.Submit(ctx, reqs, c.sink) // the rows tell
			for i := range reqs {
				if r := c.result(t, i); code(r.Err) != want || r.PromptTokens != 0 {
					t.Errorf("row %d: %+v", i, r)
				}
			}
			if s := l.Stats(); s.Steps > 40 {
				t.Errorf("%d steps for nobody", s.Steps)
			}
			after := &collector{}
			if err := l.Submit(t.Context(), prefixed("z", 3), after.sink); err != nil || after.result(t, 2).Err != nil {
				t.Errorf("what comes after: %v", err)
			}
		})
	}
}
