package inference

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// shelf is a StateStore that ends with the test.
type shelf struct {
	mu     sync.Mutex
	states map[string]StateInfo
	room   func(session string) bool // nil: always
	put    error
}

func (s *shelf) Find(session string) (StateInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.states[session]
	return i, ok
}

func (s *shelf) List() []StateInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.states))
}

func (s *shelf) Room(session string, _ int64, _ time.Time) bool {
	return s.room == nil || s.room(session)
}

func (s *shelf) Put(_ context.Context, i StateInfo, tokens []decode.Token, data []byte, stays func() bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.put != nil {
		return s.put
	}
	if i.Length, i.Size = len(tokens), int64(len(data)); stays() {
		s.states[i.Session] = i
	}
	return nil
}

func (s *shelf) Load(_ context.Context, session string) (StateInfo, []decode.Token, []byte, error) {
	i, ok := s.Find(session)
	if !ok {
		return i, nil, nil, errs.New(errs.NotFound, "test", "none")
	}
	return i, make([]decode.Token, i.Length), []byte("state of " + session), nil
}

func (s *shelf) Remove(session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.states, session)
}

func (s *shelf) RemoveIf(goes func(StateInfo) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.states, func(_ string, i StateInfo) bool { return goes(i) })
}

// names are the sessions that have a state, in order.
func (s *shelf) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.states))
}

// keeping is an engine over a shelf; each of the sessions belongs to model a.
func keeping(t *testing.T, h *host, s *shelf, sessions ...string) (*Engine, *registry) {
	t.Helper()
	if s.states == nil {
		s.states = map[string]StateInfo{}
	}
	return engine(t, h, func(c *Config) {
		c.States, c.SessionModel = s, func(id string) string {
			if slices.Contains(sessions, id) {
				return "a"
			}
			return ""
		}
	})
}

func keepsOf(lengths map[string]int) func(*process) []decode.Dialogue {
	return func(*process) (out []decode.Dialogue) {
		for name, n := range lengths {
			out = append(out, decode.Dialogue{Name: name, Length: n, Tokens: make([]decode.Token, n), Bytes: int64(n), Made: time.Unix(int64(n), 0)})
		}
		return out
	}
}

func chatRow(session string, adapters ...AdapterUse) []Request {
	return []Request{{Model: "a", Prompt: "x", Keep: session, Adapters: adapters}}
}

// What is worth it is saved at the end of a process, and given to the next one before
// the session's turn, once.
func TestStatesAreSavedAndRecalled(t *testing.T) {
	h, s := &host{}, &shelf{room: func(session string) bool { return session != "no room" }}
	e, _ := keeping(t, h, s, "s", "short", "no room")
	if _, err := collect(e, t.Context(), chatRow("s")); err != nil {
		t.Fatal(err)
	}
	h.keeps = keepsOf(map[string]int{"s": 100, "short": leastSaved - 1, "no room": 100, "not a session": 100})
	if err := e.Unload(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := s.names(); !slices.Equal(got, []string{"s"}) {
		t.Fatal(got)
	}
	h.keeps = nil
	if got := e.Dialogues(); len(got) != 1 || got["s"].Kept != KeptOnDisk || got["s"].Tokens != 100 {
		t.Error(got)
	}
	if _, err := collect(e, t.Context(), chatRow("s")); err != nil || len(h.adopted) != 1 || h.adopted[0].Length != 100 {
		t.Errorf("%+v, %v", h.adopted, err)
	}
	h.keeps = keepsOf(map[string]int{"s": 100})
	if got := e.Dialogues()["s"].Kept; got != KeptInMemory {
		t.Error(got)
	}
	if _, err := collect(e, t.Context(), chatRow("s")); err != nil || len(h.adopted) != 1 {
		t.Errorf("given once more: %+v, %v", h.adopted, err)
	}
	e.ForgetDialogue("s")
	if len(s.names()) != 0 || !slices.Equal(h.forgotten, []string{"s"}) {
		t.Errorf("%v is left, the process forgot %v", s.names(), h.forgotten)
	}
}

// A state of anything else than this process would compute is not used.
func TestStatesThatDoNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*StateInfo)
		with   []AdapterUse
		used   bool
		stays  bool
	}{
		"it fits":             {used: true, stays: true},
		"another file":        {change: func(i *StateInfo) { i.SHA256 = "other" }},
		"another model":       {change: func(i *StateInfo) { i.Model = "b" }},
		"other options":       {change: func(i *StateInfo) { i.Options += "," }},
		"another engine":      {change: func(i *StateInfo) { i.Engine += "," }},
		"without its adapter": {change: func(i *StateInfo) { i.Adapters = "x" }, stays: true},
		"with an adapter":     {with: []AdapterUse{{"polite", 1}}, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := &host{}, &shelf{}
			e, _ := keeping(t, h, s, "s")
			if err := e.Load(t.Context(), "a", nil); err != nil {
				t.Fatal(err)
			}
			h.keeps = keepsOf(map[string]int{"s": 100})
			if err := e.Unload(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			h.keeps = nil
			if err := e.Load(t.Context(), "a", nil); err != nil {
				t.Fatal(err)
			}
			i := s.states["s"]
			if c.change != nil {
				c.change(&i)
			}
			s.states["s"] = i
			if _, err := collect(e, t.Context(), chatRow("s", c.with...)); err != nil {
				t.Fatal(err)
			}
			if used, stays := len(h.adopted) == 1, len(s.names()) == 1; used != c.used || stays != c.stays {
				t.Errorf("used: %v, stays: %v", used, stays)
			}
		})
	}
}

// A state at whose turn a process died is not given to the next one.
func TestStateOfATurnThatDied(t *testing.T) {
	h, s := &host{}, &shelf{}
	h.answering = func(_ context.Context, n, _ int, r decode.Request) bool { return n == 2 && r.Keep == "s" }
	e, _ := keeping(t, h, s, "s", "r")
	if err := e.Load(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	h.keeps = keepsOf(map[string]int{"s": 100, "r": 100})
	if err := e.Unload(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	h.keeps = nil
	if out, err := collect(e, t.Context(), chatRow("s")); err != nil || out[0].Err != nil {
		t.Fatal(out, err)
	}
	if got := s.names(); len(h.adopted) != 1 || !slices.Equal(got, []string{"r"}) {
		t.Errorf("given %d times; %v is left", len(h.adopted), got)
	}
}

// A model that was dropped or changed leaves no state; neither does a full disk, and a
// process that does not answer is ended all the same.
func TestStatesThatAreNotSaved(t *testing.T) {
	for name, c := range map[string]func(*host, *shelf, *registry){
		"dropped": func(_ *host, _ *shelf, r *registry) { delete(r.models, "a") },
		"replaced": func(_ *host, _ *shelf, r *registry) {
			r.set(Model{Name: "a", Path: "/models/a", SHA256: "other", Memory: 1})
		},
		"disk full": func(_ *host, s *shelf, _ *registry) { s.put = errs.New(errs.DiskFull, "test", "no room") },
		"hangs": func(h *host, _ *shelf, _ *registry) {
			h.keeps = func(p *process) []decode.Dialogue { <-p.done; return nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, s := &host{}, &shelf{}
			e, r := keeping(t, h, s, "s")
			if err := e.Load(t.Context(), "a", nil); err != nil {
				t.Fatal(err)
			}
			h.keeps = keepsOf(map[string]int{"s": 100})
			c(h, s, r)
			if err := e.Unload(t.Context(), "a"); err != nil && errs.CodeOf(err) != errs.ModelNotFound {
				t.Fatal(err)
			}
			if got := s.names(); len(got) != 0 || len(h.alive()) != 0 {
				t.Errorf("%v is left, alive are %v", got, h.alive())
			}
		})
	}
}
