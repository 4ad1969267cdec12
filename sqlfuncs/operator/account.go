package operator

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Spent is what the calls of a function have cost.
type Spent struct {
	Function                   string
	Rows, Distinct             int // calls, and different ones among them
	Cached, Failed             int // calls: answered from the cache, and without an answer
	Prompt, Shared, Completion int // tokens of what was computed
}

// Account is what an operator's calls have cost so far. Its zero value is ready;
// its methods may be called from several goroutines.
type Account struct {
	mu     sync.Mutex
	spent  []Spent
	active int // parts at work
	since  time.Time
	worked time.Duration
}

type accountKey struct{}

// AccountOf is that of the operator whose context it is; one that nobody reads
// where there is no operator.
func AccountOf(ctx context.Context) *Account {
	if a, ok := ctx.Value(accountKey{}).(*Account); ok {
		return a
	}
	return &Account{}
}

// Add adds to what calls of s.Function have cost.
func (a *Account) Add(s Spent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.spent, func(o Spent) bool { return o.Function == s.Function })
	if i < 0 {
		i = len(a.spent)
		a.spent = append(a.spent, Spent{Function: s.Function})
	}
	o := &a.spent[i]
	o.Rows += s.Rows
	o.Distinct += s.Distinct
	o.Cached += s.Cached
	o.Failed += s.Failed
	o.Prompt += s.Prompt
	o.Shared += s.Shared
	o.Completion += s.Completion
}

// Work begins a part's work; the returned function ends it. Parts side by side
// count once.
func (a *Account) Work() (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.active++; a.active == 1 {
		a.since = time.Now()
	}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.active--; a.active == 0 {
			a.worked += time.Since(a.since)
		}
	}
}

// Total is what was spent, by function, and for how long calls were at work.
func (a *Account) Total() ([]Spent, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	worked := a.worked
	if a.active > 0 {
		worked += time.Since(a.since)
	}
	return slices.Clone(a.spent), worked
}
