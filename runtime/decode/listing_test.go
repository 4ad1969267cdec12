package decode_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

// What the counters say is what the backend saw.
func TestCountersAreTrue(t *testing.T) {
	m := &fake.Model{}
	o := sharing(4)
	o.BatchSize = 512 // every sequence is in every batch
	l := newLoop(t, m, o)
	reqs := append(prefixed(letters(100), 10), req("one"), req("and another one"))
	var c collector
	if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
		t.Fatal(err)
	}
	s := idle(l)
	slots := 0
	_, batches, _ := m.Seen()
	for _, b := range batches {
		seen := map[int32]bool{}
		for _, e := range b {
			seen[e.Slot] = true
		}
		slots += len(seen)
	}
	if int(s.DecodedTokens) != computed(m) || int(s.SlotSteps) != slots || int(s.Steps) != len(batches) {
		t.Errorf("%+v, want %d tokens, %d slots and %d steps", s, computed(m), slots, len(batches))
	}
	if s.Prefixes != 1 || s.PrefixBytes != 100*fake.TokenBytes {
		t.Errorf("%d prefixes of %d bytes", s.Prefixes, s.PrefixBytes)
	}
	if s.SampleSeconds <= 0 || s.OverheadSeconds <= 0 || s.StepSeconds < s.SampleSeconds+s.OverheadSeconds {
		t.Errorf("step %v, sampling %v, other %v seconds", s.StepSeconds, s.SampleSeconds, s.OverheadSeconds)
	}
}

func TestPrefixesAreListed(t *testing.T) {
	opt := sharing(2)
	opt.Info.ContextLength = 1 << 30 // what runs on for ever must outlast a slow look
	l := newLoop(t, &fake.Model{BeforeDecode: fake.Delay(time.Millisecond)}, opt)
	list := func() []decode.Prefix {
		t.Helper()
		p, err := l.Prefixes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := list(); len(p) != 0 {
		t.Errorf("before anything: %+v", p)
	}
	var c collector
	if err := l.Submit(t.Context(), append(prefixed("old "+letters(46), 3), prefixed(letters(200), 4, using(lora("a", 2)))...), c.sink); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	forever := func(r *decode.Request) { r.Params.MaxTokens, r.Params.IgnoreEOS = 1<<30, true }
	go func() { done <- l.Submit(ctx, prefixed("old "+letters(46), 9, forever), c.sink) }()
	for l.Stats().Queued < 7 || l.Stats().Busy < 2 {
		time.Sleep(time.Millisecond)
	}
	p := list()
	cancel()
	<-done
	if len(p) != 2 {
		t.Fatalf("%+v", p)
	}
	if p[0].Text != "old "+letters(46) || p[0].Tokens != 50 || p[0].Bytes != 500 || p[0].Hits < 4 || !p[0].Pinned || p[0].Used.IsZero() {
		t.Errorf("%+v", p[0])
	}
	if p[1].Text != strings.Repeat("x", 79) || p[1].Tokens != 200 || p[1].Hits != 3 || p[1].Pinned ||
		!slices.Equal(p[1].Adapters, []decode.Adapter{lora("a", 2)}) {
		t.Errorf("%+v", p[1])
	}
	l.Close()
	if _, err := l.Prefixes(t.Context()); errs.CodeOf(err) != errs.EngineUnavailable {
		t.Errorf("after Close: %v", err)
	}
}
