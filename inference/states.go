package inference

import (
	"context"
	"fmt"
	"time"

	"hyprstream/runtime/decode"
)

// StateInfo describes what a model has computed of a dialogue: its state when it had
// read so many tokens.
type StateInfo struct {
	Session  string
	Model    string // name
	SHA256   string // of the model's file
	Options  string // of the model
	Engine   string // what computed it
	Adapters string // the set that it was computed with, "" for none
	Length   int    // tokens
	Size     int64  // bytes of the state
	Made     time.Time
	Bytes    int64 // on disk
	Used     time.Time
}

// StateStore keeps states beyond their process. Its methods may be called from any
// goroutine.
type StateStore interface {
	// Find describes the state of a session, where there is one.
	Find(session string) (StateInfo, bool)
	List() []StateInfo
	// Room says whether a state of so many bytes, used then, would stay.
	Room(session string, bytes int64, used time.Time) bool
	// Put keeps a state in place of the session's one before, unless stays, asked last
	// and under a lock that Remove takes too, says no. After an error nothing was changed.
	Put(ctx context.Context, i StateInfo, tokens []decode.Token, data []byte, stays func() bool) error
	// Load gives the state of a session as it was put, or an error.
	Load(ctx context.Context, session string) (i StateInfo, tokens []decode.Token, data []byte, err error)
	Remove(session string)
	RemoveIf(goes func(StateInfo) bool)
}

const (
	// saveTime bounds how long the end of a process waits for what it keeps of
	// dialogues to be saved.
	saveTime = 3 * time.Second
	// leastSaved is the fewest tokens whose state is worth a file.
	leastSaved = 64
)

// stateOptions are those of a model that its states depend on.
func (m *Model) stateOptions() string {
	o := m.Options
	return fmt.Sprintf("context %d, slots %d, batch %d, gpu layers %d", o.ContextLength, o.Slots, o.BatchSize, o.GPULayers)
}

// engine names all else that a process's states depend on.
func (l *live) engine() string {
	return fmt.Sprintf("%s; %s; %d tokens in %d slots", l.info.Build, l.info.Machine, l.info.ContextLength, l.info.Slots)
}

// fits says whether a state is of a session that there is and of its model as it is
// now. The process that it is for may still be another one.
func (e *Engine) fits(i StateInfo) bool {
	if e.cfg.SessionModel(i.Session) != i.Model {
		return false
	}
	m, err := e.cfg.Registry.Model(i.Model)
	return err == nil && m.SHA256 == i.SHA256 && m.stateOptions() == i.Options && m.Options.PrefixBytes() > 0
}

func (e *Engine) removeStates(goes func(StateInfo) bool) {
	if e.cfg.States != nil {
		e.cfg.States.RemoveIf(goes)
	}
}

// SweepStates removes the states that are of no use any more, as their session or
// model is gone or has changed.
func (e *Engine) SweepStates() { e.removeStates(func(i StateInfo) bool { return !e.fits(i) }) }

// ForgetDialogue lets go of all that was computed of a session.
func (e *Engine) ForgetDialogue(session string) {
	if e.cfg.States != nil {
		e.cfg.States.Remove(session)
	}
	e.mu.Lock()
	var lives []*live
	for l := range e.running {
		lives = append(lives, l)
	}
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(e.base, statsPatience)
	defer cancel()
	for _, l := range lives {
		if err := l.proc.Forget(ctx, []string{session}); err != nil {
			e.log.Debug("dialogue not forgotten by a process", "model", l.model.Name, "error", err)
		}
	}
}
