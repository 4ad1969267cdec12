package inference

import (
	"context"
	"strings"
	"sync"
	"unicode"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// Stream answers one request piece by piece. chunk is called on the caller's
// goroutine; the model does not wait for it. The last chunk has Done and Final
// set, also when the row failed: its error is in Final.Err, and returned. An
// error that chunk returns ends the stream and is returned. When the engine
// dies before anything was sent, the stream begins again, once.
func (e *Engine) Stream(ctx context.Context, req Request, chunk func(Chunk) error) error {
	m, err := e.cfg.Registry.Model(req.Model)
	if err != nil {
		return err
	}
	s := &stream{e: e, row: row{req: &req}, model: m.Name, chunk: chunk, known: map[AdapterUse]resolved{}}
	if err := normalise(&req); err != nil {
		return s.end("", &Completion{Model: m.Name, Err: err})
	}
	if gate := GateOf(ctx); gate != nil {
		s.row.announced = true
		if err := gate.Rows(1); err != nil {
			return err
		}
	}
	for attempt := 1; ; attempt++ {
		l, err := e.acquire(ctx, m.Name, nil)
		if err != nil {
			return err
		}
		err = s.run(ctx, l)
		if errs.CodeOf(err) == errs.EngineDied {
			e.bury(l)
		}
		e.release(l)
		switch {
		case errs.CodeOf(err) != errs.EngineDied:
			return err
		case s.seq > 0:
			return errs.Wrap(err, errs.EngineDied, "stream", "the engine of model %q died in the middle of the answer; ask again", m.Name)
		case attempt > 1:
			return diedTwice(err, m.Name)
		}
		e.log.Warn("engine died at work; the stream begins again", "model", m.Name)
	}
}

// stream is one answer on its way; its fields are the caller's goroutine's.
type stream struct {
	e     *Engine
	row   row
	model string
	chunk func(Chunk) error
	known map[AdapterUse]resolved
	trim  trimmer
	seq   int
	ended bool
}

// run streams from one process.
func (s *stream) run(ctx context.Context, l *live) error {
	req, rowErr := s.e.request(ctx, l, &s.row, s.known)
	if rowErr != nil {
		return s.end("", &Completion{Model: s.model, Err: rowErr})
	}
	if err := admit(ctx, l, []decode.Request{req}, []*row{&s.row}); err != nil {
		return err
	}
	req.Stream = true
	s.trim = trimmer{on: s.row.plain || s.row.req.Schema != nil}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := newEvents()
	submitted := make(chan error, 1)
	go func() { submitted <- l.proc.Submit(ctx, []decode.Request{req}, events.put) }()
	for {
		select {
		case <-events.wake:
			if err := s.send(events.take()); err != nil {
				cancel()
				<-submitted //nolint:errcheck // cancelled by the receiver, whose error is told
				return err
			}
		case err := <-submitted:
			if err := s.send(events.take()); err != nil {
				return err
			}
			switch {
			case s.ended:
				return nil
			case ctx.Err() != nil:
				return contextError(ctx.Err())
			case err != nil:
				return err
			}
			return errs.New(errs.Internal, "stream", "the engine of model %q ended without an answer", s.model)
		}
	}
}

// send passes events on.
func (s *stream) send(events []decode.Event) error {
	for _, ev := range events {
		text := s.trim.push(ev.Text)
		if ev.Result != nil {
			c := completion(s.model, s.row.plain, ev.Result)
			c.Adapters = s.row.req.Adapters
			if schema := s.row.req.Schema; schema != nil && c.Err == nil {
				c.Err = schema.check(&c, s.row.req.Cut)
			}
			s.ended = true
			if err := s.last(text, ev, &c); err != nil {
				return err
			}
			continue
		}
		if text == "" {
			continue // white space held back
		}
		if err := s.chunk(Chunk{Seq: s.seq, Text: text, Token: ev.Token, Logprob: ev.Logprob}); err != nil {
			return err
		}
		s.seq++
	}
	return nil
}

func (s *stream) last(text string, ev decode.Event, c *Completion) error {
	err := s.chunk(Chunk{Seq: s.seq, Text: text, Token: ev.Token, Logprob: ev.Logprob, Done: true, Final: c})
	s.seq++
	if err == nil && c.Err != nil {
		return c.Err
	}
	return err
}

// end is last for an answer that never began.
func (s *stream) end(text string, c *Completion) error {
	return s.last(text, decode.Event{Token: -1}, c)
}

// trimmer takes the white space off both ends of a text that comes in pieces.
type trimmer struct {
	on      bool
	started bool
	held    string // white space that is at the end, so far
}

func (t *trimmer) push(text string) string {
	if !t.on {
		return text
	}
	if !t.started {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		if text == "" {
			return ""
		}
		t.started = true
	}
	text = t.held + text
	kept := strings.TrimRightFunc(text, unicode.IsSpace)
	t.held = text[len(kept):]
	return kept
}

// events is a queue that never blocks who puts.
type events struct {
	wake chan struct{}
	mu   sync.Mutex
	list []decode.Event
}

func newEvents() *events { return &events{wake: make(chan struct{}, 1)} }

func (q *events) put(ev decode.Event) {
	q.mu.Lock()
	q.list = append(q.list, ev)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *events) take() []decode.Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}
