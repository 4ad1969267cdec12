package inference

import (
	"context"
	"slices"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// saves says whether anything of a process's dialogues is to be saved.
func (e *Engine) saves(l *live) bool {
	return e.cfg.States != nil && !l.info.EmbedsOnly && l.model.Options.PrefixBytes() > 0
}

// saveDialogues writes what a process keeps of dialogues to disk, those used last
// first, as far as there is time. What is lost is computed anew.
func (e *Engine) saveDialogues(l *live) {
	if !e.saves(l) {
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

// hasSpoken notes a dialogue's turn.
func (l *live) hasSpoken() {
	select {
	case l.spoke <- struct{}{}:
	default: // the one before has not been looked at yet
	}
}

// setAside saves the states of dialogues that may soon have to make room in their
// process's memory: those used longest ago, beyond half of what it may keep. It ends
// with the process; that one's end saves the rest.
func (e *Engine) setAside(l *live) {
	if !e.saves(l) {
		return
	}
	for failing := false; ; {
		select {
		case <-l.spoke:
		case <-l.stop:
			return
		case <-l.proc.Done():
			return
		}
		err := e.saveOldest(l)
		if err != nil && !failing { // said once until it works again
			e.log.Warn("dialogues' states cannot be saved; they are computed again", "model", l.model.Name, "error", err)
		}
		failing = err != nil
	}
}

func (e *Engine) saveOldest(l *live) error {
	ctx, cancel := context.WithTimeout(e.base, saveTime)
	defer cancel()
	stats, err := l.proc.Stats(ctx)
	over := stats.PrefixBytes - l.model.Options.PrefixBytes()/2
	if err != nil || over <= 0 {
		return nil
	}
	list, err := l.proc.Dialogues(ctx)
	for _, d := range slices.Backward(list) {
		if err != nil || over <= 0 {
			break
		}
		over -= d.Bytes
		_, err = e.saveDialogue(ctx, l, d)
	}
	select {
	case <-l.stop:
		return nil // the end of the process saves what is missing
	case <-l.proc.Done():
		return nil
	default:
		return err
	}
}
