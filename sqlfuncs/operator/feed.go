package operator

import (
	"context"
	"sync"
)

// An operator hands its calls over as its input comes. They are put to the Handler
// in batches: one at once, the next when those that are there are nearly answered,
// so that no slot of the engine waits. Answers leave in order, so an earlier start would
// only delay the first ones.
const (
	// nearly is how many calls are unanswered when more are put to the Handler: enough for
	// the slots. Two batches side by side take turns and bound each other's prompts.
	nearly = 64
	// atOnce bounds the batches of one operator whose input comes in trickles.
	atOnce = 64
	// largest is the most calls that one batch has, after the first: that has all there
	// is, so that the limits of ai_max_… can refuse it before anything is computed.
	largest = 8192
)

// running is an operator whose calls are being answered.
type running struct {
	a      *Attachment
	op     uint64
	ctx    context.Context // ends with its statement, with the operator, or with the attachment
	cancel context.CancelFunc
	spent  *Account
	work   *work // its statement's

	mu          sync.Mutex // guards what follows
	calls       []Call     // not yet put to the Handler
	index       []uint64   // the row that each is of
	begun       bool       // a batch was put
	outstanding int        // put, and not answered
	batches     int        // put, and not all answered
}

// begin makes operator op known: its context is its statement's, with its terms.
func (a *Attachment) begin(conn, op uint64, terms Terms) {
	w := a.statement(conn)
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &running{a: a, op: op, spent: &Account{}, work: w}
	ctx := context.WithValue(context.WithValue(w.ctx, termsKey{}, terms), accountKey{}, r.spent)
	r.ctx, r.cancel = context.WithCancel(ctx)
	if a.done {
		r.cancel()
	}
	a.ops[op] = r
	attachments.Lock()
	attachments.ops[op] = a
	attachments.Unlock()
}

// runningOf is operator op's, nil when it has ended.
func runningOf(op uint64) *running {
	attachments.Lock()
	a := attachments.ops[op]
	attachments.Unlock()
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ops[op]
}

func closeOperator(op uint64) {
	attachments.Lock()
	a := attachments.ops[op]
	delete(attachments.ops, op)
	attachments.Unlock()
	if a == nil {
		return
	}
	a.mu.Lock()
	r := a.ops[op]
	delete(a.ops, op)
	a.mu.Unlock()
	if r != nil {
		r.cancel()
	}
}

// feed takes more calls.
func (r *running) feed(calls []Call, index []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls, r.index = append(r.calls, calls...), append(r.index, index...)
	r.pump()
}

// pump puts calls to the Handler when it is time. The caller has mu.
func (r *running) pump() {
	for len(r.calls) > 0 && r.outstanding <= nearly && r.batches < atOnce {
		n := len(r.calls)
		if r.begun {
			n = min(n, largest)
		}
		r.begun = true
		calls, index := r.calls[:n:n], r.index[:n:n]
		r.calls, r.index = r.calls[n:], r.index[n:]
		if len(r.calls) == 0 {
			r.calls, r.index = nil, nil
		}
		r.outstanding += n
		r.batches++
		r.a.wg.Add(1)
		r.work.enter()
		go r.answer(calls, index)
	}
}

// answer has the Handler answer a batch.
func (r *running) answer(calls []Call, index []uint64) {
	defer r.a.wg.Done()
	defer r.work.leave()
	left := len(calls)
	defer func() {
		if p := recover(); p != nil {
			fail(r.op, panicText(p))
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.batches--
		r.outstanding -= left // those that an error left without an answer
		left = 0
		r.pump()
	}()
	err := r.a.handler.Run(r.ctx, calls, func(i int, an Answer) {
		answer(r.op, index[i], an)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.outstanding--
		left--
		if r.outstanding <= nearly {
			r.pump()
		}
	})
	if err != nil {
		fail(r.op, message(err))
	}
}
