package decode_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

func keep(name string) func(*decode.Request) { return func(r *decode.Request) { r.Keep = name } }

// answering says a number of letters that follows from the prompt's length.
func answering(m *fake.Model) *fake.Model {
	m.Reply = func(prompt string, _ []decode.Adapter) string {
		return strings.Repeat("a", 10+len(prompt)%7)
	}
	return m
}

// speak submits one turn.
func speak(t *testing.T, l *decode.Loop, prompt string, change ...func(*decode.Request)) decode.Result {
	t.Helper()
	var c collector
	if err := l.Submit(t.Context(), []decode.Request{req(prompt, change...)}, c.sink); err != nil {
		t.Fatal(err)
	}
	r := c.result(t, 0)
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return *r
}

// Each turn computes only what is new in it, and one snapshot is kept for a name.
func TestDialogueComputesWhatIsNew(t *testing.T) {
	m := answering(&fake.Model{})
	l := newLoop(t, m, sharing(2))
	said, had := strings.Repeat("x", 50), 0
	for turn := range 6 {
		r := speak(t, l, said, keep("s"))
		if r.SharedTokens != had || r.PromptTokens != len(said)+1 {
			t.Errorf("turn %d: %d of %d tokens shared, want %d", turn, r.SharedTokens, r.PromptTokens, had)
		}
		if len(r.Tokens) != 0 {
			t.Error("tokens that were not asked for")
		}
		had = r.PromptTokens + r.CompletionTokens
		said += r.Text + " and so on"
		if n := m.Snapshots(); n != 1 {
			t.Errorf("turn %d: %d snapshots", turn, n)
		}
	}
	if r := speak(t, l, said, keep("another")); r.SharedTokens != had {
		t.Errorf("another dialogue that begins so shares %d, want %d", r.SharedTokens, had)
	}
	if r := speak(t, l, "y"+said, keep("third")); r.SharedTokens != 0 {
		t.Errorf("one that begins otherwise shares %d", r.SharedTokens)
	}
	if n := m.Snapshots(); n != 3 {
		t.Errorf("%d snapshots", n)
	}
	if r := speak(t, l, said, keep("s"), using(lora("a", 1))); r.SharedTokens != 0 {
		t.Errorf("under other adapters %d tokens are shared", r.SharedTokens)
	}
	if n := m.Snapshots(); n != 3 {
		t.Errorf("%d snapshots after a turn under other adapters", n)
	}
}

// A limit leaves the last token uncomputed; an answer that is other tokens in the next
// prompt is shared up to there, by cutting back.
func TestDialogueIsCutBack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		window int
		next   string // after the first prompt
		shared int    // beside that
		cuts   int
	}{
		{"as it was said", 0, "aaaaa and", 4, 0},
		{"its end differs", 0, "aaab and", 3, 1},
		{"all of it differs", 0, "b", 0, 1},
		{"too far back for the window", 3, "b", -41, 1},
		{"within the window", 3, "aab", 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := answering(&fake.Model{Window: tt.window})
			l := newLoop(t, m, sharing(2))
			first := strings.Repeat("x", 40)
			if r := speak(t, l, first, keep("s"), maxTokens(5)); r.Text != "aaaaa" {
				t.Fatal(r.Text)
			}
			if r := speak(t, l, first+tt.next, keep("s"), maxTokens(5)); r.SharedTokens != 41+tt.shared || m.Cuts != tt.cuts {
				t.Errorf("%d shared, want %d; %d cuts", r.SharedTokens, 41+tt.shared, m.Cuts)
			}
		})
	}
}

// What cannot be kept or used again is computed.
func TestDialogueWithoutSnapshots(t *testing.T) {
	for name, m := range map[string]*fake.Model{
		"not saved": {SaveError: fmt.Errorf("no")}, "not restored": {RestoreError: fmt.Errorf("no")}, "no room": {}, "off": {},
	} {
		t.Run(name, func(t *testing.T) {
			opt := sharing(2)
			switch name {
			case "no room":
				opt.PrefixBytes = 100
			case "off":
				opt.PrefixBytes = 0
			}
			l := newLoop(t, answering(m), opt)
			said := strings.Repeat("x", 50)
			for range 3 {
				r := speak(t, l, said, keep("s"))
				if r.SharedTokens != 0 || r.Text != strings.Repeat("a", 10+len(said)%7) {
					t.Errorf("%d shared, %q", r.SharedTokens, r.Text)
				}
				said += r.Text
			}
		})
	}
}

// Many dialogues side by side in little memory: the oldest go, and all is right. The
// fake compares each slot with its sequence.
func TestManyDialogues(t *testing.T) {
	m := answering(&fake.Model{Window: 4})
	opt := sharing(3)
	opt.PrefixBytes = 10 * 100 * fake.TokenBytes
	l := newLoop(t, m, opt)
	var wg sync.WaitGroup
	var mu sync.Mutex
	shared := 0
	for d := range 20 {
		wg.Go(func() {
			said := strings.Repeat("common ", 6) + fmt.Sprint(d%7)
			for turn := range 8 {
				name := keep(fmt.Sprint(d))
				if d%5 == 4 {
					name = keep("")
				}
				r := speak(t, l, said, name)
				if want := strings.Repeat("a", 10+len(said)%7); r.Text != want {
					t.Errorf("dialogue %d, turn %d: %q, want %q", d, turn, r.Text, want)
				}
				mu.Lock()
				shared += r.SharedTokens
				mu.Unlock()
				said += r.Text[:len(r.Text)-turn%3] + " more"
			}
		})
	}
	wg.Wait()
	if st := l.Stats(); st.PrefixBytes > opt.PrefixBytes || int(st.SharedTokens) != shared || shared == 0 {
		t.Errorf("%+v, %d shared", st, shared)
	}
}
