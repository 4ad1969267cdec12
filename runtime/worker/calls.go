package worker

import (
	"context"
	"errors"
	"slices"
	"sync"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// mailbox holds the messages of one call until the caller takes them. It never
// blocks the reader; what it holds is bounded by what was asked for.
type mailbox struct {
	mu   sync.Mutex
	got  []toParent // guarded by mu
	news chan struct{}
}

func (b *mailbox) put(m toParent) {
	b.mu.Lock()
	b.got = append(b.got, m)
	b.mu.Unlock()
	select {
	case b.news <- struct{}{}:
	default:
	}
}

func (b *mailbox) take() []toParent {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

// open registers a call. The error is the process's end.
func (p *Process) open() (uint64, *mailbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		return 0, nil, p.err
	}
	p.serial++
	box := &mailbox{news: make(chan struct{}, 1)}
	p.calls[p.serial] = box
	return p.serial, box, nil
}

// call sends a request in one or more messages and hands each reply to take,
// until the one that is Done. When ctx ends it asks the child to stop and goes
// on until it did.
func (p *Process) call(ctx context.Context, messages []any, id uint64, box *mailbox, take func(*toParent)) error {
	defer func() {
		p.mu.Lock()
		delete(p.calls, id) // deleting from the nil map of an ended process is fine
		p.mu.Unlock()
	}()
	for _, m := range messages {
		if err := p.wire.send(m); err != nil {
			<-p.done // the socket broke: the process has ended, or is about to
			return p.Err()
		}
	}
	cancelled := ctx.Done()
	for {
		select {
		case <-box.news:
		case <-cancelled:
			cancelled = nil
			late := errors.Is(context.Cause(ctx), context.DeadlineExceeded)
			if err := p.wire.send(&toChild{ID: id, Cancel: true, Late: late}); err != nil {
				p.log.Debug("cancel not sent", "error", err) // the end of the process follows
			}
		}
		for _, m := range box.take() {
			take(&m)
			if m.Done {
				if m.Failed != nil {
					return m.Failed
				}
				return nil
			}
		}
	}
}

// Submit decodes reqs as decode.Loop.Submit does. sink is called from this
// goroutine. When the process ends, the requests without a Result get none and
// Submit returns errs.EngineDied.
func (p *Process) Submit(ctx context.Context, reqs []decode.Request, sink func(decode.Event)) error {
	if len(reqs) == 0 {
		return nil
	}
	id, box, err := p.open()
	if err != nil {
		return err
	}
	var messages []any
	for part := range slices.Chunk(reqs, partSize) {
		messages = append(messages, &toChild{ID: id, Submit: part, More: true})
	}
	messages[len(messages)-1].(*toChild).More = false
	return p.call(ctx, messages, id, box, func(m *toParent) {
		for _, e := range m.Events {
			sink(e)
		}
	})
}

// Embed turns texts into vectors of length 1. sink is called from this goroutine,
// once for each text, as batches are finished and in no order. It runs beside
// decoding, batch by batch in turns with it. When ctx ends, Embed returns its
// error after the batch in progress.
func (p *Process) Embed(ctx context.Context, texts []string, sink func(Vector)) error {
	if len(texts) == 0 {
		return nil
	}
	id, box, err := p.open()
	if err != nil {
		return err
	}
	var messages []any
	for part := range slices.Chunk(texts, partSize) {
		messages = append(messages, &toChild{ID: id, Embed: part, More: true})
	}
	messages[len(messages)-1].(*toChild).More = false
	return p.call(ctx, messages, id, box, func(m *toParent) {
		for _, v := range m.Vectors {
			sink(v)
		}
	})
}

// Tokenize gives the tokens of each text. It runs beside decoding.
func (p *Process) Tokenize(ctx context.Context, texts [][]decode.Segment, addBOS bool) ([][]decode.Token, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	var out [][]decode.Token
	err := p.ask(ctx, toChild{Tokenize: texts, AddBOS: addBOS}, func(m *toParent) { out = m.Tokens })
	return out, err
}

// TokenizeWhole gives the tokens of each text as Embed would compute them, with
// what the vocabulary puts around a text.
func (p *Process) TokenizeWhole(ctx context.Context, texts []string) ([][]decode.Token, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	segments := make([][]decode.Segment, len(texts))
	for i, t := range texts {
		segments[i] = []decode.Segment{{Text: t}}
	}
	var out [][]decode.Token
	err := p.ask(ctx, toChild{Tokenize: segments, Whole: true}, func(m *toParent) { out = m.Tokens })
	return out, err
}

// Detokenize gives the text of each list of tokens, control tokens spelt out. Where
// the tokenizer puts a space before a text, that one is taken off.
func (p *Process) Detokenize(ctx context.Context, lists [][]decode.Token) ([]string, error) {
	if len(lists) == 0 {
		return nil, nil
	}
	var out []string
	err := p.ask(ctx, toChild{Detokenize: lists}, func(m *toParent) { out = m.Texts })
	return out, err
}

// Stats gives the loop's counters.
func (p *Process) Stats(ctx context.Context) (decode.Stats, error) {
	var out decode.Stats
	err := p.ask(ctx, toChild{Stats: true}, func(m *toParent) {
		if m.Stats != nil {
			out = *m.Stats
		}
	})
	return out, err
}

// Prefixes lists what the loop keeps; see decode.Loop.Prefixes.
func (p *Process) Prefixes(ctx context.Context) ([]decode.Prefix, error) {
	var out []decode.Prefix
	err := p.ask(ctx, toChild{Prefixes: true}, func(m *toParent) { out = m.Prefixes })
	return out, err
}

// ask is a call of one message and one reply.
func (p *Process) ask(ctx context.Context, m toChild, take func(*toParent)) error {
	if err := ctx.Err(); err != nil {
		return errs.Wrap(err, errs.CodeOf(err), "engine", "the request was given up")
	}
	id, box, err := p.open()
	if err != nil {
		return err
	}
	m.ID = id
	return p.call(ctx, []any{&m}, id, box, take)
}
