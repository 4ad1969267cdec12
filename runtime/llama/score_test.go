package llama

import (
	"math"
	"slices"
	"testing"
)

// feed computes ids in a sequence from a position on; logits are there after each.
func feed(t *testing.T, c *Context, seq, at int, ids []int32) {
	t.Helper()
	pos, seqs, outs := make([]int32, len(ids)), make([]int32, len(ids)), make([]int8, len(ids))
	for i := range ids {
		pos[i], seqs[i], outs[i] = int32(at+i), int32(seq), 1
	}
	if err := c.Decode(ids, pos, seqs, outs); err != nil {
		t.Fatal(err)
	}
}

func TestLogprobs(t *testing.T) {
	m := load(t)
	c := context(t, m, ContextOptions{Length: 64, Slots: 4, Batch: 16, Threads: 1})
	all := make([]int32, m.Size())
	for i := range all {
		all[i] = int32(i)
	}
	feed(t, c, 0, 0, tokens(t, m, "the")[:2])
	for entry := range 2 {
		lps, err := c.Logprobs(entry, all)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, lp := range lps {
			sum += math.Exp(lp)
		}
		best, logits, _ := c.Top2(entry)
		margin := lps[best[0]] - lps[best[1]]
		if math.Abs(sum-1) > 1e-5 || lps[best[0]] != slices.Max(lps) || math.Abs(margin-float64(logits[0]-logits[1])) > 1e-5 {
			t.Errorf("entry %d: probabilities sum to %v, best %v, margin %v of %v", entry, sum, best, margin, logits)
		}
		s, err := m.NewSampler(SamplerOptions{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token, lp, err := s.Sample(c, entry, true); err != nil || lp != lps[token] {
			t.Errorf("entry %d: the sampler says %v of %d, want %v; %v", entry, lp, token, lps[token], err)
		}
		s.Close()
	}
	for name, bad := range map[string]struct {
		entry int
		token int32
	}{"no such entry": {2, 0}, "no such token": {0, int32(m.Size())}, "negative": {0, -1}} {
		if _, err := c.Logprobs(bad.entry, []int32{bad.token}); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

// A sequence that was cut back goes on as one that never went further.
func TestTruncate(t *testing.T) {
	m := load(t)
	c := context(t, m, ContextOptions{Length: 64, Slots: 4, Batch: 16, Threads: 1})
	ids := tokens(t, m, "what can he do of the")[:8]
	feed(t, c, 0, 0, ids[:4])
	feed(t, c, 0, 4, ids[5:8])
	for name, bad := range map[string]struct{ seq, length int }{"beyond its end": {0, 8}, "to nothing": {0, 0}, "empty": {1, 2}, "no such": {4, 2}} {
		if c.Truncate(bad.seq, bad.length) {
			t.Errorf("%s: true", name)
		}
	}
	if !c.Truncate(0, 4) {
		t.Fatal("false")
	}
	feed(t, c, 0, 4, ids[4:6])
	got, err := c.Logprobs(1, ids)
	if err != nil {
		t.Fatal(err)
	}
	feed(t, c, 2, 0, ids[:4])
	feed(t, c, 2, 4, ids[4:6])
	want, err := c.Logprobs(1, ids)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, fresh %v; %v", got, want, err)
	}
}
