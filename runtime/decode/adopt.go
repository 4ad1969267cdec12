package decode

import (
	"cmp"
	"context"
	"slices"
	"time"

	"hyprstream/errs"
)

// Dialogue says what a loop keeps of a dialogue, prompt and answer of its last turn.
type Dialogue struct {
	Name     string // Request.Keep
	Adapters []Adapter
	Length   int     // tokens
	Tokens   []Token // nil in a list
	Bytes    int64   // of the state
	Made     time.Time
	Used     time.Time
}

// Dialogues lists what is kept of dialogues, the last used first, without their
// tokens. It waits for no step. Errors: errs.EngineUnavailable once the loop is closed.
func (l *Loop) Dialogues() ([]Dialogue, error) {
	l.mu.Lock()
	out, closed := slices.Clone(l.dialogues), l.closed
	l.mu.Unlock()
	if closed {
		return nil, errClosed()
	}
	slices.SortFunc(out, func(a, b Dialogue) int { return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Name, b.Name)) })
	return out, nil
}

// tell brings the list of dialogues up to date, where it has changed.
func (l *Loop) tell() {
	if !l.prefixes.changed {
		return
	}
	l.prefixes.changed = false
	list := make([]Dialogue, 0, len(l.prefixes.dialogues))
	for name, n := range l.prefixes.dialogues {
		list = append(list, n.dialogue(name))
	}
	l.mu.Lock()
	l.dialogues = list
	l.mu.Unlock()
}

func (n *node) dialogue(name string) Dialogue {
	return Dialogue{
		Name: name, Adapters: n.kept.adapters, Length: n.depth, Bytes: n.kept.state.Bytes(),
		Made: n.kept.made, Used: n.kept.used,
	}
}

// Dialogue copies out what is kept of a dialogue: its tokens and the state that a slot
// has with them. Like the calls below it is answered between two steps. Errors:
// errs.NotFound, errs.Cancelled, errs.Timeout, errs.EngineUnavailable once the loop is closed.
func (l *Loop) Dialogue(ctx context.Context, name string) (Dialogue, []byte, error) {
	type copied struct {
		Dialogue
		state []byte
	}
	answer := make(chan copied, 1)
	err := l.between(ctx, func() {
		n := l.prefixes.dialogues[name]
		if n == nil {
			answer <- copied{}
			return
		}
		c := copied{n.dialogue(name), n.kept.state.Data()}
		c.Tokens = n.prompt(n.depth)
		answer <- c
	})
	if err != nil {
		return Dialogue{}, nil, err
	}
	c := <-answer
	if c.Length == 0 {
		return Dialogue{}, nil, errs.New(errs.NotFound, "decode", "nothing is kept of this dialogue")
	}
	return c.Dialogue, c.state, nil
}

// Adopt keeps what Dialogue gave, of this loop or one over an equal backend. What
// is kept under that name already stays, and without room in the budget nothing is
// kept. Errors also: errs.InvalidArgument.
func (l *Loop) Adopt(ctx context.Context, d Dialogue, state []byte) error {
	outside := func(t Token) bool { return t < 0 || int(t) >= l.opt.Info.Vocabulary && l.opt.Info.Vocabulary > 0 }
	if n := len(d.Tokens); n < leastShared || n > l.opt.Info.ContextLength || len(state) == 0 || slices.ContainsFunc(d.Tokens, outside) {
		return errs.New(errs.InvalidArgument, "decode", "a dialogue of %d tokens and a state of %d bytes are none of this model's", n, len(state))
	}
	answer := make(chan error, 1)
	if err := l.between(ctx, func() { answer <- l.adopt(d, state) }); err != nil {
		return err
	}
	return <-answer
}

// adopt is Adopt on the loop's goroutine.
func (l *Loop) adopt(d Dialogue, state []byte) error {
	defer l.tell()
	p := l.prefixes
	if p.budget < int64(len(state)) || p.dialogues[d.Name] != nil {
		return nil
	}
	adapters, set := normalAdapters(d.Adapters)
	n := p.root(set).enter(d.Tokens)
	defer p.tidy(set)
	defer n.leave()
	if n.kept == nil {
		s, err := l.backend.Revive(state)
		if err != nil {
			return asError(err, errs.OutOfMemory, "the dialogue's state cannot be kept")
		}
		if !p.add(n, &snapshot{state: s, set: set, adapters: adapters, made: d.Made, used: time.Now(), spoken: true}) {
			return nil
		}
	}
	p.name(n, d.Name)
	return nil
}

// Forget lets go of what is kept under these names.
func (l *Loop) Forget(ctx context.Context, names []string) error {
	return l.between(ctx, func() {
		for _, name := range names {
			l.prefixes.forget(name)
		}
		l.tell()
	})
}

// between has the loop's goroutine do something between two steps, and waits for
// it. After an error it may still be done, so it must not block nor touch what is
// the caller's.
func (l *Loop) between(ctx context.Context, do func()) error {
	done := make(chan struct{})
	l.mu.Lock()
	l.asks = append(l.asks, func() { do(); close(done) })
	l.mu.Unlock()
	l.poke()
	select {
	case <-done:
		return nil
	case <-l.stopped:
		return errClosed()
	case <-ctx.Done():
		return errs.Wrap(ctx.Err(), errs.CodeOf(ctx.Err()), "decode", "the question to the model was given up")
	}
}
