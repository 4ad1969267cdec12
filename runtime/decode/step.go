package decode

import (
	"errors"
	"slices"
	"time"

	"hyprstream/errs"
)

// sequence is a request in a slot.
type sequence struct {
	job     *job
	slot    int32
	sampler Sampler
	pos     int     // tokens in the cache
	shared  int     // of them: not computed for this request
	pending []Token // to be computed: the rest of the prompt, or the last chosen token
	text    textOut
	tokens  []Token

	seq      int // of the next Event
	count    int // chosen tokens, without the end token
	logprob  float64
	admitted time.Time
	first    time.Time // when the first token was chosen; zero: still in the prompt
}

// part is a sequence's share of a batch: the next n of its pending tokens.
type part struct {
	s *sequence
	n int
}

// step computes one batch: the next token of everything that is being written,
// and beside it as much of the prompts as fits, oldest first.
func (l *Loop) step() {
	begun := time.Now()
	room := l.opt.BatchSize
	parts := make([]part, 0, len(l.running))
	writing, prompts := 0, 0
	spare := len(l.slots) - len(l.running) // outputs beyond one per sequence
	for i, s := range l.running {
		if !s.first.IsZero() {
			n := s.share(room-(len(l.running)-1-i), &spare)
			parts = append(parts, part{s, n})
			room -= n
			writing += n
		}
	}
	for _, s := range l.running {
		if n := min(room, len(s.pending)); s.first.IsZero() && n > 0 {
			parts = append(parts, part{s, n})
			room -= n
			prompts += n
		}
	}
	l.compute(parts)

	seconds := time.Since(begun).Seconds()
	share := float64(prompts) / float64(max(1, prompts+writing))
	l.mu.Lock()
	l.stats.Steps++
	l.stats.PromptTokens += uint64(prompts)
	l.stats.PrefillSeconds += seconds * share
	l.stats.DecodeSeconds += seconds * (1 - share)
	l.mu.Unlock()
	l.publish()
}

// compute decodes parts and takes the tokens that follow. Where the cache is
// too full for all of them it goes in halves.
func (l *Loop) compute(parts []part) {
	batch := l.entries[:0]
	for _, p := range parts {
		for i, t := range p.s.pending[:p.n] {
			batch = append(batch, Entry{Token: t, Pos: int32(p.s.pos + i), Slot: p.s.slot, Output: i >= len(p.s.pending)-p.s.outputs()})
		}
	}
	l.entries = batch
	err := l.backend.Decode(batch)
	switch {
	case err == nil:
		l.take(parts)
	case !errors.Is(err, ErrFull):
		l.opt.Logger.Error("batch failed", "tokens", len(batch), "sequences", len(parts), "error", err)
		for _, p := range parts {
			l.fail(p.s, asError(err, errs.Internal, "the engine could not compute this row"))
		}
	case len(parts) > 1:
		l.compute(parts[:len(parts)/2])
		l.compute(parts[len(parts)/2:])
	case parts[0].n > 1:
		s, n := parts[0].s, parts[0].n/2
		l.compute([]part{{s, n}})
		if l.slots[s.slot] == s { // still alive
			l.compute([]part{{s, parts[0].n - n}})
		}
	case parts[0].s.first.IsZero() || parts[0].s.job.scoring != nil:
		l.fail(parts[0].s, overflow("", len(parts[0].s.job.prompt), l.opt.Info.ContextLength))
	default:
		l.finish(parts[0].s, FinishLength)
	}
}

// take chooses a token for each sequence whose logits were computed.
func (l *Loop) take(parts []part) {
	i := 0
	for _, p := range parts {
		s := p.s
		i += p.n
		s.pos += p.n
		s.pending = s.pending[p.n:]
		if s.job.scoring != nil {
			l.look(s, i-p.n, p.n)
			continue
		}
		if len(s.pending) > 0 {
			continue
		}
		token, logprob, err := s.sampler.Sample(i-1, s.job.req.Logprobs)
		if err != nil {
			l.fail(s, asError(err, errs.Internal, "no token can be chosen"))
			continue
		}
		l.say(s, token, logprob)
	}
}

// say adds a token to a sequence's text and ends the sequence where it is done.
func (l *Loop) say(s *sequence, token Token, logprob float64) {
	if s.first.IsZero() {
		s.first = time.Now()
	}
	if s.job.ends(l.vocab, token) {
		l.finish(s, FinishStop)
		return
	}
	req := s.job.req
	s.count++
	s.logprob += logprob
	if req.Tokens {
		s.tokens = append(s.tokens, token)
	}
	text, stopped := s.text.push(l.vocab.AppendPiece(nil, token, false))
	switch full := s.pos >= l.opt.Info.ContextLength; {
	case stopped:
		l.end(s, text, token, logprob, FinishStop, nil)
	case s.count >= req.Params.MaxTokens || full:
		l.end(s, text+s.text.finish(), token, logprob, FinishLength, nil)
	default:
		s.pending = append(s.pending[:0:0], token)
		if req.Stream && text != "" {
			l.emit(s, Event{Text: text, Token: token, Logprob: logprob})
		}
	}
}

// finish ends a sequence without a further token.
func (l *Loop) finish(s *sequence, why FinishReason) { l.end(s, s.text.finish(), -1, 0, why, nil) }

// fail ends a sequence with an error. What it had said until then is in the Result.
func (l *Loop) fail(s *sequence, e *errs.Error) { l.end(s, s.text.finish(), -1, 0, "", e) }

// end frees the slot and sends the last Event.
func (l *Loop) end(s *sequence, text string, token Token, logprob float64, why FinishReason, e *errs.Error) {
	now := time.Now()
	r := &Result{
		Text: s.text.all.String(), FinishReason: why, CompletionTokens: s.count, Tokens: s.tokens,
		PromptTokens: s.prompted(), SharedTokens: s.shared, Logprob: s.logprob,
		Queue: s.admitted.Sub(s.job.call.begun), Err: e,
	}
	r.Scores, r.ScoreTokens = s.scores()
	if s.first.IsZero() {
		r.Prefill = now.Sub(s.admitted)
	} else {
		r.Prefill, r.Decode = s.first.Sub(s.admitted), now.Sub(s.first)
	}
	s.sampler.Close()
	l.backend.Clear(int(s.slot))
	l.slots[s.slot] = nil
	l.running = slices.DeleteFunc(l.running, func(o *sequence) bool { return o == s })
	l.mu.Lock()
	l.stats.CompletionTokens += uint64(s.count)
	l.mu.Unlock()
	if text == "" {
		token, logprob = -1, 0
	}
	l.emit(s, Event{Text: text, Token: token, Logprob: logprob, Result: r})
	s.job.call.count()
}

func (l *Loop) emit(s *sequence, e Event) {
	e.Index, e.Seq = s.job.index, s.seq
	s.seq++
	if !s.job.req.Stream { // nothing was sent before this last one
		e.Text = s.text.all.String()
	}
	s.job.call.sink(e)
}

// reject ends a job that never had a slot.
func (l *Loop) reject(j *job, e *errs.Error) {
	j.leaveQueue()
	r := &Result{Queue: time.Since(j.call.begun), Err: e}
	j.call.sink(Event{Index: j.index, Token: -1, Result: r})
	j.call.count()
}

// count notes that one more request has its Result.
func (c *call) count() {
	if c.remaining--; c.remaining == 0 {
		close(c.done)
	}
}
