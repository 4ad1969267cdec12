package sqlfuncs

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"hyprstream/errs"
	"hyprstream/inference"
)

// TestAnswersOnDisk: many answers go to a file, and come back as they were.
func TestAnswersOnDisk(t *testing.T) {
	a := answers{dir: t.TempDir()}
	answer := func(i int) inference.Completion {
		c := inference.Completion{Text: strconv.Itoa(i) + strings.Repeat("x", 3000), Model: "m", Scores: []float64{-0.5, float64(i)}}
		if i%7 == 0 {
			c = inference.Completion{Model: "m", Err: errs.New(errs.ContextOverflow, "generate", "too long by %d", i)}
		}
		return c
	}
	const n = 4000
	for i := range n {
		a.put(digestOf(strconv.Itoa(i)), answer(i))
	}
	if a.saved == 0 || len(a.tail) == 0 {
		t.Fatalf("%d bytes saved, %d in memory", a.saved, len(a.tail))
	}
	for i := range n {
		got, ok, err := a.get(digestOf(strconv.Itoa(i)))
		if want := answer(i); err != nil || !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("%d: %+v %v %v", i, got, ok, err)
		}
	}
	if _, ok, _ := a.get(digestOf("other")); ok {
		t.Error("an answer to what was not asked")
	}
	a.close()
}

// TestAnswersWithoutDisk: where nothing can be put aside, work goes on without.
func TestAnswersWithoutDisk(t *testing.T) {
	a := answers{dir: "/nowhere"}
	for i := range 3 {
		a.put(digestOf(strconv.Itoa(i)), inference.Completion{Text: strings.Repeat("x", tailBytes)})
	}
	if !a.full {
		t.Error("it does not know that it cannot keep")
	}
	if got, ok, err := a.get(digestOf("0")); err != nil || !ok || len(got.Text) != tailBytes {
		t.Errorf("what is in memory: %v %v", ok, err)
	}
	if _, ok, _ := a.get(digestOf("2")); ok {
		t.Error("kept after all")
	}
}
