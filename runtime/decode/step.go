package decode

import (
	"cmp"
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
	stops   []*node // ahead, in the prompt: what is computed there is kept for others
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

// spent is what a step has taken so far.
type spent struct {
	tokens             int // computed
	decoding, sampling time.Duration
}

// chunk is how many of the pending tokens may be computed at once.
func (s *sequence) chunk() int {
	if len(s.stops) > 0 {
		return s.stops[0].depth - s.pos
	}
	return len(s.pending)
}

// step computes one batch: the next token of everything that is being written,
// and beside it as much of the prompts as fits, oldest first, and as the other
// calls that are writing bear: they wait for the whole of the step.
// The time since begun, when the loop turned to it, is accounted to it.
func (l *Loop) step(begun time.Time) {
	l.spent = spent{}
	slots, computing := len(l.running), time.Now()
	room := l.opt.BatchSize
	parts := make([]part, 0, len(l.running))
	writing, prompts, beside := 0, 0, l.opt.Beside
	spare := len(l.slots) - len(l.running) // outputs beyond one per sequence
	var writers []*call                    // two at most: any is another's call then
	for i, s := range l.running {
		if !s.first.IsZero() {
			n := s.share(room-(len(l.running)-1-i), &spare)
			parts = append(parts, part{s, n})
			room -= n
			writing += n
			if c := s.job.call; len(writers) < 2 && !slices.Contains(writers, c) {
				writers = append(writers, c)
			}
		}
	}
	for _, s := range l.running {
		if !s.first.IsZero() {
			continue
		}
		n := min(room, s.chunk())
		if len(writers) > 1 || len(writers) == 1 && writers[0] != s.job.call {
			n = min(n, beside)
			beside -= n
		}
		if n > 0 {
			parts = append(parts, part{s, n})
			room -= n
			prompts += n
		}
	}
	// A backend computes neighbours side by side, as long as they are in order.
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.s.slot, b.s.slot) })
	l.compute(parts)

	seconds, whole := time.Since(computing).Seconds(), time.Since(begun)
	share := float64(prompts) / float64(max(1, prompts+writing))
	l.mu.Lock()
	l.stats.Steps++
	l.stats.PromptTokens += uint64(prompts)
	l.stats.PrefillSeconds += seconds * share
	l.stats.DecodeSeconds += seconds * (1 - share)
	l.stats.DecodedTokens += uint64(l.spent.tokens)
	l.stats.SlotSteps += uint64(slots)
	l.stats.StepSeconds += whole.Seconds()
	l.stats.SampleSeconds += l.spent.sampling.Seconds()
	l.stats.OverheadSeconds += (whole - l.spent.sampling - l.spent.decoding).Seconds()
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
	begun := time.Now()
	err := l.backend.Decode(batch)
	l.spent.decoding += time.Since(begun)
	switch {
	case err == nil:
		l.spent.tokens += len(batch)
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

// take makes something of the logits that were computed: a token for each sequence that is being written, and scores.
func (l *Loop) take(parts []part) {
	end := 0
	for _, p := range parts {
		end += p.n
		p.s.pos += p.n
		p.s.pending = p.s.pending[p.n:]
		l.reads = p.s.toRead(l.reads, end)
	}
	begun := time.Now()
	l.read(l.reads)
	l.spent.sampling += time.Since(begun)

	rest := l.reads
	for _, p := range parts {
		s, n := p.s, 0
		for n < len(rest) && rest[n].s == s {
			n++
		}
		own := rest[:n]
		rest = rest[n:]
		if len(s.stops) > 0 && s.pos == s.stops[0].depth {
			l.keep(s)
		}
		switch {
		case s.job.scoring != nil:
			l.look(s, own)
		case n == 0: // in its prompt
		case own[0].err != nil:
			l.fail(s, asError(own[0].err, errs.Internal, "no token can be chosen"))
		default:
			l.say(s, own[0].token, own[0].logprob)
		}
	}
	clear(l.reads)
	l.reads = l.reads[:0]
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
	if req.Tokens || req.Keep != "" {
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
		Text: s.text.all.String(), FinishReason: why, CompletionTokens: s.count,
		PromptTokens: s.prompted(), SharedTokens: s.shared, Logprob: s.logprob,
		Queue: s.admitted.Sub(s.job.call.begun), Err: e,
	}
	if s.job.req.Tokens {
		r.Tokens = s.tokens
	}
	r.Scores, r.ScoreTokens = s.scores()
	if s.first.IsZero() {
		r.Prefill = now.Sub(s.admitted)
	} else {
		r.Prefill, r.Decode = s.first.Sub(s.admitted), now.Sub(s.first)
	}
	s.sampler.Close()
	l.prefixes.abandon(s)
	if s.job.req.Keep != "" && e == nil && s.job.scoring == nil {
		l.keepDialogue(s)
	}
	s.job.call.running--
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
	l.leaveQueue(j)
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
