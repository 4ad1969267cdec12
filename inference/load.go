package inference

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/worker"
)

// load is a load in progress that its waiters share. Each may leave; when all
// have left, it is cancelled.
type load struct {
	model    Model
	cancel   context.CancelFunc
	done     chan struct{} // closed when it is over
	progress atomic.Uint64 // bits of a float64
	moved    chan struct{} // has one item after progress

	// Engine.mu guards these; live and err do not change once done is closed.
	waiters   int
	abandoned bool
	live      *live
	err       error
}

// startLoad is called with mu held.
func (e *Engine) startLoad(r *resident, m Model) {
	ctx, cancel := context.WithCancel(e.base)
	ld := &load{model: m, cancel: cancel, done: make(chan struct{}), moved: make(chan struct{}, 1)}
	r.load = ld
	e.wg.Go(func() {
		defer cancel()
		e.load(ctx, r, ld)
	})
}

// await waits for a load as one of its waiters and takes a lease of what comes.
func (e *Engine) await(ctx context.Context, ld *load, progress func(float64)) (*live, error) {
	for {
		select {
		case <-ld.done:
			// load has counted this waiter's lease already.
			return ld.live, ld.err
		case <-ld.moved:
			if progress != nil {
				progress(math.Float64frombits(ld.progress.Load()))
			}
			continue
		case <-ctx.Done():
		}
		e.mu.Lock()
		select {
		case <-ld.done: // at the same moment
			e.mu.Unlock()
			if ld.live != nil {
				e.release(ld.live)
			}
		default:
			ld.waiters--
			if ld.waiters == 0 {
				ld.abandoned = true
				ld.cancel()
			}
			e.mu.Unlock()
		}
		return nil, contextError(ctx.Err())
	}
}

// load runs on its own goroutine and settles ld.
func (e *Engine) load(ctx context.Context, r *resident, ld *load) {
	began := time.Now()
	l, err := e.start(ctx, r, ld)
	e.mu.Lock()
	defer e.mu.Unlock()
	r.load = nil
	if err != nil && e.closed {
		err = errClosed()
	}
	ld.live, ld.err = l, err
	if err != nil {
		if !ld.abandoned {
			r.failed, r.lastErr = true, err.Error()
			e.log.Warn("model not loaded", "model", ld.model.Name, "error", err)
		}
	} else {
		r.failed = false
		if r.died {
			r.died = false
			r.restarts++
		} else {
			r.lastErr = ""
		}
		l.busy = ld.waiters
		r.live = l
		e.running[l] = struct{}{}
		e.wg.Go(func() { e.watch(l) })
		e.wg.Go(func() { e.setAside(l) })
		e.log.Info("model loaded", "model", l.model.Name, "pid", l.proc.PID(), "seconds", time.Since(began).Seconds(),
			"slots", l.info.Slots, "context_length", l.info.ContextLength)
		if e.closed {
			e.retire(l)
			l.end()
		}
	}
	close(ld.done)
	e.notify()
}

// start makes room, checks the file and brings the process up.
func (e *Engine) start(ctx context.Context, r *resident, ld *load) (*live, error) {
	m := ld.model
	spec := worker.Spec{
		Path: m.Path, SHA256: m.SHA256,
		ContextLength: m.Options.ContextLength, Slots: m.Options.Slots, Threads: m.Options.Threads,
		BatchSize: m.Options.BatchSize, GPULayers: m.Options.GPULayers,
		PrefixBytes: m.Options.PrefixBytes(),
	}
	if spec.PrefixBytes == 0 {
		spec.PrefixBytes = -1 // none
	}
	if e.cfg.Verify != nil && m.SHA256 != "" {
		if err := e.cfg.Verify(ctx, m.SHA256); err != nil {
			return nil, about(err, m.Name)
		}
		spec.SHA256 = "" // checked; the process need not read the file for it again
	}
	need := m.Memory
	if need <= 0 {
		need = m.Bytes
	}
	if err := e.reserve(ctx, m.Name, need); err != nil {
		return nil, err
	}
	proc, err := e.cfg.Runtime.Start(ctx, spec, func(f float64) {
		ld.progress.Store(math.Float64bits(f))
		select {
		case ld.moved <- struct{}{}:
		default: // the last one has not been looked at yet
		}
	})
	if err != nil {
		e.mu.Lock()
		e.reserved -= need
		e.mu.Unlock()
		return nil, about(err, m.Name)
	}
	l := &live{
		r: r, model: m, proc: proc, info: proc.Info(), memory: need, loadedAt: time.Now(), used: time.Now(),
		pinned: m.Pinned,
		stop:   make(chan struct{}), gone: make(chan struct{}), spoke: make(chan struct{}, 1),
	}
	l.template, l.broken = e.templateOf(m, l.info)
	e.removeStates(func(i StateInfo) bool { return i.Model == m.Name && i.Engine != l.engine() })
	return l, nil
}

// about says which model an error is about, and gives it a code.
func about(err error, model string) error {
	code := errs.CodeOf(err)
	if code == errs.Internal {
		code = errs.EngineUnavailable
	}
	return errs.Wrap(err, code, "load", "model %q", model)
}

// reserve takes need bytes from the budget, unloading idle models, the least
// recently used first, and waiting a while for busy ones.
func (e *Engine) reserve(ctx context.Context, name string, need int64) error {
	budget := e.cfg.MemoryBudget
	patience := time.NewTimer(e.cfg.AdmissionWait)
	defer patience.Stop()
	e.refreshPins()
	e.mu.Lock()
	for {
		if budget <= 0 || e.reserved+need <= budget {
			e.reserved += need
			e.mu.Unlock()
			return nil
		}
		if need > budget || e.reserved-e.movable()+need > budget {
			defer e.mu.Unlock()
			return e.noRoom(name, need)
		}
		if victim := e.leastRecent(); victim != nil && !e.leaving(need) {
			e.log.Info("model unloaded", "model", victim.model.Name, "reason", "memory for another", "for", name)
			e.retire(victim)
		}
		changed := e.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return contextError(ctx.Err())
		case <-patience.C:
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.noRoom(name, need)
		}
		e.mu.Lock()
	}
}

// leaving says whether processes that are ending will make enough room. It is
// called with mu held.
func (e *Engine) leaving(need int64) bool {
	free := e.cfg.MemoryBudget - e.reserved
	for l := range e.running {
		if l.retired && l.busy == 0 {
			free += l.memory
		}
	}
	return free >= need
}

// movable is what waiting can free: everything but pinned models. It is called
// with mu held.
func (e *Engine) movable() int64 {
	fixed := int64(0)
	for l := range e.running {
		if !l.retired && e.pinned(l) {
			fixed += l.memory
		}
	}
	return e.reserved - fixed
}

// leastRecent is the idle model to unload first, or nil. It is called with mu held.
func (e *Engine) leastRecent() *live {
	var oldest *live
	for l := range e.running {
		if e.idle(l) && (oldest == nil || l.used.Before(oldest.used)) {
			oldest = l
		}
	}
	return oldest
}

// noRoom is called with mu held.
func (e *Engine) noRoom(name string, need int64) error {
	var holders []string
	for l := range e.running {
		state := "idle"
		switch {
		case e.pinned(l):
			state = "pinned"
		case l.busy > 0:
			state = "busy"
		}
		holders = append(holders, fmt.Sprintf("%s %d MB (%s)", l.model.Name, l.memory>>20, state))
	}
	slices.Sort(holders)
	loaded := "nothing else is loaded"
	if len(holders) > 0 {
		loaded = "loaded are " + strings.Join(holders, ", ")
	}
	return errs.New(errs.OutOfMemory, "load",
		"model %q needs about %d MB and the memory budget is %d MB; %s; lower the model's context_length or slots, unload or unpin another model, or raise the budget",
		name, (need+1<<20-1)>>20, e.cfg.MemoryBudget>>20, loaded)
}
