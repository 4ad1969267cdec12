package decode

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"hyprstream/errs"
)

// call is one Submit.
type call struct {
	ctx       context.Context // of a queued job: the one place it is kept
	sink      func(Event)
	begun     time.Time
	remaining int           // requests without a Result; the loop's goroutine's
	done      chan struct{} // closed when remaining is 0
	room      chan struct{} // one element per job in the queue, so that a large Submit waits outside
	ended     atomic.Bool   // ctx is done
	running   int           // requests in slots; the loop's goroutine's
	abandoned bool          // Close ended some of it; set before done is closed
	served    uint64        // when one of them last got one, or the first came; the loop's goroutine's
}

// job is one request on its way to a slot.
type job struct {
	call     *call
	index    int
	req      *Request
	adapters []Adapter
	set      string // key of adapters
	prompt   []Token
	stops    []string
	endings  []Token // single tokens that stop strings are, such as "<end_of_turn>"
	fault    *errs.Error
	roomy    bool // holds an element of call.room
	serial   uint64
	scoring  *scoring // nil: the job generates

	// The loop's goroutine's, while the job waits.
	turn   *turn
	end    *node // of its prompt in the tree; nil: not entered
	awaits *node // its prefix, which is being computed
}

// verdict is why a job must not go on: its context's end or its deadline.
func (j *job) verdict(now time.Time) *errs.Error {
	if j.call.ended.Load() {
		return contextError(j.call.ctx)
	}
	if d := j.req.Deadline; !d.IsZero() && now.After(d) {
		return errs.New(errs.Timeout, "decode", "the row was not finished within its timeout; raise timeout_ms or lower max_tokens")
	}
	return nil
}

func contextError(ctx context.Context) *errs.Error {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return errs.New(errs.Timeout, "decode", "the deadline passed before the row was finished")
	}
	return errs.New(errs.Cancelled, "decode", "the request was cancelled")
}

// prepare checks and tokenizes a request. What is wrong with it is kept in
// fault, for the loop to report in its turn.
func (l *Loop) prepare(j *job) {
	j.adapters, j.set = normalAdapters(j.req.Adapters)
	if len(j.req.Continuations) == 0 {
		if j.fault = j.req.Params.Check(); j.fault != nil {
			return
		}
	}
	for _, s := range j.req.Params.Stop {
		if s == "" {
			continue
		}
		j.stops = append(j.stops, s)
		if t, err := l.vocab.Tokenize([]Segment{{Text: s, Special: true}}, false); err == nil && len(t) == 1 &&
			len(l.vocab.AppendPiece(nil, t[0], false)) == 0 {
			j.endings = append(j.endings, t[0])
		}
	}
	limit := l.opt.Info.ContextLength
	var size int
	for _, s := range j.req.Prompt {
		size += len(s.Text)
	}
	if least := size / l.vocab.MaxPiece(); least >= limit {
		j.fault = overflow("at least ", least, limit) // not worth tokenizing
		return
	}
	prompt, err := l.vocab.Tokenize(j.req.Prompt, j.req.AddBOS)
	switch {
	case err != nil:
		j.fault = errs.New(errs.InvalidArgument, "decode", "the prompt cannot be tokenized: %v", err)
	case len(prompt) >= limit:
		j.fault = overflow("", len(prompt), limit)
	case len(prompt) == 0:
		j.prompt = []Token{l.vocab.Start()}
	default:
		j.prompt = prompt
	}
	if j.fault == nil && len(j.req.Continuations) > 0 {
		l.prepareScoring(j)
	}
}

func overflow(about string, tokens, limit int) *errs.Error {
	return errs.New(errs.ContextOverflow, "decode",
		"the prompt has %s%d tokens and the model's slots hold %d, one of them for the answer; shorten the prompt or raise the model's context_length",
		about, tokens, limit)
}

// ends says whether t is the end that the request waits for.
func (j *job) ends(v Vocab, t Token) bool {
	return v.EndsGeneration(t) && !j.req.Params.IgnoreEOS || slices.Contains(j.endings, t)
}
