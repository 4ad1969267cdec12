package sqlfuncs

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What thresholds promise of rows like the sample's holds in at least 95 of 100
// samples, and they decide rows where the proxy allows it.
func TestThresholdsHold(t *testing.T) {
	const samples = 200
	for _, c := range []struct {
		name         string
		n            int
		share, noise float64 // of yes; standard deviation where yes and no are 1 apart
		target       target
		least        float64 // of the rows decided, on average
	}{
		{"even", 500, 0.5, 0.25, target{quality: 0.95}, 0.8},
		{"noisy", 2000, 0.5, 0.6, target{quality: 0.9}, 0.1},
		{"few are yes", 2000, 0.1, 0.3, target{quality: 0.9}, 0.5},
		{"most are yes", 2000, 0.9, 0.3, target{quality: 0.9}, 0.5},
		{"loose", 1000, 0.3, 1, target{quality: 0.7}, 0.2},
		{"recall", 1000, 0.1, 0.3, target{recall: 0.95}, 0.5},
		{"recall, noisy", 1000, 0.3, 1, target{recall: 0.9}, 0.1},
		{"recall by nothing", 1000, 0.3, 1e6, target{recall: 0.9}, 0.01},
		{"a score of two values", 800, 0.5, 0, target{quality: 0.95}, 0},
	} {
		rng := rand.New(rand.NewPCG(7, 9))
		draw := func(n int) []judged {
			out := make([]judged, n)
			for i := range out {
				yes := rng.Float64() < c.share
				out[i] = judged{c.noise * rng.NormFloat64(), yes}
				if yes {
					out[i].score++
				}
				if c.noise == 0 && rng.Float64() < 0.04 {
					out[i].score = 1 - out[i].score
				}
			}
			return out
		}
		broken, decided := 0, 0.0
		for range samples {
			lo, hi := thresholds(draw(c.n), c.target)
			if lo > hi {
				t.Fatalf("%s: %v > %v", c.name, lo, hi)
			}
			ok, part := holds(draw(4000), lo, hi, c.target)
			if !ok {
				broken++
			}
			decided += part / samples
		}
		if broken > samples/20 {
			t.Errorf("%s: %d of %d samples broke the promise", c.name, broken, samples)
		}
		if decided < c.least {
			t.Errorf("%s: %.2f of the rows were decided", c.name, decided)
		}
	}
}

// holds checks the promise on rows, with room for their own chance, and says how
// many the proxy decides.
func holds(rows []judged, lo, hi float64, t target) (ok bool, decided float64) {
	var all, below, above [2]float64 // no, yes
	for _, r := range rows {
		k := 0
		if r.yes {
			k = 1
		}
		all[k]++
		if r.score < lo {
			below[k]++
		}
		if r.score > hi {
			above[k]++
		}
	}
	want := max(t.quality, t.recall)
	at := func(part, of float64) bool {
		return of == 0 || part/of >= want-2*math.Sqrt(want*(1-want)/of)
	}
	ok = at(all[1]-below[1], all[1])
	if t.quality > 0 {
		ok = ok && at(all[0]-above[0], all[0]) && at(below[0], below[0]+below[1]) && at(above[1], above[0]+above[1])
	}
	return ok, (below[0] + below[1] + above[0] + above[1]) / float64(len(rows))
}

func TestUnlikely(t *testing.T) {
	for _, c := range []struct {
		n        int
		p, doubt float64
		want     int
	}{
		{58, 0.05, 0.05, 0}, {59, 0.05, 0.05, 1}, // 0.95^59 < 0.05 < 0.95^58
		{92, 0.05, 0.05, 1}, {93, 0.05, 0.05, 2},
		{0, 0.05, 0.05, 0}, {1000, 0, 0.05, 0}, {10, 0.5, 0.05, 2}, {100_000, 0.05, 0.05, 4887},
	} {
		if got := unlikely(c.n, c.p, c.doubt); got != c.want {
			t.Errorf("unlikely(%d, %v, %v) = %d, want %d", c.n, c.p, c.doubt, got, c.want)
		}
	}
	if lo, hi := thresholds(nil, target{quality: 0.9}); !math.IsInf(lo, -1) || !math.IsInf(hi, 1) {
		t.Errorf("nothing known: %v, %v", lo, hi)
	}
}
