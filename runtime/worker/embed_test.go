package worker

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

var sentences = []string{
	"The cat sat on the mat and purred.",
	"A kitten is lying on the rug, purring.",
	"The central bank raised interest rates by half a percent.",
	"Borrowing became dearer after the bank's decision on rates.",
	"Preheat the oven and grease the baking tin.",
	"Stir flour, eggs and sugar into a smooth dough.",
	"word",
	"",
	strings.Repeat("The quick brown fox jumps over the lazy dog near the river bank. ", 10),
}

// vectors embeds texts; each must be answered once.
func vectors(t *testing.T, p *Process, texts []string) []Vector {
	t.Helper()
	out := make([]Vector, len(texts))
	seen := make([]int, len(texts))
	err := p.Embed(t.Context(), texts, func(v Vector) {
		out[v.Index] = v
		seen[v.Index]++
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range seen {
		if n != 1 {
			t.Fatalf("text %d was answered %d times", i, n)
		}
	}
	return out
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func cosine(a, b []float32) float64 { return dot(a, b) / math.Sqrt(dot(a, a)*dot(b, b)) }

// embedReference runs tools/embedref: llama.cpp's token-level vectors, averaged by hand.
func embedReference(t *testing.T, model string, texts []string) (out []Vector) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "embedref"), model)
	cmd.Stdin = strings.NewReader(strings.Join(texts, "\x00") + "\x00")
	lines, err := cmd.Output()
	if err != nil {
		t.Fatalf("embedref: %v", err)
	}
	for line := range bytes.Lines(lines) {
		f := strings.Fields(string(line))
		v := Vector{Values: make([]float32, len(f)-1)}
		v.Tokens, _ = strconv.Atoi(f[0])
		for i := range v.Values {
			x, err := strconv.ParseFloat(f[i+1], 32)
			if err != nil {
				t.Fatal(err)
			}
			v.Values[i] = float32(x)
		}
		out = append(out, v)
	}
	if len(out) != len(texts) {
		t.Fatalf("embedref gave %d lines for %d texts", len(out), len(texts))
	}
	return out
}

func tinyModel(name string) string { return filepath.Join("../../testdata", name) }

// TestEmbeddingsEqualLlamaCpps: pooled by llama.cpp and without the head, a
// text's vector is the mean of what llama.cpp computes with it. Packed with other
// texts, or by the own kernel, it stays that but for rounding, which 4-bit weights
// amplify.
func TestEmbeddingsEqualLlamaCpps(t *testing.T) {
	for name, m := range map[string]struct {
		path   string
		texts  []string
		packed float64 // least cosine
	}{
		"gemma":   {model(t), append(slices.Clone(sentences), strings.Repeat("The window of its layers is shorter than this text. ", 60)), 0.99},
		"tiny":    {tinyModel("tiny.gguf"), sentences, 0.9999},
		"encoder": {tinyModel("tiny-bert.gguf"), sentences[:8], 0.9999}, // it takes 128 tokens
	} {
		t.Run(name, func(t *testing.T) {
			want := embedReference(t, m.path, m.texts)
			spec := Spec{Path: m.path, Slots: 2, ContextLength: 2048}
			own := vectors(t, start(t, spec), m.texts)
			o := options()
			o.Env = append(o.Env, "HYPRSTREAM_CPU_KERNEL=ggml")
			p, err := Start(t.Context(), spec, o)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			packed := vectors(t, p, m.texts)
			for i, text := range m.texts {
				got := vectors(t, p, []string{text})[0]
				if got.Err != nil || got.Tokens != want[i].Tokens || len(got.Values) != len(want[i].Values) {
					t.Fatalf("%q: %d tokens, %d wide, %v; want %d and %d", text, got.Tokens, len(got.Values), got.Err, want[i].Tokens, len(want[i].Values))
				}
				if n := dot(got.Values, got.Values); math.Abs(n-1) > 1e-5 {
					t.Errorf("%q: length %v", text, n)
				}
				if c := cosine(got.Values, want[i].Values); c < 0.9999 {
					t.Errorf("%q: cosine %v", text, c)
				}
				if c := cosine(got.Values, packed[i].Values); c < m.packed {
					t.Errorf("%q packed with others: cosine %v", text, c)
				}
				if c := cosine(own[i].Values, want[i].Values); c < m.packed {
					t.Errorf("%q by the own kernel: cosine %v", text, c)
				}
			}
		})
	}
}

func TestEmbeddingsOfTheRealModel(t *testing.T) {
	p := start(t, Spec{Path: model(t), Slots: 4, ContextLength: 1024})
	before := p.ResidentBytes()
	got := vectors(t, p, sentences)
	// One token's logits are 1 MiB, and nobody reads them: a batch's would be 512.
	grown := p.ResidentBytes() - before
	if t.Logf("embedding took %d MiB", grown>>20); grown > 256<<20 {
		t.Error("that is too much")
	}
	for i := 0; i < 6; i += 2 { // a sentence and the next one mean the same
		for j := range 6 {
			if j/2 == i/2 {
				continue
			}
			if own, other := cosine(got[i].Values, got[i+1].Values), cosine(got[i].Values, got[j].Values); own <= other {
				t.Errorf("%q is nearer to %q (%v) than to %q (%v)", sentences[i], sentences[j], other, sentences[i+1], own)
			}
		}
	}
	t.Run("overflow", func(t *testing.T) {
		long := vectors(t, p, []string{strings.Repeat("word ", 600), strings.Repeat("word ", 3000), "word"})
		if long[0].Err != nil || long[2].Err != nil {
			t.Errorf("%v, %v", long[0].Err, long[2].Err)
		}
		if e := long[1].Err; e == nil || e.Code != errs.ContextOverflow || !strings.Contains(e.Msg, "1024") {
			t.Errorf("%v", e)
		}
	})
	t.Run("beside decoding", func(t *testing.T) { testEmbedBesideDecoding(t, p, got) })
	t.Run("cancel", func(t *testing.T) {
		texts := make([]string, 20000)
		for i := range texts {
			texts[i] = fmt.Sprint("text number ", i)
		}
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		err := p.Embed(ctx, texts, func(Vector) { n++; cancel() })
		if errs.CodeOf(err) != errs.Cancelled || n == 0 || n == len(texts) {
			t.Errorf("%d vectors, %v", n, err)
		}
	})
}

// Neither changes what the other computes.
func testEmbedBesideDecoding(t *testing.T, p *Process, want []Vector) {
	var reqs []decode.Request
	for i := range 8 {
		reqs = append(reqs, prompt(fmt.Sprint("Story number ", i), 24))
	}
	alone, err := results(t.Context(), p, reqs)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var beside []*decode.Result
	wg.Go(func() { beside, err = results(t.Context(), p, reqs) })
	for range 2 {
		for i, v := range vectors(t, p, sentences) {
			if c := cosine(v.Values, want[i].Values); c < 0.9999 {
				t.Errorf("%q beside decoding: cosine %v", sentences[i], c)
			}
		}
	}
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for i := range alone {
		if beside[i].Err != nil || beside[i].Text != alone[i].Text {
			t.Errorf("%d: %q beside embedding, %q alone, %v", i, beside[i].Text, alone[i].Text, beside[i].Err)
		}
	}
}

func TestAnEncoderOnlyEmbeds(t *testing.T) {
	p := start(t, Spec{Path: tinyModel("tiny-bert.gguf")})
	if info := p.Info(); !info.EmbedsOnly || info.Slots != 0 || info.ContextLength != 128 {
		t.Errorf("%+v", info)
	}
	rs, err := results(t.Context(), p, []decode.Request{prompt("Hello", 4)})
	if errs.CodeOf(err) != errs.Unsupported || !strings.Contains(err.Error(), "embed") || rs[0] != nil {
		t.Errorf("%v, %v", rs, err)
	}
	texts := []string{"the time", strings.Repeat("time ", 200), strings.Repeat("time ", 100)}
	got := vectors(t, p, texts)
	if got[0].Err != nil || got[2].Err != nil || got[1].Err == nil || got[1].Err.Code != errs.ContextOverflow {
		t.Errorf("%v, %v, %v", got[0].Err, got[1].Err, got[2].Err)
	}
	if tokens, err := p.Tokenize(t.Context(), [][]decode.Segment{{{Text: "the time"}}}, false); err != nil || len(tokens[0]) != 2 {
		t.Errorf("%v, %v", tokens, err)
	}
}

// TestManyTexts: more than a window and a message, in order and each its own.
func TestManyTexts(t *testing.T) {
	p := start(t, Spec{Path: tinyModel("tiny.gguf")})
	texts := make([]string, 2500)
	for i := range texts {
		texts[i] = strings.Repeat("the ", i%7) + fmt.Sprint(i)
	}
	got := vectors(t, p, texts)
	for _, i := range []int{0, 1, 6, 1023, 1024, 2047, 2499} {
		if c := cosine(got[i].Values, vectors(t, p, texts[i:i+1])[0].Values); c < 0.9999 {
			t.Errorf("text %d: cosine %v", i, c)
		}
	}
}

func TestPack(t *testing.T) {
	const room, most = 100, 8
	var pieces []piece
	for i := range 60 {
		pieces = append(pieces, piece{i, make([]int32, 1+(i*37)%160)})
	}
	seen := map[int]bool{}
	batches := pack(slices.Clone(pieces), room, most)
	for _, b := range batches {
		tokens := 0
		for _, p := range b {
			tokens += len(p.tokens)
			if seen[p.index] || len(p.tokens) != len(pieces[p.index].tokens) {
				t.Errorf("text %d comes twice, or is another", p.index)
			}
			seen[p.index] = true
		}
		if len(b) == 0 || len(b) > most || tokens > room && len(b) > 1 {
			t.Errorf("a batch of %d texts and %d tokens", len(b), tokens)
		}
	}
	if len(seen) != len(pieces) || len(pack(nil, room, most)) != 0 {
		t.Errorf("%d of %d texts", len(seen), len(pieces))
	}
	if short := pack([]piece{{0, make([]int32, 50)}, {1, make([]int32, 50)}, {2, make([]int32, 1)}}, room, most); len(short) != 2 {
		t.Errorf("%d batches where 2 hold all", len(short))
	}
}
