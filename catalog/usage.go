package catalog

import (
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"hyprstream/errs"
)

// Usage is a finished statement that used a model: a row of ai.usage.
type Usage struct {
	Query            string // id
	User             string
	Function         string
	Model            string
	Adapter          string
	Rows             int64
	DistinctRows     int64 // after equal calls became one
	CachedRows       int64
	ProxyRows        int64 // answered by a cascade's proxy alone
	FailedRows       int64
	PromptTokens     int64
	SharedTokens     int64
	CompletionTokens int64
	Queue            time.Duration
	Prefill          time.Duration
	Decode           time.Duration
	StartedAt        time.Time
	FinishedAt       time.Time
	Error            string // code, "" for success
}

const (
	usageKept  = 10_000      // rows held in memory and on disk
	usageDelay = time.Second // rows are written at latest so long after
	usageTrim  = 1_000       // rows beyond usageKept before the oldest are deleted
)

// usageLog holds the newest usage rows and writes them behind. A kill -9 loses
// at most the last usageDelay of them, never a model.
type usageLog struct {
	store *store
	log   *slog.Logger
	stop  chan struct{}
	done  chan struct{}
	wake  chan struct{}

	mu      sync.Mutex // guards the fields below
	rows    []Usage    // oldest first
	pending []Usage    // not on disk yet
}

func openUsage(s *store, log *slog.Logger) (*usageLog, error) {
	u := &usageLog{store: s, log: log, stop: make(chan struct{}), done: make(chan struct{}), wake: make(chan struct{}, 1)}
	err := s.each("usage", func(name, doc string) error {
		var v Usage
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			return errs.Wrap(err, errs.Internal, "catalog.Open", "the usage row of query %s is damaged", name)
		}
		u.rows = append(u.rows, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	go u.run()
	return u, nil
}

// run is the writer's goroutine.
func (u *usageLog) run() {
	defer close(u.done)
	for {
		select {
		case <-u.stop:
			u.flush()
			return
		case <-u.wake:
		}
		select {
		case <-u.stop:
		case <-time.After(usageDelay): // so that many rows become one transaction
		}
		u.flush()
	}
}

func (u *usageLog) flush() {
	u.mu.Lock()
	pending := u.pending
	u.pending = nil
	var edits []edit
	for _, v := range pending {
		edits = append(edits, put("usage", v.Query, v))
	}
	if over := len(u.rows) - usageKept; over > usageTrim {
		for _, v := range u.rows[:over] {
			edits = append(edits, del("usage", v.Query))
		}
		u.rows = slices.Clone(u.rows[over:])
	}
	u.mu.Unlock()
	if len(edits) == 0 {
		return
	}
	if err := u.store.change(edits...); err != nil {
		u.log.Error("usage not written", "rows", len(pending), "err", err)
	}
}

func (u *usageLog) close() {
	close(u.stop)
	<-u.done
}

// AddUsage records a finished statement.
func (c *Catalog) AddUsage(v Usage) {
	u := c.usage
	u.mu.Lock()
	u.rows, u.pending = append(u.rows, v), append(u.pending, v)
	u.mu.Unlock()
	select {
	case u.wake <- struct{}{}:
	default: // the writer has been told
	}
}

// Usage are the newest finished statements, oldest first.
func (c *Catalog) Usage() []Usage {
	c.usage.mu.Lock()
	defer c.usage.mu.Unlock()
	return slices.Clone(c.usage.rows)
}
