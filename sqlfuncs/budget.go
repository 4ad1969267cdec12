package sqlfuncs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// purse holds what the operators of the statement that runs share: its limits and
// its estimates. Several may run in one context, one after the other: each has its own.
type purse struct {
	mu        sync.Mutex
	query     uint64
	b         *budget
	estimates map[uint64]*estimate
}

// renew forgets what was of an earlier statement. It is called with mu held.
func (p *purse) renew(t operator.Terms) {
	if p.query != t.Query || p.estimates == nil {
		p.query, p.b, p.estimates = t.Query, nil, map[uint64]*estimate{}
	}
}

// budgetOf is the budget of an operator's statement, nil where there is no limit.
func (h *handler) budgetOf(ctx context.Context) *budget {
	l := operator.TermsOf(ctx)
	if l.Rows <= 0 && l.Tokens <= 0 && l.Seconds <= 0 {
		return nil
	}
	p := &statementOf(ctx).purse
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renew(l)
	if p.b == nil {
		p.b = newBudget(l, &h.history)
	}
	return p.b
}

// budget is what a statement may still spend. It is the inference.Gate of its
// statement. Once it is exceeded, all that the statement asked for is given up.
type budget struct {
	limits  operator.Terms
	history *history
	over    context.Context // ends when the budget is exceeded
	end     context.CancelFunc

	mu      sync.Mutex // guards the fields below
	rows    int64      // that are computed, or going to be
	tokens  int64      // of their prompts, and of answers
	done    int64      // rows
	active  int        // calls at work
	since   time.Time  // when the first of them began
	worked  time.Duration
	timer   *time.Timer // of ai_max_seconds, while calls are at work
	started bool        // a row has been let through to a model
	err     *errs.Error
}

func newBudget(l operator.Terms, h *history) *budget {
	b := &budget{limits: l, history: h}
	b.over, b.end = context.WithCancel(context.Background())
	return b
}

// enter begins a call's work: its context ends when the budget is exceeded.
// leave must be called.
func (b *budget) enter(ctx context.Context) (_ context.Context, leave func()) {
	ctx, cancel := context.WithCancel(inference.WithGate(ctx, b))
	stop := context.AfterFunc(b.over, cancel)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.active++; b.active == 1 {
		b.since = time.Now()
		if b.limits.Seconds > 0 {
			b.timer = time.AfterFunc(b.left(), b.late)
		}
	}
	return ctx, func() {
		stop()
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.active--; b.active == 0 {
			b.worked += time.Since(b.since)
			if b.timer != nil {
				b.timer.Stop()
			}
		}
	}
}

// left is what is left of ai_max_seconds. It is called with mu held.
func (b *budget) left() time.Duration {
	left := time.Duration(b.limits.Seconds*float64(time.Second)) - b.worked
	if b.active > 0 {
		left -= time.Since(b.since)
	}
	return left
}

func (b *budget) late() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exceed("ai_max_seconds", b.limits.Seconds, "its models have worked as long")
}

// Rows implements inference.Gate.
func (b *budget) Rows(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows += int64(n)
	if b.limits.Rows > 0 && b.rows > b.limits.Rows {
		b.exceed("ai_max_rows", b.limits.Rows, fmt.Sprintf("it has at least %d distinct rows to compute", b.rows))
	}
	return b.verdict()
}

// Work implements inference.Gate.
func (b *budget) Work(w inference.Work) error {
	var prompts int
	if b.limits.Tokens > 0 || b.limits.Seconds > 0 {
		var err error
		if prompts, err = w.Prompts(); err != nil {
			return err
		}
	}
	var seconds float64
	if b.limits.Seconds > 0 {
		seconds = b.history.seconds(w, prompts)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens += int64(prompts)
	switch left := b.left().Seconds(); {
	case b.limits.Tokens > 0 && b.tokens > b.limits.Tokens:
		b.exceed("ai_max_tokens", b.limits.Tokens, fmt.Sprintf("its prompts and what was written come to %d tokens", b.tokens))
	case b.limits.Seconds > 0 && seconds > left:
		b.exceed("ai_max_seconds", b.limits.Seconds, fmt.Sprintf("%d more tokens of prompts would take about %.3g s, by the speed measured so far, and %.3g s are left", prompts, seconds, max(left, 0)))
	}
	b.started = b.started || b.err == nil
	return b.verdict()
}

// finish counts a finished row.
func (b *budget) finish(c inference.Completion) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Err == nil {
		b.done++
	}
	if c.Cached {
		return
	}
	b.tokens += int64(c.CompletionTokens)
	if b.limits.Tokens > 0 && b.tokens > b.limits.Tokens {
		b.exceed("ai_max_tokens", b.limits.Tokens, fmt.Sprintf("its prompts and what was written come to %d tokens", b.tokens))
	}
}

// exceed ends the statement. It is called with mu held.
func (b *budget) exceed(setting string, limit any, why string) {
	if b.err != nil {
		return
	}
	how := "refused before its first token"
	if b.started {
		how = fmt.Sprintf("stopped; %d rows are finished, and kept where cache := 'persistent' says so: run again it goes on from there", b.done)
	}
	b.err = errs.New(errs.BudgetExceeded, "budget",
		"%s is %v and %s; the statement was %s. Raise the limit (SET %[1]s = …, 0 for none), or ask for fewer rows or shorter answers",
		setting, limit, why, how)
	b.end()
}

// verdict is the error of a budget that is exceeded. It is called with mu held.
func (b *budget) verdict() error {
	if b.err == nil {
		return nil
	}
	return b.err
}

// explain is the budget's error once it is exceeded: in the place of success, and
// of the cancellation that it caused.
func (b *budget) explain(err error) error {
	if err != nil && errs.CodeOf(err) != errs.Cancelled {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		return err
	}
	return b.err
}

// seconds is about how long a model's process needs for work: what is known to be
// ahead, at the speed measured so far. What is not known counts nothing.
func (h *history) seconds(w inference.Work, prompts int) (s float64) {
	rate, seen := w.Rate(), h.written(w.Model)
	if rate.Prefill > 0 {
		all := h.model(w.Model)
		s += float64(prompts) * (1 - all.share()) / rate.Prefill
	}
	if rate.Decode > 0 && seen.rows > 0 {
		s += float64(w.Write) * float64(seen.completion) / float64(seen.rows) / rate.Decode
	}
	return s
}
