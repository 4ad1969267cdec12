package decode_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

func endless(change ...func(*decode.Request)) decode.Request {
	unending := func(r *decode.Request) { r.Params.MaxTokens, r.Params.IgnoreEOS = 1<<30, true }
	return req("p", append([]func(*decode.Request){unending}, change...)...)
}

// Cancelling one Submit ends all its requests, running and waiting, and leaves
// the others alone.
func TestCancelEndsOneSubmitOnly(t *testing.T) {
	m := &fake.Model{BeforeDecode: fake.Delay(time.Millisecond)}
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 4, ContextLength: 1 << 30}, Ahead: 8})
	ctx, cancel := context.WithCancel(t.Context())
	var mine, other collector
	started := make(chan struct{})
	var once bool
	cancelled := make(chan error)
	go func() {
		cancelled <- l.Submit(ctx, slices.Repeat([]decode.Request{endless(stream)}, 50), func(e decode.Event) {
			mine.sink(e)
			if !once {
				once = true
				close(started)
			}
		})
	}()
	<-started
	finished := make(chan error)
	go func() { finished <- l.Submit(t.Context(), []decode.Request{req("waits")}, other.sink) }()
	time.Sleep(5 * time.Millisecond)
	cancel()
	if err := <-cancelled; errs.CodeOf(err) != errs.Cancelled {
		t.Errorf("Submit: %v", err)
	}
	for i := range 50 {
		if r := mine.result(t, i); code(r.Err) != errs.Cancelled {
			t.Errorf("request %d: %v", i, r.Err)
		}
	}
	if err := <-finished; err != nil {
		t.Error(err)
	}
	if r := other.result(t, 0); r.Text != "WAITS" {
		t.Errorf("the other: %+v", r)
	}
}

func TestCancelledBeforeItBegins(t *testing.T) {
	l := newLoop(t, &fake.Model{}, decode.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var c collector
	if err := l.Submit(ctx, slices.Repeat([]decode.Request{req("p")}, 20), c.sink); errs.CodeOf(err) != errs.Cancelled {
		t.Errorf("Submit: %v", err)
	}
	for i := range 20 {
		c.result(t, i)
	}
}

func TestContextDeadlineIsATimeout(t *testing.T) {
	l := newLoop(t, &fake.Model{BeforeDecode: fake.Delay(time.Millisecond)}, decode.Options{Info: decode.Info{ContextLength: 1 << 30}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var c collector
	if err := l.Submit(ctx, []decode.Request{endless()}, c.sink); errs.CodeOf(err) != errs.Timeout {
		t.Errorf("Submit: %v", err)
	}
	if r := c.result(t, 0); code(r.Err) != errs.Timeout || r.CompletionTokens == 0 {
		t.Errorf("result: %+v", r)
	}
}

// A row's deadline ends it while it runs and while it waits, and only it.
func TestDeadlineOfARow(t *testing.T) {
	m := &fake.Model{BeforeDecode: fake.Delay(time.Millisecond)}
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 1, ContextLength: 1 << 30}})
	soon := func(r *decode.Request) { r.Deadline = time.Now().Add(60 * time.Millisecond) }
	begun := time.Now()
	var c collector
	// The first would run for 200 ms in the only slot.
	reqs := []decode.Request{endless(func(r *decode.Request) { r.Params.MaxTokens = 180 }), endless(soon), req("last")}
	var when [3]time.Duration
	err := l.Submit(t.Context(), reqs, func(e decode.Event) {
		c.sink(e)
		if e.Result != nil {
			when[e.Index] = time.Since(begun)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.result(t, 1); code(r.Err) != errs.Timeout || when[1] > when[0] {
		t.Errorf("waiting row: %v after %v, the first ended after %v", r.Err, when[1], when[0])
	}
	if r := c.result(t, 2); r.Text != "LAST" {
		t.Errorf("last: %+v", r)
	}

	if err := l.Submit(t.Context(), []decode.Request{endless(soon)}, c.sink); err != nil {
		t.Fatal(err)
	}
}

// A large Submit may not keep a small one waiting for all of it.
func TestLaterSubmitNeedNotWaitForAllOfALargeOne(t *testing.T) {
	m := &fake.Model{BeforeDecode: fake.Delay(200 * time.Microsecond)}
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 2}, Ahead: 8})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	finished := 0
	began := make(chan struct{}, 1)
	large := make(chan error)
	go func() {
		large <- l.Submit(ctx, slices.Repeat([]decode.Request{req("some words")}, 500), func(decode.Event) {
			finished++
			select {
			case began <- struct{}{}:
			default:
			}
		})
	}()
	<-began
	if err := l.Submit(t.Context(), []decode.Request{req("small")}, func(decode.Event) {}); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-large
	if q := l.Stats(); q.Steps > 500 {
		t.Errorf("the small one came after %d steps", q.Steps)
	}
}
