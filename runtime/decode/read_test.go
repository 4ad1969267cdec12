package decode_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

// Logits of a large vocabulary are read by several goroutines, those of a small
// one by the loop's own, and it makes no difference to what comes out.
func TestReadsSideBySide(t *testing.T) {
	for _, c := range []struct {
		vocabulary, threads int
		most                int32
	}{{1 << 20, 3, 3}, {1 << 20, 0, 1}, {1 << 20, 100, 10}, {1000, 3, 1}} {
		t.Run(fmt.Sprint(c.vocabulary, c.threads), func(t *testing.T) {
			var reading, most atomic.Int32
			m := &fake.Model{BeforeRead: func() {
				n := reading.Add(1)
				for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
				}
				time.Sleep(2 * time.Millisecond)
				reading.Add(-1)
			}}
			l := newLoop(t, m, decode.Options{
				Info: decode.Info{Slots: 8, Vocabulary: c.vocabulary}, Spare: 2, BatchSize: 64, Threads: c.threads,
			})
			var reqs []decode.Request
			for i := range 24 {
				if i%3 == 0 {
					reqs = append(reqs, scored(fmt.Sprint("text ", i), "yes", "no", "yesterday"))
				} else {
					reqs = append(reqs, req(fmt.Sprint("a text ", i)))
				}
			}
			var got collector
			if err := l.Submit(context.Background(), reqs, got.sink); err != nil {
				t.Fatal(err)
			}
			for i, r := range reqs {
				if i%3 == 0 {
					checkScores(t, got.result(t, i), r)
				} else if text, want := got.result(t, i).Text, strings.ToUpper(r.Prompt[0].Text); text != want {
					t.Errorf("request %d says %q, not %q", i, text, want)
				}
			}
			if n := most.Load(); n > c.most || c.most > 1 && n < 2 {
				t.Errorf("%d read at one time, expected %d", n, c.most)
			}
		})
	}
}
