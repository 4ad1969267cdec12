package inference

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/worker"
)

// Runtime starts the process of a model.
type Runtime interface {
	// Start returns when the process is ready. progress must not block.
	Start(ctx context.Context, spec worker.Spec, progress func(fraction float64)) (Process, error)
}

// Process is a running model; *worker.Process is one.
type Process interface {
	Submit(ctx context.Context, reqs []decode.Request, sink func(decode.Event)) error
	Embed(ctx context.Context, texts []string, sink func(worker.Vector)) error
	Tokenize(ctx context.Context, texts [][]decode.Segment, addBOS bool) ([][]decode.Token, error)
	TokenizeWhole(ctx context.Context, texts []string) ([][]decode.Token, error)
	Detokenize(ctx context.Context, lists [][]decode.Token) ([]string, error)
	Info() decode.Info
	Stats(ctx context.Context) (decode.Stats, error)
	Prefixes(ctx context.Context) ([]decode.Prefix, error)
	Dialogues(ctx context.Context) ([]decode.Dialogue, error)
	Dialogue(ctx context.Context, name string) (decode.Dialogue, []byte, error)
	Adopt(ctx context.Context, d decode.Dialogue, state []byte) error
	Forget(ctx context.Context, names []string) error
	PID() int
	ResidentBytes() int64
	Done() <-chan struct{}
	Err() error
	Close() error
}

// Config is what an Engine is made of.
type Config struct {
	Registry Registry
	Runtime  Runtime
	// Verify checks a stored file against its digest before it is used. Nil
	// leaves the check of weights to the process that loads them.
	Verify func(ctx context.Context, sha256 string) error
	// Cache keeps the answers to requests with CachePersistent; nil keeps none.
	Cache Cache
	// States keeps what was computed of dialogues beyond their process; nil keeps none.
	States StateStore
	// SessionModel is the model of a session that there is, "" where there is none:
	// of others no state is kept. Nil where States is.
	SessionModel func(id string) string
	// MemoryBudget bounds the sum of Model.Memory of loaded models, in bytes;
	// 0 is no bound.
	MemoryBudget int64
	// IdleTimeout is how long an unused model stays loaded; 0 is for ever.
	IdleTimeout time.Duration
	// AdmissionWait is how long a load waits for busy models to make room before
	// it fails with errs.OutOfMemory; 0 means 10 seconds.
	AdmissionWait time.Duration
	Logger        *slog.Logger
	// Now is the clock of templates that ask for the date; nil means time.Now.
	Now func() time.Time
}

const defaultAdmissionWait = 10 * time.Second

// Engine answers requests. Its methods may be called from any goroutine.
type Engine struct {
	cfg  Config
	log  *slog.Logger
	base context.Context // of loads; cancelled by Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	residents map[string]*resident // by the registry's name
	running   map[*live]struct{}   // every process not yet gone, also replaced ones
	pins      map[string]bool      // by name: what Pin and Unpin said, over the registry's word
	reserved  int64                // bytes, of loads in progress and running processes
	changed   chan struct{}        // closed and replaced when a lease, a load or a process ends
}

// New makes an engine with no model loaded. Close it.
func New(cfg Config) *Engine {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.AdmissionWait <= 0 {
		cfg.AdmissionWait = defaultAdmissionWait
	}
	e := &Engine{
		cfg: cfg, log: cfg.Logger,
		residents: map[string]*resident{}, running: map[*live]struct{}{},
		pins: map[string]bool{}, changed: make(chan struct{}),
	}
	e.base, e.stop = context.WithCancel(context.Background())
	if cfg.IdleTimeout > 0 {
		e.wg.Go(e.janitor)
	}
	return e
}

// Close refuses new work, waits for work in progress until ctx ends, ends every
// process and waits for it. It returns the context's error when work was cut off.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	e.notify()
	var err error
	for err == nil && e.anyBusy() {
		changed := e.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		}
		e.mu.Lock()
	}
	for l := range e.running {
		e.retire(l)
		l.end()
	}
	e.mu.Unlock()
	e.stop()
	e.wg.Wait()
	return err
}

// anyBusy is called with mu held.
func (e *Engine) anyBusy() bool {
	for l := range e.running {
		if l.busy > 0 {
			return true
		}
	}
	return false
}

// notify wakes whoever waits for a change. It is called with mu held.
func (e *Engine) notify() {
	close(e.changed)
	e.changed = make(chan struct{})
}

func errClosed() error {
	return errs.New(errs.EngineUnavailable, "inference", "the server is shutting down")
}
