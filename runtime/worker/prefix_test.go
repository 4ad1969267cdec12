package worker

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"hyprstream/runtime/decode"
)

// shareRows have an instruction of about n tokens in common, and tails of their own.
func shareRows(rows, n, out int) []decode.Request {
	const sentence = "Read the review of a hotel and say in a few words what the guest liked and what was missing. "
	reqs := make([]decode.Request, rows)
	for i := range reqs {
		tail := fmt.Sprintf("Review %d: the %s was %s, and we stayed for %d nights by the sea.\nSummary:", i,
			[]string{"room", "food", "pool", "bar", "view"}[i%5], []string{"cold", "great", "loud", "small"}[i%4], i+2)
		reqs[i] = prompt(strings.Repeat(sentence, n/21+1)+tail, out)
		reqs[i].Params.IgnoreEOS = true
	}
	return reqs
}

func inLoop(t *testing.T, e *engine, o decode.Options, reqs []decode.Request) ([]*decode.Result, decode.Stats) {
	t.Helper()
	l := decode.NewLoop(e, e, o)
	defer l.Close()
	out := make([]*decode.Result, len(reqs))
	if err := l.Submit(t.Context(), reqs, func(ev decode.Event) { out[ev.Index] = ev.Result }); err != nil {
		t.Fatal(err)
	}
	for i, r := range out {
		if r.Err != nil {
			t.Fatalf("row %d: %v", i, r.Err)
		}
	}
	return out, l.Stats()
}

// margin is between the two best logits after a prompt and what was said.
func margin(t *testing.T, e *engine, r decode.Request, said []decode.Token) float32 {
	t.Helper()
	ids, err := e.Tokenize(r.Prompt, true)
	if err != nil {
		t.Fatal(err)
	}
	ids = append(ids, said...)
	defer e.Clear(0)
	_, logits := extend(t, e, 0, 0, ids)
	return logits[0] - logits[1]
}

// extend computes ids in a slot from a position on, and gives the best two tokens after them.
func extend(t *testing.T, e *engine, slot, pos int, ids []decode.Token) (best [2]int32, logits [2]float32) {
	t.Helper()
	for len(ids) > 0 {
		n := min(len(ids), e.ctx.BatchSize())
		var batch []decode.Entry
		for i, id := range ids[:n] {
			batch = append(batch, decode.Entry{Token: id, Pos: int32(pos + i), Slot: int32(slot), Output: i == len(ids)-1})
		}
		if err := e.Decode(batch); err != nil {
			t.Fatal(err)
		}
		if ids, pos = ids[n:], pos+n; len(ids) == 0 {
			best, logits, _ = e.ctx.Top2(n - 1)
		}
	}
	return best, logits
}

// A restored sequence goes on as the one that was saved, to the bit, below and
// beyond the sliding window of 512 tokens: with one thread, for more divide a
// sequence's cells among them by their places, which differ. So does the order
// of the cells once the saved one's have come around (1,024 of them: 1,500
// tokens); what is added up in another order in 16 bits may differ, here by 0.5.
func TestRestoredPrefixIsExact(t *testing.T) {
	e, _, err := load(&Spec{Path: model(t), ContextLength: 2048, Slots: 4, Threads: 1}, func(float64) {})
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	ids, err := e.Tokenize(shareRows(1, 1600, 1)[0].Prompt, true)
	if err != nil {
		t.Fatal(err)
	}
	for n, bound := range map[int]float64{40: 0, 512: 0, 700: 0, 950: 0, 1500: 1} {
		prefix, tail := ids[:n], ids[n:n+20]
		e.Clear(-1)
		extend(t, e, 3, 0, prefix)
		saved, err := e.Save(3)
		if err != nil {
			t.Fatal(err)
		}
		extend(t, e, 2, 0, ids[:30]) // a slot that was used before
		e.Clear(2)
		if err := e.Restore(2, saved); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d tokens take %d bytes", n, saved.Bytes())
		saved.Free()
		pos := n
		for range 5 {
			best, logits := extend(t, e, 3, pos, tail)
			got, l := extend(t, e, 2, pos, tail)
			if off := math.Abs(float64(l[0] - logits[0])); got[0] != best[0] || off > bound || bound == 0 && (got != best || l != logits) {
				t.Errorf("prefix %d, position %d: %v %v, want %v %v", n, pos, got, l, best, logits)
			}
			pos, tail = pos+len(tail), []decode.Token{best[0]}
		}
	}
}

// Rows that share a prefix say what they say without sharing, but where two
// tokens are so close that any other batch may turn them: also beyond the 512
// tokens of the model's sliding window.
func TestSharedPrefixSaysTheSame(t *testing.T) {
	for _, c := range []struct{ slots, tokens, rows int }{{4, 100, 16}, {8, 700, 8}} {
		t.Run(fmt.Sprintf("slots=%d,prefix=%d", c.slots, c.tokens), func(t *testing.T) {
			e, info, err := load(&Spec{Path: model(t), ContextLength: 1024, Slots: c.slots}, func(float64) {})
			if err != nil {
				t.Fatal(err)
			}
			defer e.close()
			reqs := shareRows(c.rows, c.tokens, 12)
			o := decode.Options{Info: info, BatchSize: e.ctx.BatchSize()}
			want, _ := inLoop(t, e, o, reqs)
			if c.tokens < 200 { // what another division into batches changes by itself
				o.BatchSize = 100
				other, _ := inLoop(t, e, o, reqs)
				turned := 0
				for i := range reqs {
					if firstDifference(other[i].Tokens, want[i].Tokens) >= 0 {
						turned++
					}
				}
				t.Logf("%d of %d rows differ without sharing in batches of 100", turned, c.rows)
				o.BatchSize = e.ctx.BatchSize()
			}
			o.PrefixBytes = DefaultPrefixBytes
			got, stats := inLoop(t, e, o, reqs)
			differ := 0
			for i := range reqs {
				if got[i].PromptTokens != want[i].PromptTokens {
					t.Errorf("row %d: %d prompt tokens, %d without sharing", i, got[i].PromptTokens, want[i].PromptTokens)
				}
				if at := firstDifference(got[i].Tokens, want[i].Tokens); at >= 0 {
					differ++
					m := margin(t, e, reqs[i], want[i].Tokens[:at])
					t.Logf("row %d differs at token %d, margin %.3f", i, at, m)
					if m > nearTie || ownKernel() {
						t.Errorf("row %d differs at a margin of %.3f", i, m)
					}
				}
			}
			t.Logf("%d of %d rows differ; %d of %d prompt tokens shared", differ, c.rows, stats.SharedTokens, stats.PromptTokens)
			if stats.SharedTokens < uint64((c.rows-1)*c.tokens) {
				t.Errorf("only %d of %d prompt tokens were shared", stats.SharedTokens, stats.PromptTokens)
			}
		})
	}
}

func firstDifference(a, b []decode.Token) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// BenchmarkSharedPrefix is 64 rows with 400 tokens in common and 16 of output.
// HYPRSTREAM_BENCH_CONTEXT is the context length.
func BenchmarkSharedPrefix(b *testing.B) {
	length := 1024
	if s := os.Getenv("HYPRSTREAM_BENCH_CONTEXT"); s != "" {
		if _, err := fmt.Sscan(s, &length); err != nil {
			b.Fatal(err)
		}
	}
	path := "../../.deps/models/gemma-3-270m-q4_k_m.gguf"
	for _, budget := range []int64{0, DefaultPrefixBytes} {
		b.Run(fmt.Sprintf("share=%v", budget > 0), func(b *testing.B) {
			e, info, err := load(&Spec{Path: path, ContextLength: length, Slots: 32}, func(float64) {})
			if err != nil {
				b.Fatal(err)
			}
			defer e.close()
			reqs := shareRows(64, 400, 16)
			for b.Loop() {
				l := decode.NewLoop(e, e, decode.Options{Info: info, BatchSize: e.ctx.BatchSize(), PrefixBytes: budget})
				begun := time.Now()
				if err := l.Submit(b.Context(), reqs, func(decode.Event) {}); err != nil {
					b.Fatal(err)
				}
				s := l.Stats()
				b.Logf("%.2f s, %d prompt tokens, %d shared", time.Since(begun).Seconds(), s.PromptTokens, s.SharedTokens)
				l.Close()
			}
		})
	}
}
