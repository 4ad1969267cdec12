package decode

import (
	"slices"
	"time"
)

const (
	leastShared = 32 // tokens of a prefix worth keeping, and that keeping another must save
	lookahead   = 64 // waiting jobs that are asked whether they share one
)

// prefix is the slot behind the others. It holds the beginning that waiting
// jobs have in common, computed once: a job takes a copy of the whole of it and
// computes only its own tail. A part of a slot cannot be copied, so the slot
// ends exactly where the shared tokens do. It stays filled between Submits,
// until another prefix saves more or the adapters change.
//
// The loop's goroutine owns it.
type prefix struct {
	slot   int
	tokens []Token // what the slot holds once it is whole
	have   int     // of tokens: computed
	unpaid int     // of have: computed, and not yet counted by a request that uses them
	pause  int     // admissions without a new prefix, after one could not be computed
}

// pending is whether there are tokens left to compute.
func (p *prefix) pending() bool { return p != nil && p.have < len(p.tokens) }

// begins is whether a prompt begins with the prefix and goes on after it.
func (p *prefix) begins(prompt []Token) bool {
	return len(p.tokens) < len(prompt) && common(p.tokens, prompt) == len(p.tokens)
}

func (p *prefix) empty() { p.tokens, p.have, p.unpaid = nil, 0, 0 }

func common(a, b []Token) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// plan looks at the next job and at those waiting behind it, and chooses a
// prefix to compute where that saves more tokens than the one at hand. true:
// the job must wait for it.
func (l *Loop) plan(j *job) bool {
	p := l.prefix
	if p == nil {
		return false
	}
	if p.pause > 0 {
		p.pause--
		return false
	}
	waiting := l.queue.peek(lookahead)
	held, kept := 0, 0 // tokens saved with what is held; of them computed for j already
	if p.begins(j.prompt) {
		held, kept = len(p.tokens), len(p.tokens)
	}
	var lengths []int // that j shares with each of the others
	for _, w := range waiting {
		if p.begins(w.prompt) {
			held += len(p.tokens)
		}
		// The last token of a prompt is computed for each: its logits are needed.
		if n := min(common(j.prompt, w.prompt), len(j.prompt)-1, len(w.prompt)-1); n >= max(leastShared, kept) {
			lengths = append(lengths, n)
		}
	}
	slices.SortFunc(lengths, func(a, b int) int { return b - a })
	best, size := 0, 0
	for i, n := range lengths {
		if saved := (i+2)*n - (n - kept); saved > best {
			best, size = saved, n
		}
	}
	if best <= held+leastShared {
		return false
	}
	if kept == 0 {
		l.backend.Clear(p.slot)
		p.empty()
	}
	p.tokens = slices.Clone(j.prompt[:size])
	return p.pending()
}

// advance computes as much of the prefix as one batch takes. Where that fails
// no request does: they are computed without it.
func (l *Loop) advance() {
	p := l.prefix
	begun := time.Now()
	n := min(l.opt.BatchSize, len(p.tokens)-p.have)
	batch := l.entries[:0]
	for i := p.have; i < p.have+n; i++ {
		batch = append(batch, Entry{Token: p.tokens[i], Pos: int32(i), Slot: int32(p.slot)})
	}
	l.entries = batch
	if err := l.backend.Decode(batch); err != nil {
		l.opt.Logger.Warn("shared prefix not computed", "tokens", len(p.tokens), "error", err)
		l.backend.Clear(p.slot)
		p.empty()
		p.pause = 4 * len(l.slots)
		return
	}
	p.have += n
	p.unpaid += n
	l.mu.Lock()
	l.stats.Steps++
	l.stats.PromptTokens += uint64(n)
	l.stats.PrefillSeconds += time.Since(begun).Seconds()
	l.mu.Unlock()
}

// unplan stops computing a prefix that nobody waits for any more. What there is
// of it is a prefix as well.
func (l *Loop) unplan() { l.prefix.tokens = l.prefix.tokens[:l.prefix.have] }

// borrow fills a free slot with the prefix where the job's prompt begins with
// it. have is how many of the prompt's tokens are in the slot then; shared
// leaves out those that were computed for this job, the first one to use them.
func (l *Loop) borrow(j *job, slot int) (have, shared int) {
	p := l.prefix
	if p == nil || p.pending() || len(p.tokens) < leastShared || !p.begins(j.prompt) {
		return 0, 0
	}
	if err := l.backend.Copy(p.slot, slot); err != nil {
		l.opt.Logger.Warn("shared prefix not copied", "tokens", len(p.tokens), "error", err)
		l.backend.Clear(slot)
		return 0, 0
	}
	have = len(p.tokens)
	shared = have - p.unpaid
	p.unpaid = 0
	l.mu.Lock()
	l.stats.PromptTokens += uint64(shared)
	l.stats.SharedTokens += uint64(shared)
	l.mu.Unlock()
	return have, shared
}
