package inference

import (
	"context"
	"sync"

	"hyprstream/runtime/decode"
)

// Where what was computed of a dialogue is kept, as ai.sessions shows it.
const (
	KeptInMemory = "memory" // of its model's process
	KeptOnDisk   = "disk"   // for the model's next process
	KeptNowhere  = "none"   // its next turn computes all of it
)

// DialogueStatus says what is kept of what was computed of a dialogue.
type DialogueStatus struct {
	Kept   string
	Tokens int
	Bytes  int64
}

// Dialogues says what is kept of dialogues, by session; of those that are not in it
// nothing is. Processes are asked side by side; one that does not answer in time is
// left out.
func (e *Engine) Dialogues() map[string]DialogueStatus {
	out := map[string]DialogueStatus{}
	if e.cfg.States != nil {
		for _, i := range e.cfg.States.List() {
			if e.fits(i) {
				out[i.Session] = DialogueStatus{KeptOnDisk, i.Length, i.Bytes}
			}
		}
	}
	lives := e.ready()
	ctx, cancel := context.WithTimeout(e.base, statsPatience)
	defer cancel()
	lists := make([][]decode.Dialogue, len(lives))
	var wg sync.WaitGroup
	for i, l := range lives {
		wg.Go(func() {
			var err error
			if lists[i], err = l.proc.Dialogues(ctx); err != nil {
				e.log.Debug("dialogues not listed", "model", l.model.Name, "error", err)
			}
		})
	}
	wg.Wait()
	for _, list := range lists {
		for _, d := range list {
			out[d.Name] = DialogueStatus{KeptInMemory, d.Length, d.Bytes}
		}
	}
	return out
}

// ready are the processes that take work.
func (e *Engine) ready() (lives []*live) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.residents {
		if r.live != nil && r.state() == StateReady {
			lives = append(lives, r.live)
		}
	}
	return lives
}
