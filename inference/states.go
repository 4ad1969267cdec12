package inference

import (
	"context"
	"fmt"
	"time"

	"hyprstream/errs"
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

// saveDialogues writes what a process keeps of dialogues to disk, those used last
// first, as far as there is time. What is lost is computed anew.
func (e *Engine) saveDialogues(l *live) {
	store := e.cfg.States
	if store == nil || l.info.EmbedsOnly || l.model.Options.PrefixBytes() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), saveTime) // not e.base, which has ended at a shutdown
	defer cancel()
	list, err := l.proc.Dialogues(ctx)
	count, bytes := 0, int64(0)
	for _, d := range list {
		var saved bool
		if saved, err = e.saveDialogue(ctx, l, d); err != nil {
			break
		}
		if saved {
			count, bytes = count+1, bytes+d.Bytes
		}
	}
	if err != nil {
		e.log.Warn("not all dialogues' states were saved; they are computed again", "model", l.model.Name, "of", len(list), "saved", count, "error", err)
	} else if count > 0 {
		e.log.Info("dialogues' states saved", "model", l.model.Name, "dialogues", count, "bytes", bytes)
	}
}

// saveDialogue writes one, unless it is not worth it or on disk already. What cannot
// be known of the others is no error.
func (e *Engine) saveDialogue(ctx context.Context, l *live, d decode.Dialogue) (saved bool, err error) {
	store := e.cfg.States
	info := StateInfo{
		Session: d.Name, Model: l.model.Name, SHA256: l.model.SHA256, Options: l.model.stateOptions(), Engine: l.engine(),
		Adapters: decode.AdapterSet(d.Adapters), Made: d.Made, Used: d.Used,
	}
	before, ok := store.Find(d.Name)
	if d.Length < leastSaved || ok && before.Made.Equal(d.Made) || !e.fits(info) || !store.Room(d.Name, d.Bytes, d.Used) {
		return false, nil
	}
	whole, state, err := l.proc.Dialogue(ctx, d.Name)
	if errs.CodeOf(err) == errs.NotFound { // others needed its room meanwhile
		return false, nil
	}
	if err != nil {
		return false, err
	}
	info.Made = whole.Made
	err = store.Put(ctx, info, whole.Tokens, state, func() bool { return e.fits(info) })
	return err == nil, err
}

// recall gives a process what is on disk of a request's dialogue, unless it has
// something of it. Where that cannot be, the request's prompt is computed.
func (e *Engine) recall(ctx context.Context, l *live, req *decode.Request) {
	store := e.cfg.States
	if store == nil || req.Keep == "" {
		return
	}
	info, ok := store.Find(req.Keep)
	if !ok {
		return
	}
	if !e.fits(info) || info.Engine != l.engine() || info.Model != l.model.Name || info.SHA256 != l.model.SHA256 {
		store.Remove(req.Keep)
		return
	}
	if info.Adapters != decode.AdapterSet(req.Adapters) {
		return // this turn's state is of no use for it, nor the other way round
	}
	list, err := l.proc.Dialogues(ctx)
	for _, d := range list {
		if d.Name == req.Keep {
			return
		}
	}
	if err != nil {
		return // so will the request
	}
	info, tokens, state, err := store.Load(ctx, req.Keep)
	if err != nil {
		e.log.Debug("dialogue's state not read", "model", l.model.Name, "error", err)
		return
	}
	d := decode.Dialogue{Name: req.Keep, Adapters: req.Adapters, Length: len(tokens), Tokens: tokens, Bytes: int64(len(state)), Made: info.Made}
	if err := l.proc.Adopt(ctx, d, state); err != nil {
		e.log.Warn("dialogue's state not taken", "model", l.model.Name, "error", err)
		store.Remove(req.Keep)
	}
}

// distrust removes the states of dialogues at whose turn a process died: should one be
// the reason, the next process must not be given it.
func (e *Engine) distrust(rows []*row) {
	for _, r := range rows {
		if e.cfg.States != nil && r.req.Keep != "" && !r.finished {
			e.cfg.States.Remove(r.req.Keep)
		}
	}
}
