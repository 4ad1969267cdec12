package decode_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

// uneven says as many letters as a prompt's number.
func uneven() *fake.Model {
	return &fake.Model{Reply: func(prompt string, _ []decode.Adapter) string {
		var n int
		if _, err := fmt.Sscanf(prompt, "%d", &n); err != nil {
			return "?"
		}
		return strings.Repeat("y", n)
	}}
}

// gaps counts the places in batches where a slot does not follow the one before.
func gaps(batches [][]decode.Entry) (n int) {
	for _, b := range batches {
		last := int32(-1)
		for _, e := range b {
			if e.Slot != last && e.Slot != last+1 {
				n++
			}
			last = e.Slot
		}
	}
	return n
}

// Rows that end early leave no gaps between the slots of those that go on.
func TestSlotsStayTogether(t *testing.T) {
	lengths := []int{3, 40, 5, 30, 7, 50, 9, 20}
	var reqs []decode.Request
	for _, n := range lengths {
		reqs = append(reqs, req(fmt.Sprint(n), maxTokens(100)))
	}
	for _, broken := range []bool{false, true} {
		m := uneven()
		if broken {
			m.SaveError = errors.New("no memory")
		}
		l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: len(lengths)}, BatchSize: 64})
		var c collector
		if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
			t.Fatal(err)
		}
		for i, n := range lengths {
			if got := c.result(t, i); got.Err != nil || got.Text != strings.Repeat("y", n) {
				t.Errorf("row %d: %+v, want %d letters", i, got, n)
			}
		}
		_, batches, _ := m.Seen()
		if n := gaps(batches); (n > 0) != broken {
			t.Errorf("saving fails: %v; %d gaps", broken, n)
		}
	}
}
