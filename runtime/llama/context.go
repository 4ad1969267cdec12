package llama

/*
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
)

// ErrFull says that the cache has no room for a batch. Nothing was changed: a
// smaller batch, or one after a sequence has been removed, may succeed.
var ErrFull = errors.New("no room in the cache for this batch")

// ContextOptions size a context. All fields are needed.
type ContextOptions struct {
	Length  int // tokens per sequence
	Slots   int // sequences, 1..256
	Batch   int // tokens per Decode, at least Slots
	Threads int // compute threads, 1..512
}

// Context is the KV cache of Slots sequences and what computes them. One
// goroutine at a time.
type Context struct {
	p *C.hs_context
	o ContextOptions
}

// NewContext allocates the cache, all of it at once.
func (m *Model) NewContext(o ContextOptions) (*Context, error) {
	switch maxSlots := int(C.llama_max_parallel_sequences()); {
	case o.Slots < 1 || o.Slots > maxSlots:
		return nil, fmt.Errorf("slots is %d: it must be 1 to %d", o.Slots, maxSlots)
	case o.Length < 1 || o.Length > (1<<31-1)/o.Slots:
		return nil, fmt.Errorf("a context of %d tokens in %d slots is out of range", o.Length, o.Slots)
	case o.Batch < o.Slots:
		return nil, fmt.Errorf("a batch of %d tokens is smaller than the %d slots", o.Batch, o.Slots)
	case o.Threads < 1 || o.Threads > 512:
		return nil, fmt.Errorf("threads is %d: it must be 1 to 512", o.Threads)
	}
	var cerr C.hs_error
	mark := C.hs_log_mark()
	p := C.hs_context_new(m.p, C.uint32_t(o.Length*o.Slots), C.uint32_t(o.Slots), C.uint32_t(o.Batch), C.int32_t(o.Threads), &cerr)
	if p == nil {
		return nil, failure("the context cannot be made", mark, &cerr)
	}
	return &Context{p: p, o: o}, nil
}

// LeastContextBytes is a lower bound of what NewContext allocates: the cache's
// bookkeeping and one layer's keys and values. The true need differs much
// between architectures.
func (m *Model) LeastContextBytes(o ContextOptions) uint64 {
	if o.Length < 1 || o.Slots < 1 {
		return 0
	}
	const bookkeeping = 48 // bytes per token
	head := uint64(C.llama_model_n_embd(m.p)) / uint64(max(1, C.llama_model_n_head(m.p)))
	values := 2 * head * uint64(max(1, C.llama_model_n_head_kv(m.p)))
	return uint64(o.Length) * uint64(o.Slots) * (bookkeeping + 2*values)
}

// Close frees the cache. Samplers may be closed before or after.
func (c *Context) Close() {
	C.hs_context_free(c.p)
	c.p = nil
}

// SequenceLength is how many tokens one sequence has room for.
func (c *Context) SequenceLength() int { return int(C.hs_context_seq_len(c.p)) }

// Decode computes a batch: token i goes to position pos[i] of sequence seq[i],
// and its logits are kept where out[i] is not 0 (at most Slots in all).
// Positions of a sequence must follow each other. All slices have one length,
// at most ContextOptions.Batch. ErrFull is recoverable; after another error the
// sequences of the batch are undefined and must be removed.
func (c *Context) Decode(token, pos, seq []int32, out []int8) error {
	n := len(token)
	if n == 0 || len(pos) != n || len(seq) != n || len(out) != n {
		return errors.New("the slices of a batch must have one length above 0")
	}
	var cerr C.hs_error
	mark := C.hs_log_mark()
	switch C.hs_decode(c.p, C.int32_t(n), (*C.int32_t)(&token[0]), (*C.int32_t)(&pos[0]), (*C.int32_t)(&seq[0]), (*C.int8_t)(&out[0]), &cerr) {
	case 0:
		return nil
	case 1:
		return ErrFull
	}
	return failure("the batch was not computed", mark, &cerr)
}

// Remove empties a sequence; -1 empties all.
func (c *Context) Remove(seq int) bool { return bool(C.hs_seq_rm(c.p, C.int32_t(seq))) }

// Truncate removes what a sequence holds from the length on. false: what is left
// cannot be continued as if nothing had been there, since a recurrent state or a
// sliding window has moved on; remove the sequence.
func (c *Context) Truncate(seq, length int) bool {
	return bool(C.hs_seq_cut(c.p, C.int32_t(seq), C.int32_t(length)))
}

// Logprobs gives the natural logarithms of the probabilities of tokens after
// entry i of the last batch, whose out was set, under the model's own
// distribution over all of its vocabulary.
func (c *Context) Logprobs(i int, tokens []int32) ([]float64, error) {
	out := make([]float64, len(tokens))
	if len(tokens) == 0 {
		return out, nil
	}
	var cerr C.hs_error
	if !C.hs_logprobs(c.p, C.int32_t(i), (*C.int32_t)(&tokens[0]), C.int32_t(len(tokens)), (*C.double)(&out[0]), &cerr) {
		return nil, errors.New(C.GoString(&cerr.msg[0]))
	}
	return out, nil
}

// SetAdapters applies these LoRAs, and no others, to all that is decoded from
// now on. What is in the cache was computed with the ones before: remove it.
func (c *Context) SetAdapters(adapters []*Adapter, scales []float32) error {
	if len(adapters) != len(scales) {
		return errors.New("one scale is needed per adapter")
	}
	ps := make([]*C.struct_llama_adapter_lora, len(adapters)+1) // never empty, so that it has an address
	fs := make([]C.float, len(adapters)+1)
	for i, a := range adapters {
		ps[i], fs[i] = a.p, C.float(scales[i])
	}
	var cerr C.hs_error
	if !C.hs_adapters_set(c.p, &ps[0], &fs[0], C.size_t(len(adapters)), &cerr) {
		return errors.New("the adapters were not applied: " + C.GoString(&cerr.msg[0]))
	}
	return nil
}

// Top2 gives the two best tokens after batch entry i and their logits: their
// difference is the margin of a greedy choice.
func (c *Context) Top2(i int) (ids [2]int32, logits [2]float32, ok bool) {
	ok = bool(C.hs_top2(c.p, C.int32_t(i), (*C.int32_t)(&ids[0]), (*C.float)(&logits[0])))
	return ids, logits, ok
}

// BatchSize is how many tokens one Decode may take.
func (c *Context) BatchSize() int { return int(C.hs_context_batch(c.p)) }
