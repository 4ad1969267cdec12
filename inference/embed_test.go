package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"hyprstream/errs"
)

// embed runs Embed and puts vectors in order; each text must be answered once.
func embed(ctx context.Context, e *Engine, model string, texts ...string) ([]Embedding, error) {
	out := make([]Embedding, len(texts))
	calls := make([]int, len(texts))
	err := e.Embed(ctx, model, texts, func(i int, v Embedding) {
		calls[i]++
		out[i] = v
	})
	for i, n := range calls {
		if n > 1 || n == 0 && err == nil {
			return out, errors.Join(err, fmt.Errorf("text %d was answered %d times", i, n))
		}
	}
	return out, err
}

func TestEmbedOrderAndEqualTexts(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	got, err := embed(t.Context(), e, "", "b", "long", "cc", "b", "", "cc")
	if err != nil {
		t.Fatal(err)
	}
	if want := [][]string{{"b", "long", "cc", ""}}; !reflect.DeepEqual(h.embedded, want) {
		t.Errorf("computed %q, want %q", h.embedded, want)
	}
	for i, want := range []([]float32){{1, 'b'}, nil, {2, 'c'}, {1, 'b'}, {0, 0}, {2, 'c'}} {
		if !slices.Equal(got[i].Vector, want) || got[i].Model != "a" || (got[i].Err != nil) != (i == 1) {
			t.Errorf("%d: %+v, want %v", i, got[i], want)
		}
	}
	if got[1].Err.Code != errs.ContextOverflow || got[1].PromptTokens != 9 {
		t.Errorf("%+v", got[1])
	}
}

func TestEmbedAfterADeath(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	if _, err := embed(t.Context(), e, "a", "one", "two†", "three"); err != nil {
		t.Fatal(err)
	}
	if want := [][]string{{"one", "two†", "three"}, {"one", "two†"}}; !reflect.DeepEqual(h.embedded, want) {
		t.Errorf("computed %q, want %q", h.embedded, want)
	}
	if _, err := embed(t.Context(), e, "b", "dies††"); errs.CodeOf(err) != errs.EngineDied || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("died twice: %v", err)
	}
}

func TestEmbedErrors(t *testing.T) {
	e, _ := engine(t, &host{})
	if _, err := embed(t.Context(), e, "none", "x"); errs.CodeOf(err) != errs.ModelNotFound {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := e.Embed(ctx, "a", []string{"x", "y", "z"}, func(int, Embedding) { cancel() })
	if errs.CodeOf(err) != errs.Cancelled {
		t.Error(err)
	}
}

func TestARealProcessIsKilledWhileEmbedding(t *testing.T) {
	e := realEngine(t, map[string]string{"tiny": "../testdata/tiny.gguf"})
	texts := make([]string, 3000)
	for i := range texts {
		texts[i] = fmt.Sprint("the number ", i)
	}
	killed := false
	got := make([]Embedding, len(texts))
	err := e.Embed(t.Context(), "tiny", texts, func(i int, v Embedding) {
		got[i] = v
		if !killed {
			killed = true
			if err := syscall.Kill(e.Status()[0].PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || e.Status()[0].Restarts != 1 {
		t.Fatal(err, e.Status())
	}
	for i, v := range got {
		var sum float64
		for _, x := range v.Vector {
			sum += float64(x) * float64(x)
		}
		if v.Err != nil || len(v.Vector) != 64 || math.Abs(sum-1) > 1e-5 {
			t.Fatalf("%d: %+v", i, v)
		}
	}
}

func TestAnEncoderDoesNotGenerate(t *testing.T) {
	e := realEngine(t, map[string]string{"bert": "../testdata/tiny-bert.gguf"})
	if _, err := collect(e, t.Context(), prompts("bert", "hello")); errs.CodeOf(err) != errs.Unsupported || !strings.Contains(err.Error(), "embed") {
		t.Error(err)
	}
	if err := e.Stream(t.Context(), Request{Prompt: "hello"}, func(Chunk) error { return nil }); errs.CodeOf(err) != errs.Unsupported {
		t.Error(err)
	}
	if got, err := embed(t.Context(), e, "", "hello"); err != nil || len(got[0].Vector) != 32 {
		t.Errorf("%v, %v", got, err)
	}
}
