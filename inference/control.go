package inference

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"hyprstream/errs"
)

// Load brings a model up, or does nothing when it is. progress, which may be
// nil, hears fractions on the caller's goroutine.
func (e *Engine) Load(ctx context.Context, model string, progress func(float64)) error {
	l, err := e.acquire(ctx, model, progress)
	if err != nil {
		return err
	}
	e.release(l)
	return nil
}

// Unload ends a model's process once the work on it has finished; new work on
// the model waits until then and loads it again. When ctx ends first, the model
// stays. A model that is not loaded is no error; a name that neither the engine
// nor the registry knows is the registry's error.
func (e *Engine) Unload(ctx context.Context, model string) error {
	name := model
	m, err := e.cfg.Registry.Model(model)
	if err == nil {
		name = m.Name
	}
	if err != nil {
		defer e.SweepStates() // a model that was dropped leaves none
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.residents[name]
	if r == nil {
		return err
	}
	for r.load != nil || r.draining != nil {
		wait := r.draining
		if r.load != nil {
			wait = r.load.done
		}
		if err := e.waitUnlocked(ctx, wait); err != nil {
			return err
		}
	}
	l := r.live
	if l == nil {
		return nil
	}
	r.draining = make(chan struct{})
	defer func() {
		close(r.draining)
		r.draining = nil
	}()
	for l.busy > 0 && r.live == l {
		if err := e.waitUnlocked(ctx, e.changed); err != nil {
			return errs.Wrap(err, errs.CodeOf(err), "UNLOAD", "model %q is busy and stays loaded", name)
		}
	}
	e.log.Info("model unloaded", "model", name, "reason", "asked")
	e.retire(l)
	return e.waitUnlocked(context.WithoutCancel(ctx), l.gone)
}

// waitUnlocked waits for a channel with mu, which is held, let go meanwhile.
func (e *Engine) waitUnlocked(ctx context.Context, ch <-chan struct{}) error {
	e.mu.Unlock()
	defer e.mu.Lock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return contextError(ctx.Err())
	}
}

// Pin keeps a model loaded, once it is, against budget and idle time. It lasts
// as long as the engine and stands above the registry's Model.Pinned, which the
// engine asks for when it matters.
func (e *Engine) Pin(model string) error { return e.setPin(model, true) }

// Unpin lets a model be unloaded, whatever the registry says.
func (e *Engine) Unpin(model string) error { return e.setPin(model, false) }

func (e *Engine) setPin(model string, pinned bool) error {
	m, err := e.cfg.Registry.Model(model)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pins[m.Name] = pinned
	return nil
}

// Ready is the state of a model; unknown ones are unloaded.
func (e *Engine) Ready(model string) State {
	if m, err := e.cfg.Registry.Model(model); err == nil {
		model = m.Name
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.residents[model].state()
}

// state is called with mu held.
func (r *resident) state() State {
	switch {
	case r == nil:
		return StateUnloaded
	case r.live != nil && !r.live.ended():
		return StateReady
	case r.load != nil:
		return StateLoading
	case r.failed:
		return StateFailed
	}
	return StateUnloaded
}

// statsPatience bounds how long Status waits for a process to answer.
const statsPatience = time.Second

// Status lists the models that have, or had, a process, by name. Processes are
// asked for their counters side by side; one that does not answer in time is
// listed without.
func (e *Engine) Status() []EngineStatus {
	e.refreshPins()
	e.mu.Lock()
	out := make([]EngineStatus, 0, len(e.residents))
	lives := map[string]*live{}
	for name, r := range e.residents {
		s := EngineStatus{Model: name, State: r.state(), Restarts: r.restarts, LastError: r.lastErr}
		s.Pinned = e.pins[name]
		if l := r.live; l != nil && s.State == StateReady {
			lives[name] = l
			s.PID, s.Slots, s.LoadedAt, s.Pinned = l.proc.PID(), l.info.Slots, l.loadedAt, e.pinned(l)
			if l.busy == 0 {
				s.IdleSince = l.used
			}
		}
		out = append(out, s)
	}
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(e.base, statsPatience)
	defer cancel()
	var wg sync.WaitGroup
	for i := range out {
		if l := lives[out[i].Model]; l != nil {
			wg.Go(func() {
				s := &out[i]
				s.Bytes = l.proc.ResidentBytes()
				if stats, err := l.proc.Stats(ctx); err == nil { // a dying process is listed without
					s.Stats, s.Busy, s.Queued = stats, stats.Busy, stats.Queued
				}
			})
		}
	}
	wg.Wait()
	out = slices.DeleteFunc(out, func(s EngineStatus) bool {
		if lives[s.Model] != nil || s.State == StateLoading {
			return false
		}
		_, err := e.cfg.Registry.Model(s.Model)
		return err != nil // dropped since
	})
	slices.SortFunc(out, func(a, b EngineStatus) int { return cmp.Compare(a.Model, b.Model) })
	return out
}
