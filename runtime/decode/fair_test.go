package decode_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

// gate is a model that computes nothing before it is opened.
func gate(m *fake.Model) (open func()) {
	opened := make(chan struct{})
	m.BeforeDecode = func([]decode.Entry) error { <-opened; return nil }
	return sync.OnceFunc(func() { close(opened) })
}

// finished records the order in which rows of several calls end.
type finished struct {
	mu    sync.Mutex
	calls []string
}

func (f *finished) sink(call string) func(decode.Event) {
	return func(e decode.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if e.Result != nil {
			f.calls = append(f.calls, call)
		}
	}
}

// submitAll submits the calls one after the other, opens the gate when all of
// their rows wait, and gives the order in which rows ended.
func submitAll(t *testing.T, l *decode.Loop, open func(), names []string, calls [][]decode.Request) []string {
	t.Helper()
	f := &finished{}
	var wg sync.WaitGroup
	rows := 0
	for i, reqs := range calls {
		rows += len(reqs)
		wg.Go(func() {
			if err := l.Submit(t.Context(), reqs, f.sink(names[i])); err != nil {
				t.Error(err)
			}
		})
		for l.Stats().Queued < rows { // none is counted out before the first step has ended
			time.Sleep(time.Millisecond)
		}
	}
	open()
	wg.Wait()
	return f.calls
}

// A call's rows get slots in turn with another's that came long before.
func TestCallsTakeTurns(t *testing.T) {
	m := &fake.Model{}
	open := gate(m)
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 4}})
	large := slices.Repeat([]decode.Request{req("some words")}, 300)
	small := slices.Repeat([]decode.Request{req("some words")}, 20)
	order := submitAll(t, l, open, []string{"large", "small", "third"}, [][]decode.Request{large, small, small})
	for _, name := range []string{"small", "third"} {
		last := len(order) - 1
		for order[last] != name {
			last--
		}
		// A third of the slots each, and the 4 rows that were in slots before.
		if last > 3*20+8 {
			t.Errorf("the last row of %s came out as number %d", name, last)
		}
	}
}

// A call with a row in no slot takes a spare one at once, its other rows do not.
func TestSpareSlots(t *testing.T) {
	m, step, begun := stepwise()
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 8, ContextLength: 1 << 20}, Spare: 2, BatchSize: 200})
	ctx, cancel := context.WithCancel(t.Context())
	var large, small collector
	done := make(chan error, 2)
	busy := func(queued int) int {
		for l.Stats().Queued < queued {
			time.Sleep(time.Millisecond)
		}
		for range 2 {
			step <- struct{}{}
			<-begun
		}
		return l.Stats().Busy
	}
	go func() { done <- l.Submit(ctx, slices.Repeat([]decode.Request{endless()}, 30), large.sink) }()
	<-begun
	if n := busy(22); n != 8 {
		t.Errorf("one call has %d slots", n)
	}
	go func() { done <- l.Submit(ctx, slices.Repeat([]decode.Request{endless()}, 3), small.sink) }()
	if n := busy(22 + 3); n != 9 {
		t.Errorf("two calls have %d slots", n)
	}
	cancel()
	close(step)
	for range 2 {
		if err := <-done; errs.CodeOf(err) != errs.Cancelled {
			t.Error(err)
		}
	}
}

// Sets of adapters and, within them, calls go round: each gets its share, and no
// set changes more often than the bound says.
func TestManyCallsAndSets(t *testing.T) {
	const sets, calls, rows, bound = 8, 3, 20, 6
	m := sayAdapters()
	open := gate(m)
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 4}, SetBound: bound})
	var names []string
	var all [][]decode.Request
	for s := range sets {
		for c := range calls {
			names = append(names, fmt.Sprintf("%d/%d", s, c))
			all = append(all, slices.Repeat([]decode.Request{req("p", using(lora(fmt.Sprint(s), 1)))}, rows))
		}
	}
	order := submitAll(t, l, open, names, all)
	for _, name := range names {
		if at := slices.Index(order, name); at > sets*bound+8 {
			t.Errorf("the first row of %s came out as number %d", name, at)
		}
		last := -1
		for i, n := range order { // every call gets a row or more in each round of its set
			if n == name {
				if last >= 0 && i-last > 2*sets*bound {
					t.Errorf("%s had to wait for %d rows of others", name, i-last)
				}
				last = i
			}
		}
	}
	if _, _, changes := m.Seen(); len(changes) > sets*(calls*rows/bound+1) {
		t.Errorf("%d changes of the set", len(changes))
	}
}

// A large prompt beside another call's text goes in small parts, beside the
// call's own in large ones.
func TestPromptsBesideOthersText(t *testing.T) {
	for _, same := range []bool{false, true} {
		m, step, begun := stepwise()
		l := newLoop(t, m, decode.Options{BatchSize: 64, Beside: 16})
		ctx, cancel := context.WithCancel(t.Context())
		long := endless(func(r *decode.Request) { r.Prompt[0].Text = strings.Repeat("x", 600) })
		var a, b collector
		done := make(chan error, 2)
		if same { // the second one's prompt begins a step after the first one's
			go func() { done <- l.Submit(ctx, []decode.Request{endless(), long}, a.sink) }()
		} else {
			go func() { done <- l.Submit(ctx, []decode.Request{endless()}, a.sink) }()
			<-begun
			go func() { done <- l.Submit(ctx, []decode.Request{long}, b.sink) }()
			for l.Stats().Queued < 2 {
				time.Sleep(time.Millisecond)
			}
		}
		for range 6 {
			step <- struct{}{}
			<-begun
		}
		_, batches, _ := m.Seen()
		for i, batch := range batches[1:] {
			if want := map[bool]int{false: 17, true: 64}[same]; len(batch) != want {
				t.Errorf("same call %v: batch %d has %d tokens, want %d", same, i+1, len(batch), want)
			}
		}
		cancel()
		close(step)
		for range map[bool]int{false: 2, true: 1}[same] {
			<-done
		}
	}
}

func TestTooManyCalls(t *testing.T) {
	m := &fake.Model{}
	open := gate(m)
	l := newLoop(t, m, decode.Options{CallLimit: 2})
	done := make(chan error, 2)
	for i := range 2 {
		go func() { done <- l.Submit(t.Context(), []decode.Request{req("p")}, func(decode.Event) {}) }()
		for l.Stats().Queued <= i {
			time.Sleep(time.Millisecond)
		}
	}
	err := l.Submit(t.Context(), []decode.Request{req("p")}, func(decode.Event) { t.Error("an event of a refused call") })
	if code := errs.CodeOf(err); code != errs.QueueFull || !code.Retryable() {
		t.Errorf("the third: %v", err)
	}
	open()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := l.Submit(t.Context(), []decode.Request{req("p")}, func(decode.Event) {}); err != nil {
		t.Errorf("after them: %v", err)
	}
}
