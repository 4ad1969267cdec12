package decode

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"hyprstream/errs"
)

// Options size a loop.
type Options struct {
	Info        Info         // Slots and ContextLength bound the loop; the rest is passed on
	Spare       int          // slots the backend has beyond Info.Slots, for calls that have no request in one
	BatchSize   int          // tokens per Decode, at least one per slot
	Threads     int          // goroutines that read logits side by side; 0: one
	Beside      int          // tokens of prompts per Decode that writes other calls' text as well; 0: a quarter of BatchSize
	Ahead       int          // requests of one Submit that are tokenized and queued before the rest waits; 0: 8 per slot, at least 512
	SetBound    int          // admissions of one adapter set while another waits, and of a call's rows before its first; 0: 4 per slot
	CallLimit   int          // Submits at one time; 0: 1,000
	PrefixBytes int64        // memory for what prompts begin with, kept for others; 0: nothing is kept
	Logger      *slog.Logger // nil: discarded
}

// mostTogether bounds the tokenizing that a Submit's first request waits for.
const mostTogether = 64

// Loop decodes requests side by side. Its methods are safe for concurrent use.
type Loop struct {
	backend Backend
	vocab   Vocab
	opt     Options

	mu        sync.Mutex
	inbox     []*job     // guarded by mu
	asks      []func()   // guarded by mu: what is to be done between two steps
	dialogues []Dialogue // guarded by mu: as they were told last
	calls     int        // guarded by mu: Submits in progress
	closed    bool       // guarded by mu
	stats     Stats      // guarded by mu

	wake    chan struct{} // there is news in inbox, asks, closed or sweep
	sweep   atomic.Bool   // a call's context ended
	stopped chan struct{} // closed when run returns

	// The rest belongs to run's goroutine.
	queue    *queue
	prefixes *prefixes
	slots    []*sequence // nil: free
	running  []*sequence // in the order of admission
	adapted  string      // the set the backend has been given
	timed    bool        // some queued job has a deadline
	swept    time.Time   // when deadlines in the queue were last looked at
	entries  []Entry     // of the batch being built
	reads    []read      // of the batch that was computed
	spent    spent       // by the step
}

// NewLoop starts the loop's goroutine. The backend stays the caller's, who
// closes it after Close.
func NewLoop(b Backend, v Vocab, opt Options) *Loop {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	slots := max(1, opt.Info.Slots)
	opt.Info.Slots = slots
	opt.BatchSize = max(opt.BatchSize, slots+opt.Spare)
	if opt.Beside <= 0 {
		opt.Beside = max(1, opt.BatchSize/4)
	}
	if opt.CallLimit <= 0 {
		opt.CallLimit = 1000
	}
	if opt.Ahead <= 0 {
		opt.Ahead = max(8*slots, 512)
	}
	if opt.SetBound <= 0 {
		opt.SetBound = 4 * slots
	}
	l := &Loop{
		backend: b, vocab: v, opt: opt,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		queue: newQueue(opt.SetBound), prefixes: newPrefixes(opt.PrefixBytes), slots: make([]*sequence, slots+opt.Spare),
		stats: Stats{IdleSince: time.Now()},
	}
	go l.run()
	return l
}

// Info describes the model.
func (l *Loop) Info() Info { return l.opt.Info }

// Stats gives the counters.
func (l *Loop) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Tokenize gives the tokens of a prompt, as Submit would.
func (l *Loop) Tokenize(segs []Segment, addBOS bool) ([]Token, error) {
	t, err := l.vocab.Tokenize(segs, addBOS)
	return t, errs.Wrap(err, errs.InvalidArgument, "tokenize", "the text cannot be tokenized")
}

// Detokenize gives the text of tokens; control tokens have none unless special is
// set, and bytes that are no UTF-8 become U+FFFD.
func (l *Loop) Detokenize(tokens []Token, special bool) string {
	var o textOut
	var b []byte
	for _, t := range tokens {
		b = l.vocab.AppendPiece(b, t, special)
	}
	text, _ := o.push(b)
	return text + o.finish()
}

// Submit decodes reqs and returns once each has had its Event with a Result.
// sink is called from the loop's goroutine and must not block. More Submits at
// one time than Options.CallLimit are refused with errs.QueueFull. When ctx ends,
// the unfinished requests end with errs.Cancelled or errs.Timeout at the next
// step and Submit returns that error; rows' own failures are in their Results.
func (l *Loop) Submit(ctx context.Context, reqs []Request, sink func(Event)) error {
	if len(reqs) == 0 {
		return nil
	}
	if err := l.open(); err != nil {
		return err
	}
	defer l.leave()
	c := &call{
		ctx: ctx, sink: sink, begun: time.Now(), remaining: len(reqs),
		done: make(chan struct{}), room: make(chan struct{}, l.opt.Ahead),
	}
	defer context.AfterFunc(ctx, func() {
		c.ended.Store(true)
		l.sweep.Store(true)
		l.poke()
	})()
	// The first jobs are queued together, so that the loop sees what they share.
	first := min(len(reqs), l.opt.Ahead, mostTogether)
	var together []*job
	for i := range reqs {
		j := &job{call: c, index: i, req: &reqs[i]}
		select {
		case c.room <- struct{}{}:
			j.roomy = true
			l.prepare(j)
		case <-ctx.Done():
			c.ended.Store(true) // the loop reports it for all that is left, none tokenized
		}
		if together = append(together, j); i < first-1 && !c.ended.Load() {
			continue
		}
		enqueued := l.enqueue(together)
		together = nil
		if !enqueued {
			break // closed: nothing of this call will be served any more
		}
		if c.ended.Load() {
			l.sweep.Store(true)
			l.poke()
		}
	}
	select {
	case <-c.done:
	case <-l.stopped:
	}
	select {
	case <-c.done:
		if ctx.Err() != nil {
			return contextError(ctx)
		}
		if c.abandoned {
			return errClosed()
		}
		return nil
	default:
		return errClosed()
	}
}

// open counts a Submit in, or refuses it.
func (l *Loop) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls >= l.opt.CallLimit {
		return errs.New(errs.QueueFull, "decode", "%d statements and requests wait for this model, as many as it takes: try again later", l.calls)
	}
	l.calls++
	return nil
}

func (l *Loop) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls--
}

func errClosed() *errs.Error {
	return errs.New(errs.EngineUnavailable, "decode", "the model is being unloaded; try again")
}

func (l *Loop) enqueue(jobs []*job) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.inbox = append(l.inbox, jobs...)
	l.stats.Queued += len(jobs)
	l.stats.IdleSince = time.Time{}
	l.poke()
	return true
}

func (l *Loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close ends all that is running with an error, then the goroutine, and waits
// for it.
func (l *Loop) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.poke()
	<-l.stopped
}

// run is the loop's goroutine.
func (l *Loop) run() {
	defer close(l.stopped)
	for {
		begun := time.Now()
		if !l.collect() {
			l.abandon()
			return
		}
		l.expire()
		l.admit()
		l.compact()
		if len(l.running) > 0 {
			l.step(begun)
			continue
		}
		if l.queue.n == 0 {
			l.publish()
			<-l.wake
		}
	}
}

// collect moves the inbox to the queue. false: the loop is closed.
func (l *Loop) collect() bool {
	l.mu.Lock()
	jobs, asks, closed := l.inbox, l.asks, l.closed
	l.inbox, l.asks = nil, nil
	l.mu.Unlock()
	for _, ask := range asks {
		ask()
	}
	for _, j := range jobs {
		l.timed = l.timed || !j.req.Deadline.IsZero()
		l.queue.push(j)
		l.prefixes.enter(j)
	}
	return !closed
}

// abandon ends everything, for Close.
func (l *Loop) abandon() {
	for _, j := range l.queue.remove(func(*job) bool { return true }) {
		j.call.abandoned = true
		l.reject(j, errClosed())
	}
	for len(l.running) > 0 {
		l.running[0].job.call.abandoned = true
		l.fail(l.running[0], errClosed())
	}
	l.prefixes.clear()
	l.publish()
}

// expire ends what was cancelled or is late, running or waiting.
func (l *Loop) expire() {
	now := time.Now()
	for i := 0; i < len(l.running); {
		if e := l.running[i].job.verdict(now); e != nil {
			l.fail(l.running[i], e) // removes it from running
		} else {
			i++
		}
	}
	// The queue may be long: look through it when a context ended, and now and
	// then for deadlines.
	late := l.timed && now.Sub(l.swept) > 20*time.Millisecond
	if !l.sweep.Swap(false) && !late {
		return
	}
	l.swept, l.timed = now, false
	for _, j := range l.queue.remove(func(j *job) bool {
		l.timed = l.timed || !j.req.Deadline.IsZero()
		return j.verdict(now) != nil
	}) {
		l.reject(j, j.verdict(now))
	}
}

// admit fills free slots from the queue.
func (l *Loop) admit() {
	for slot := range l.slots {
		for l.slots[slot] == nil {
			j := l.queue.next(len(l.running) > 0, len(l.running) >= l.opt.Info.Slots)
			if j == nil {
				return
			}
			l.start(j, slot)
		}
	}
}

// start puts a job into a free slot, or ends it where that cannot be.
func (l *Loop) start(j *job, slot int) {
	fault := j.fault
	if fault == nil {
		fault = j.verdict(time.Now())
	}
	if fault == nil {
		fault = l.adapt(j)
	}
	if fault != nil {
		l.reject(j, fault)
		return
	}
	sampler, err := l.backend.Sampler(j.req.Params, j.prompt)
	if err != nil {
		l.reject(j, asError(err, errs.InvalidArgument, "the request's sampling options are refused"))
		return
	}
	s := &sequence{job: j, slot: int32(slot), sampler: sampler, text: textOut{stops: j.stops}, admitted: time.Now()}
	l.begin(s)
	l.leaveQueue(j)
	j.call.running++
	l.slots[slot] = s
	l.running = append(l.running, s)
}

// adapt gives the backend a job's adapter set. Nothing else is running when
// the set changes. All slots are emptied: they were computed with other
// weights.
func (l *Loop) adapt(j *job) *errs.Error {
	if j.set == l.adapted {
		return nil
	}
	l.backend.Clear(-1)
	if err := l.backend.Adapt(j.adapters); err != nil {
		l.adapted = "?" // unknown: the next job sets it again
		return asError(err, errs.InvalidModelFile, "an adapter cannot be applied")
	}
	l.adapted = j.set
	return nil
}

// asError keeps an *errs.Error and gives others a code. What is returned has no
// cause: it must survive the way to another process.
func asError(err error, code errs.Code, what string) *errs.Error {
	var e *errs.Error
	if errors.As(err, &e) {
		return e
	}
	return errs.New(code, "decode", "%s: %v", what, err)
}

func (l *Loop) leaveQueue(j *job) {
	l.prefixes.leave(j)
	if j.roomy {
		j.roomy = false
		<-j.call.room
	}
}

// publish brings the state in Stats up to date.
func (l *Loop) publish() {
	l.tell()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Busy, l.stats.Queued = len(l.running), l.queue.n+len(l.inbox)
	l.stats.Prefixes, l.stats.PrefixBytes = len(l.prefixes.all), l.prefixes.bytes
	switch idle := l.stats.Busy+l.stats.Queued == 0; {
	case !idle:
		l.stats.IdleSince = time.Time{}
	case l.stats.IdleSince.IsZero():
		l.stats.IdleSince = time.Now()
	}
}
