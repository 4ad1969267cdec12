package inference

import (
	"context"
	"sync"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// resident is a model that is, was or will be loaded. Engine.mu guards it.
type resident struct {
	name     string
	live     *live         // the process that takes new work, or nil
	load     *load         // in progress, or nil
	draining chan struct{} // non-nil while Unload waits; closed when it is over
	failed   bool          // the last load failed
	died     bool          // the last process ended by itself
	lastErr  string
	restarts int
}

// live is a running process. Its fields above the line do not change.
type live struct {
	r        *resident
	model    Model
	proc     Process
	info     decode.Info
	template *chatTemplate // nil when the model has none
	broken   *errs.Error   // why its template cannot be used
	memory   int64         // of Engine.reserved
	loadedAt time.Time
	stop     chan struct{} // closed to end the process
	gone     chan struct{} // closed when the process has ended and its memory is given back
	stopOnce sync.Once
	priors   priors
	spoke    chan struct{} // has one item after a dialogue's turn that aside has not seen

	// Engine.mu guards these.
	busy    int  // leases
	retired bool // takes no more leases
	pinned  bool // by the registry, when last asked
	used    time.Time
}

func (l *live) end() { l.stopOnce.Do(func() { close(l.stop) }) }

func (l *live) ended() bool {
	select {
	case <-l.proc.Done():
		return true
	default:
		return false
	}
}

// sameFile says whether a model's definition still is what was loaded.
func sameFile(a, b Model) bool {
	return a.Path == b.Path && a.SHA256 == b.SHA256 && a.Options == b.Options
}

// acquire leases the process of a model, loading it where needed; release it
// with release. progress, which may be nil, hears of a load on the caller's
// goroutine. Its errors are the registry's, the load's and the context's.
func (e *Engine) acquire(ctx context.Context, name string, progress func(float64)) (*live, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, contextError(err)
		}
		m, err := e.cfg.Registry.Model(name)
		if err != nil {
			return nil, err
		}
		e.mu.Lock()
		if e.closed {
			e.mu.Unlock()
			return nil, errClosed()
		}
		r := e.resident(m.Name)
		if l := r.live; l != nil && !sameFile(l.model, m) {
			e.retire(l) // replaced by another file or other options: what runs on it may finish
		}
		var wait <-chan struct{}
		switch {
		case r.draining != nil:
			wait = r.draining
		case r.live != nil && r.live.ended():
			wait = r.live.gone
		case r.live != nil:
			l := r.live
			l.busy++
			e.mu.Unlock()
			return l, nil
		case r.load != nil && (r.load.abandoned || !sameFile(r.load.model, m)):
			wait = r.load.done
		default:
			if r.load == nil {
				e.startLoad(r, m)
			}
			ld := r.load
			ld.waiters++
			e.mu.Unlock()
			return e.await(ctx, ld, progress)
		}
		e.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
		}
	}
}

// resident finds or makes a model's entry. It is called with mu held.
func (e *Engine) resident(name string) *resident {
	r := e.residents[name]
	if r == nil {
		r = &resident{name: name}
		e.residents[name] = r
	}
	return r
}

// release gives a lease back.
func (e *Engine) release(l *live) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.busy--
	l.used = time.Now()
	if l.busy == 0 {
		if l.retired {
			l.end()
		}
		e.notify()
	}
}

// retire takes a process out of service; it ends once nothing runs on it. It is
// called with mu held.
func (e *Engine) retire(l *live) {
	l.retired = true
	if l.r.live == l {
		l.r.live = nil
	}
	if l.busy == 0 {
		l.end()
	}
}

// bury is called by a lease's holder whose call failed because the process died.
// It returns when the end is known, so that the next lease is of a new process.
func (e *Engine) bury(l *live) {
	patience := time.NewTimer(5 * time.Second)
	defer patience.Stop()
	select {
	case <-l.proc.Done():
	case <-patience.C: // it says it died, yet lingers
		e.mu.Lock()
		l.r.died = true
		e.retire(l)
		e.mu.Unlock()
	}
}

// watch waits for the end of a process, its own or the one asked for, and
// settles its account.
func (e *Engine) watch(l *live) {
	select {
	case <-l.stop:
	case <-l.proc.Done():
	}
	e.mu.Lock()
	died := !l.retired
	e.retire(l)
	if died {
		l.r.died = true
		if err := l.proc.Err(); err != nil {
			l.r.lastErr = err.Error()
		}
	}
	e.mu.Unlock()
	if died {
		e.log.Warn("engine process died", "model", l.model.Name, "pid", l.proc.PID(), "error", l.proc.Err())
	}
	saved := make(chan struct{})
	if died {
		close(saved)
	} else {
		go func() {
			defer close(saved)
			e.saveDialogues(l)
		}()
	}
	select {
	case <-saved:
	case <-time.After(saveTime + saveTime/4): // the process does not answer
	}
	if err := l.proc.Close(); err != nil {
		e.log.Warn("engine process not closed cleanly", "model", l.model.Name, "error", err)
	}
	<-saved
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.running, l)
	e.reserved -= l.memory
	close(l.gone)
	e.notify()
}

// janitor unloads models that have not been used for IdleTimeout.
func (e *Engine) janitor() {
	tick := time.NewTicker(min(max(e.cfg.IdleTimeout/4, 10*time.Millisecond), 30*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-e.base.Done():
			return
		case <-tick.C:
		}
		e.refreshPins()
		e.mu.Lock()
		for l := range e.running {
			if e.idle(l) && time.Since(l.used) >= e.cfg.IdleTimeout {
				e.log.Info("model unloaded", "model", l.model.Name, "reason", "idle")
				e.retire(l)
			}
		}
		e.mu.Unlock()
	}
}

// idle says whether a process may be unloaded now. It is called with mu held.
func (e *Engine) idle(l *live) bool {
	return l.busy == 0 && !l.retired && l.r.draining == nil && !e.pinned(l)
}

// pinned is called with mu held.
func (e *Engine) pinned(l *live) bool {
	if p, said := e.pins[l.model.Name]; said {
		return p
	}
	return l.pinned
}

// refreshPins asks the registry which of the running models are pinned now. It
// does so without mu: the registry has locks of its own.
func (e *Engine) refreshPins() {
	e.mu.Lock()
	pinned := make(map[string]bool, len(e.running))
	for l := range e.running {
		pinned[l.model.Name] = false
	}
	e.mu.Unlock()
	for name := range pinned {
		m, err := e.cfg.Registry.Model(name)
		pinned[name] = err == nil && m.Pinned // one that was dropped is not
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for l := range e.running {
		if p, asked := pinned[l.model.Name]; asked {
			l.pinned = p
		}
	}
}

func contextError(err error) error {
	code := errs.CodeOf(err)
	if code == errs.Timeout {
		return errs.Wrap(err, code, "inference", "the deadline passed before the work was finished")
	}
	return errs.Wrap(err, code, "inference", "the work was given up")
}
