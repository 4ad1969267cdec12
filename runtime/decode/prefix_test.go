package decode_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	return decode.Options{Info: decode.Info{Slots: slots}, PrefixBytes: 1 << 20}
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

// Prefixes stay for later Submits, any number of them, and for their adapters.
func TestPrefixesStayWarm(t *testing.T) {
	l := newLoop(t, &fake.Model{}, sharing(4))
	steps := []struct {
		reqs   []decode.Request
		shared int
	}{
		{prefixed(letters(100), 4), 300},
		{prefixed(letters(100), 1), 100},                      // warm
		{prefixed("other"+letters(60), 1), 0},                 // nobody to share with
		{prefixed(letters(100), 4), 400},                      // still warm
		{prefixed(letters(100), 4, using(lora("a", 1))), 300}, // anew: other adapters
		{prefixed(letters(100), 1), 100},                      // each set has its own
		{prefixed(letters(100), 1, using(lora("a", 1))), 100},
		{prefixed(letters(100), 1, using(lora("a", 2))), 0},
		{prefixed("other"+letters(60), 4), 3 * 65},
		{prefixed("other"+letters(60)+strings.Repeat("y", 80), 4), 65 + 3*145}, // longer: goes on from there
		{prefixed(letters(100), 2), 200},
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

// grouped are rows of an instruction, one of some groups and a row's own end.
func grouped(groups, rows, instruction, group, own int) (reqs []decode.Request) {
	for i := range rows {
		g := i % groups
		text := strings.Repeat("i", instruction-1) + strings.Repeat(string(rune('A'+g)), group) +
			string(rune('0'+i/groups)) + strings.Repeat(".", own-1)
		reqs = append(reqs, req(text, maxTokens(1)))
	}
	return reqs
}

// computed is the number of tokens that the backend was given.
func computed(m *fake.Model) (entries int) {
	_, batches, _ := m.Seen()
	for _, b := range batches {
		entries += len(b)
	}
	return entries
}

// An instruction, groups and rows: as many tokens are computed as the tree of
// the prompts has edges.
func TestPrefixesOfPrefixes(t *testing.T) {
	for _, slots := range []int{1, 3, 4, 16} {
		m := &fake.Model{}
		l := newLoop(t, m, sharing(slots))
		reqs := grouped(4, 60, 100, 40, 7)
		var c collector
		if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
			t.Fatal(err)
		}
		want := 100 + 4*40 + 60*7
		if got := computed(m); got != want {
			t.Errorf("%d slots: %d tokens computed, want %d", slots, got, want)
		}
		if s := idle(l); int(s.PromptTokens-s.SharedTokens) != want || int(s.PromptTokens) != 60*147 {
			t.Errorf("%d slots: %+v", slots, s)
		}
	}
}

// Whatever the budget holds, every row says what it has to, and the rows of a
// group come together so that little is computed twice.
func TestPrefixBudget(t *testing.T) {
	const instruction, group, own, groups, rows = 100, 40, 7, 10, 120
	each := int64((instruction + group) * fake.TokenBytes)
	for _, tt := range []struct {
		name   string
		budget int64
		most   int // tokens computed
	}{
		{"off", 0, rows * (instruction + group + own)},
		{"less than the instruction", 90 * fake.TokenBytes, rows * (instruction + group + own)},
		{"the instruction", instruction * fake.TokenBytes, instruction + rows*(group+own)},
		{"one group beside it", instruction*fake.TokenBytes + each, instruction + rows*(group+own)},
		{"all", instruction*fake.TokenBytes + groups*each, instruction + groups*group + rows*own},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &fake.Model{}
			o := sharing(4)
			o.PrefixBytes = tt.budget
			l := newLoop(t, m, o)
			reqs := grouped(groups, rows, instruction, group, own)
			for range 2 {
				var c collector
				if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
					t.Fatal(err)
				}
				for i := range reqs {
					if r := c.result(t, i); r.Err != nil || r.Text != "I" {
						t.Fatalf("row %d: %+v", i, r)
					}
				}
			}
			got := computed(m)
			t.Logf("%d tokens computed", got)
			if got > 2*tt.most || tt.budget == 0 && got != 2*tt.most {
				t.Errorf("%d tokens computed, want at most 2 * %d", got, tt.most)
			}
		})
	}
}

// Of a call's rows those come next that share the prefix of the one before, but
// no more of them than the bound before the first that waits.
func TestRowsThatShareComeTogether(t *testing.T) {
	for bound, want := range map[int][]int{
		100: {0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15},
		3:   {0, 2, 4, 6, 1, 3, 5, 7, 9, 11, 13, 8, 10, 12, 14, 15},
	} {
		o := sharing(1)
		o.SetBound = bound
		l := newLoop(t, &fake.Model{}, o)
		var order []int
		if err := l.Submit(t.Context(), grouped(2, 16, 1, 40, 5), func(e decode.Event) { order = append(order, e.Index) }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(order, want) {
			t.Errorf("bound %d: %v, want %v", bound, order, want)
		}
	}
}

// A prefix that cannot be saved or restored fails no row.
func TestBrokenPrefixFailsNoRow(t *testing.T) {
	broken := errors.New("broken")
	for name, m := range map[string]*fake.Model{"save": {SaveError: broken}, "restore": {RestoreError: broken}} {
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

// stepwise is a model whose steps wait for the test.
func stepwise() (m *fake.Model, step, begun chan struct{}) {
	step, begun = make(chan struct{}), make(chan struct{}, 10000)
	return &fake.Model{BeforeDecode: func([]decode.Entry) error {
		begun <- struct{}{}
		<-step
		return nil
	}}, step, begun
}

// Where the row that computes a prefix is cancelled or fails before it is done,
// another takes over; rows that share nothing do not wait meanwhile.
func TestAnotherRowTakesThePrefixOver(t *testing.T) {
	t.Run("fails", func(t *testing.T) {
		failed := 0
		l := newLoop(t, &fake.Model{BeforeDecode: func(b []decode.Entry) error {
			if b[0].Pos > 100 && failed < 2 {
				failed++
				return errors.New("broken")
			}
			return nil
		}}, sharing(4))
		var c collector
		reqs := prefixed(letters(300), 8)
		if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
			t.Fatal(err)
		}
		for i := range reqs {
			r := c.result(t, i)
			if i < 2 && code(r.Err) != errs.Internal || i == 2 && r.SharedTokens != 0 || i > 2 && r.SharedTokens != 300 {
				t.Errorf("row %d: %+v", i, r)
			}
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		m, step, begun := stepwise()
		l := newLoop(t, m, sharing(4))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var first, second, other collector
		cancelled, done := make(chan error), make(chan error, 2)
		go func() { cancelled <- l.Submit(ctx, prefixed(letters(300), 2), first.sink) }()
		<-begun // the first of these computes the prefix, in 19 steps
		go func() { done <- l.Submit(t.Context(), prefixed(letters(300), 6), second.sink) }()
		for l.Stats().Queued < 8 { // the one in the slot is counted as well until the step ends
			time.Sleep(time.Millisecond)
		}
		go func() { done <- l.Submit(t.Context(), []decode.Request{req("no part of it")}, other.sink) }()
		for l.Stats().Queued < 9 {
			time.Sleep(time.Millisecond)
		}
		for range 2 { // admitted after the first, counted after the second
			step <- struct{}{}
			<-begun
		}
		if s := l.Stats(); s.Busy != 2 {
			t.Errorf("%+v: the row that shares nothing waits", s)
		}
		cancel()
		for waits := true; waits; {
			select {
			case err := <-cancelled:
				if waits = false; errs.CodeOf(err) != errs.Cancelled {
					t.Error(err)
				}
			case step <- struct{}{}:
				time.Sleep(5 * time.Millisecond) // the cancel needs some steps at most
			}
		}
		close(step)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		shared := 0
		for i := range 6 {
			if r := second.result(t, i); r.Err == nil && r.Text == "XXXXX" {
				shared += r.SharedTokens
			}
		}
		if shared != 5*300 {
			t.Errorf("%d tokens shared", shared)
		}
		if r := other.result(t, 0); r.Text != "NO PART OF IT" {
			t.Errorf("the other: %+v", r)
		}
	})
}
