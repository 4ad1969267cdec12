package operator

import (
	"context"
	"sync"
)

// work counts the goroutines that answer for one statement. They may go on for a
// step of the model after it has ended.
type work struct {
	ctx context.Context // the statement's

	mu   sync.Mutex
	n    int
	over func() // to be called when n is 0; nil: nobody waits for it
}

// statement is the work for the statement of conn that runs.
func (a *Attachment) statement(conn uint64) *work {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.stmts[conn]; w != nil {
		return w
	}
	return &work{ctx: context.Background()}
}

func (w *work) enter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
}

func (w *work) leave() {
	w.mu.Lock()
	w.n--
	over := w.over
	if w.n > 0 {
		over = nil
	} else {
		w.over = nil
	}
	w.mu.Unlock()
	if over != nil {
		over()
	}
}

// whenOver calls f once when nothing is answered: now, or on the goroutine that ends last.
func (w *work) whenOver(f func()) {
	w.mu.Lock()
	idle := w.n == 0
	if !idle {
		w.over = f
	}
	w.mu.Unlock()
	if idle {
		f()
	}
}
