package llama

import (
	"math"
	"slices"
	"testing"
)

const tinyEncoder = "../../testdata/tiny-bert.gguf"

func embedder(t *testing.T, m *Model, o EmbedderOptions) *Embedder {
	t.Helper()
	e, err := m.NewEmbedder(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestEmbedderRefusesWhatWouldAbort(t *testing.T) {
	m := load(t)
	for _, o := range []EmbedderOptions{
		{Batch: 64, Sequences: 0, Threads: 1}, {Batch: 4096, Sequences: 1000, Threads: 1},
		{Batch: 2, Sequences: 4, Threads: 1}, {Batch: 64, Sequences: 4, Threads: 0},
	} {
		if e, err := m.NewEmbedder(o); err == nil {
			e.Close()
			t.Errorf("%+v is taken", o)
		}
	}
	e := embedder(t, m, EmbedderOptions{Batch: 16, Sequences: 2, Threads: 1})
	for name, texts := range map[string][][]int32{
		"nothing":         {},
		"an empty text":   {{1, 300}, {}},
		"three texts":     {{1}, {1}, {1}},
		"too many tokens": {make([]int32, 9), make([]int32, 8)},
		"token too high":  {{1, 512}},
		"token negative":  {{-1}},
	} {
		if _, err := e.Embed(texts); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if got, err := e.Embed([][]int32{make([]int32, 8), make([]int32, 8)}); err != nil || len(got) != 2 || len(got[1]) != 64 {
		t.Errorf("a full batch: %v, %v", got, err)
	}
}

// What was embedded before leaves no trace, and the cache never fills.
func TestEmbedderForgets(t *testing.T) {
	m := load(t)
	e := embedder(t, m, EmbedderOptions{Batch: 16, Sequences: 2, Threads: 1})
	text := [][]int32{{1, 300, 301, 302}}
	want, err := e.Embed(text)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := e.Embed([][]int32{{1, 310, 311, 312, 313, 314, 315}, {1, 320, 321}}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := e.Embed(text); err != nil || !slices.Equal(got[0], want[0]) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestEncoder(t *testing.T) {
	m, err := Load(tinyEncoder, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if context(t, m, ContextOptions{Length: 64, Slots: 1, Batch: 16, Threads: 1}).Decodes() {
		t.Error("an encoder has a cache to decode with")
	}
	decoder := load(t)
	if !context(t, decoder, ContextOptions{Length: 64, Slots: 1, Batch: 16, Threads: 1}).Decodes() {
		t.Error("a decoder has none")
	}
	ids, err := m.TokenizeWhole("the time")
	if err != nil || len(ids) != 4 || ids[0] != 2 || ids[3] != 3 {
		t.Fatalf("[CLS] and [SEP] around two words: %v, %v", ids, err)
	}
	if empty, err := m.TokenizeWhole(""); err != nil || !slices.Equal(empty, []int32{2, 3}) {
		t.Errorf("%v, %v", empty, err)
	}
	// Order counts: positions reach the encoder.
	e := embedder(t, m, EmbedderOptions{Batch: 16, Sequences: 2, Threads: 1})
	got, err := e.Embed([][]int32{ids, {ids[0], ids[2], ids[1], ids[3]}})
	if err != nil || len(got[0]) != 32 || slices.Equal(got[0], got[1]) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestNormal(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, v := range [][]float32{{}, {0, 0}, {1, nan}, {inf, 1}, {nan, inf}} {
		if got := normal(v); got != nil {
			t.Errorf("a direction: %v", got)
		}
	}
	for _, v := range [][]float32{{3, 4}, {3e30, 4e30}, {3e-30, 4e-30}} {
		if got := normal(v); len(got) != 2 || math.Abs(float64(got[0])-0.6) > 1e-6 || math.Abs(float64(got[1])-0.8) > 1e-6 {
			t.Errorf("%v", got)
		}
	}
}
