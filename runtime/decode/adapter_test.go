package decode_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

func lora(path string, scale float32) decode.Adapter { return decode.Adapter{Path: path, Scale: scale} }

func using(a ...decode.Adapter) func(*decode.Request) {
	return func(r *decode.Request) { r.Adapters = a }
}

// sayAdapters replies with the set that the row is computed under.
func sayAdapters() *fake.Model {
	return &fake.Model{Reply: func(_ string, a []decode.Adapter) string { return fmt.Sprint(a) }}
}

// Rows of different sets are grouped: each is computed under its own, and the
// set changes as often as there are sets, not rows.
func TestRowsAreGroupedByAdapterSet(t *testing.T) {
	m := sayAdapters()
	release := make(chan struct{})
	m.BeforeDecode = func([]decode.Entry) error { <-release; return nil }
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 3}, Ahead: 100, SetBound: 100})
	sets := [][]decode.Adapter{nil, {lora("a", 1)}, {lora("a", 0.5), lora("b", 1)}}
	var reqs []decode.Request
	for i := range 30 {
		reqs = append(reqs, req("p", using(sets[i%3]...)))
	}
	go func() {
		for l.Stats().Queued < 27 { // all but those in slots
			time.Sleep(time.Millisecond)
		}
		close(release)
	}()
	var c collector
	if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
		t.Fatal(err)
	}
	for i := range reqs {
		if got, want := c.result(t, i).Text, fmt.Sprint(sets[i%3]); got != want {
			t.Errorf("request %d was computed under %s, want %s", i, got, want)
		}
	}
	if _, _, changes := m.Seen(); len(changes) != 2 {
		t.Errorf("the set changed %d times: %v", len(changes), changes)
	}
}

func TestEqualAdapterSetsAreOne(t *testing.T) {
	m := sayAdapters()
	l := newLoop(t, m, decode.Options{})
	reqs := []decode.Request{
		req("p", using(lora("b", 1), lora("a", 2))),
		req("p", using(lora("a", 2), lora("b", 1))),
		req("p", using(lora("a", 1), lora("b", 1), lora("a", 1), lora("c", 0))),
	}
	var c collector
	if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
		t.Fatal(err)
	}
	if _, _, changes := m.Seen(); len(changes) != 1 || len(changes[0]) != 2 {
		t.Errorf("changes: %v", changes)
	}
}

// A set that keeps being asked for must not starve another.
func TestNoAdapterSetStarves(t *testing.T) {
	m := sayAdapters()
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 2}, Ahead: 1000, SetBound: 6})
	reqs := slices.Repeat([]decode.Request{req("p", using(lora("a", 1)))}, 200)
	reqs[3] = req("p", using(lora("b", 1)))
	var order []int
	if err := l.Submit(t.Context(), reqs, func(e decode.Event) { order = append(order, e.Index) }); err != nil {
		t.Fatal(err)
	}
	if at := slices.Index(order, 3); at > 60 {
		t.Errorf("the row of the other set came out as number %d of %d", at, len(order))
	}
}

func TestAdapterThatDoesNotLoadFailsItsRowsOnly(t *testing.T) {
	l := newLoop(t, sayAdapters(), decode.Options{})
	var c collector
	reqs := []decode.Request{req("p"), req("p", using(lora("broken", 1))), req("p", using(lora("a", 1))), req("p")}
	if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"[]", "", "[{a 1}]", "[]"} {
		r := c.result(t, i)
		if failed := i == 1; failed != (code(r.Err) == errs.InvalidModelFile) || r.Text != want {
			t.Errorf("request %d: %+v", i, r)
		}
	}
}
