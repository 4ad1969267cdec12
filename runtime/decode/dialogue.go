package decode

import (
	"slices"
	"time"
)

// keepDialogue keeps what a sequence that ends has in its slot, prompt and answer,
// under its request's name and in place of what was kept there: the next turn's
// prompt begins with it. Where that fails nothing else does.
func (l *Loop) keepDialogue(s *sequence) {
	p, name := l.prefixes, s.job.req.Keep
	held := slices.Concat(s.job.prompt, s.tokens)[:s.pos]
	if p.budget <= 0 || p.pause > 0 || len(held) < leastShared {
		return
	}
	defer l.tell()
	p.forget(name)
	n := p.root(s.job.set).enter(held)
	defer p.tidy(s.job.set)
	defer n.leave()
	if n.kept != nil { // another one said the same
		n.kept.used = time.Now()
		p.name(n, name)
		return
	}
	saved, err := l.backend.Save(int(s.slot))
	if err != nil {
		l.opt.Logger.Warn("dialogue not saved", "tokens", n.depth, "error", err)
		p.pause = 4 * len(l.slots)
		return
	}
	now := time.Now()
	if p.add(n, &snapshot{state: saved, set: s.job.set, adapters: s.job.adapters, made: now, used: now, spoken: true}) {
		p.name(n, name)
	}
}

// name keeps what is at n under a name.
func (p *prefixes) name(n *node, name string) {
	p.dialogues[name] = n
	p.changed = true
}

// forget takes the name from what is kept under it, and frees that unless others
// need it.
func (p *prefixes) forget(name string) {
	n := p.dialogues[name]
	if n == nil {
		return
	}
	delete(p.dialogues, name)
	p.changed = true
	if n.kept.spoken && n.waiting == 0 && !p.named(n) {
		p.drop(n)
	}
}

// named says whether a dialogue is kept at n.
func (p *prefixes) named(n *node) bool {
	for _, o := range p.dialogues {
		if o == n {
			return true
		}
	}
	return false
}

// overlap is the kept dialogue that has most in common with the prompt of a job, and
// how many tokens that is; nil where it is not much more than have.
func (p *prefixes) overlap(j *job, have int) (from *node, length int) {
	length = max(leastShared, have+leastStep) - 1
	for _, n := range p.dialogues {
		if n.kept.set != j.set {
			continue
		}
		if c := j.end.meet(n); c > length {
			from, length = n, c
		}
	}
	return from, length
}

// meet is the depth at which the ways to n and o part.
func (n *node) meet(o *node) int {
	for n != o {
		if n.depth >= o.depth {
			n = n.parent
		} else {
			o = o.parent
		}
	}
	return n.depth
}

// resume fills the slot of a new sequence with as much of a kept dialogue as its
// prompt begins with. The prompt is text that was tokenized anew, so an answer may
// be other tokens in it: then what was kept is cut back, where that can be done
// exactly. It gives the number of tokens, 0 where nothing was of use.
func (l *Loop) resume(s *sequence, have int) int {
	from, length := l.prefixes.overlap(s.job, have)
	if from == nil || l.borrow(from, length, int(s.slot)) == 0 {
		return 0
	}
	return length
}
