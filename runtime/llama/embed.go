package llama

/*
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
)

// EmbedderOptions size an Embedder. All fields are needed.
type EmbedderOptions struct {
	Batch     int // tokens per Embed
	Sequences int // texts per Embed, 1..256
	Threads   int // compute threads, 1..512
}

// Embedder turns texts into vectors, in a context of its own beside those that
// decode. One goroutine at a time.
type Embedder struct {
	p     *C.hs_context
	width int
}

// ErrNoEmbeddings says that a model's pooling gives no vector for a text.
var ErrNoEmbeddings = errors.New("the model ranks pairs of texts and has no embeddings")

// NewEmbedder makes one with the pooling that the file's metadata names, or the
// mean over all tokens where it names none. Attention is the model's own.
func (m *Model) NewEmbedder(o EmbedderOptions) (*Embedder, error) {
	switch maxSeqs := int(C.llama_max_parallel_sequences()); {
	case o.Sequences < 1 || o.Sequences > maxSeqs:
		return nil, fmt.Errorf("sequences is %d: it must be 1 to %d", o.Sequences, maxSeqs)
	case o.Batch < o.Sequences || o.Batch > math.MaxInt32/2:
		return nil, fmt.Errorf("a batch of %d tokens for %d sequences is out of range", o.Batch, o.Sequences)
	case o.Threads < 1 || o.Threads > 512:
		return nil, fmt.Errorf("threads is %d: it must be 1 to 512", o.Threads)
	}
	pooling := C.int32_t(C.LLAMA_POOLING_TYPE_UNSPECIFIED)
	switch m.Meta(m.Meta("general.architecture") + ".pooling_type") {
	case "", "0":
		pooling = C.LLAMA_POOLING_TYPE_MEAN
	case "4":
		return nil, ErrNoEmbeddings
	}
	var cerr C.hs_error
	mark := C.hs_log_mark()
	p := C.hs_embedder_new(m.p, C.uint32_t(o.Batch), C.uint32_t(o.Sequences), C.int32_t(o.Threads), pooling, &cerr)
	if p == nil {
		return nil, failure("the embedding context cannot be made", mark, &cerr)
	}
	return &Embedder{p: p, width: m.EmbeddingOut()}, nil
}

// Embed gives a vector of length 1 for each text, nil where the model gives
// none that can be normalised (zero, infinite or not a number). The texts, none
// of them empty, are computed together and must fit the Embedder's options.
func (e *Embedder) Embed(texts [][]int32) ([][]float32, error) {
	var tokens, lengths []int32
	for _, t := range texts {
		tokens = append(tokens, t...)
		lengths = append(lengths, int32(len(t)))
	}
	if len(tokens) == 0 {
		return nil, errors.New("there is nothing to embed")
	}
	all := make([]float32, len(texts)*e.width)
	var cerr C.hs_error
	mark := C.hs_log_mark()
	if !C.hs_embed(e.p, C.int32_t(len(texts)), (*C.int32_t)(&tokens[0]), (*C.int32_t)(&lengths[0]), (*C.float)(&all[0]), &cerr) {
		return nil, failure("the texts were not embedded", mark, &cerr)
	}
	out := make([][]float32, len(texts))
	for i := range out {
		out[i] = normal(all[i*e.width : (i+1)*e.width])
	}
	return out, nil
}

// normal scales v, in place, to length 1; nil where that cannot be.
func normal(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if !(sum > 0) || math.IsInf(sum, 1) { // not a number fails the comparison
		return nil
	}
	scale := 1 / math.Sqrt(sum)
	for i := range v {
		v[i] = float32(float64(v[i]) * scale)
	}
	return v
}

// Close frees the context.
func (e *Embedder) Close() {
	C.hs_context_free(e.p)
	e.p = nil
}

// Decodes is false for an encoder: it embeds, and cannot continue a text.
func (c *Context) Decodes() bool { return bool(C.hs_context_decodes(c.p)) }

// EmbeddingOut is the width of the vectors that Embed gives.
func (m *Model) EmbeddingOut() int { return int(C.llama_model_n_embd_out(m.p)) }

// Recurrent is true of models whose sequences each need a state of their own,
// whatever their length.
func (m *Model) Recurrent() bool {
	return bool(C.llama_model_is_recurrent(m.p)) || bool(C.llama_model_is_hybrid(m.p))
}
