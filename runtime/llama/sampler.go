package llama

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"strings"
	"unsafe"
)

// SamplerOptions say how a token is chosen. The zero value is greedy.
type SamplerOptions struct {
	Temperature   float32 // 0: greedy
	TopP          float32 // 0 or 1: off
	TopK          int     // 0: off
	MinP          float32 // 0: off
	RepeatPenalty float32 // 0 or 1: off; looks back on 64 tokens, the prompt's end included
	Seed          uint32
	Grammar       string // GBNF with a rule "root"
	IgnoreEOG     bool   // never choose an end token
}

// Sampler chooses the tokens of one sequence and remembers what it chose.
type Sampler struct{ p *C.hs_sampler }

// NewSampler builds the chain penalties, top_k, top_p, min_p, temperature,
// seeded choice, behind the grammar if there is one. A grammar that does not
// parse is an error.
func (m *Model) NewSampler(o SamplerOptions, prompt []int32) (*Sampler, error) {
	cp := C.hs_sampler_params{
		temperature: C.float(o.Temperature), top_p: C.float(o.TopP), min_p: C.float(o.MinP),
		repeat_penalty: C.float(o.RepeatPenalty), top_k: C.int32_t(o.TopK), seed: C.uint32_t(o.Seed),
		ignore_eog: C.bool(o.IgnoreEOG),
	}
	if o.Seed == C.LLAMA_DEFAULT_SEED {
		cp.seed-- // this value asks llama.cpp for a random seed
	}
	if strings.ContainsRune(o.Grammar, 0) {
		return nil, errors.New("the grammar has a NUL character")
	}
	if o.Grammar != "" {
		cp.grammar = C.CString(o.Grammar)
		defer C.free(unsafe.Pointer(cp.grammar))
	}
	var first *C.int32_t
	if len(prompt) > 0 {
		first = (*C.int32_t)(&prompt[0])
	}
	var cerr C.hs_error
	mark := C.hs_log_mark()
	p := C.hs_sampler_new(m.p, &cp, first, C.int32_t(len(prompt)), &cerr)
	if p == nil {
		return nil, failure("the sampler cannot be made", mark, &cerr)
	}
	return &Sampler{p: p}, nil
}

// Close frees the sampler.
func (s *Sampler) Close() {
	C.hs_sampler_free(s.p)
	s.p = nil
}

// Sample chooses the token after entry i of the context's last batch, whose
// out was set, and takes it as said. With logprob it also gives its log
// probability under the model's own distribution.
func (s *Sampler) Sample(c *Context, i int, logprob bool) (token int32, lp float64, err error) {
	var clp C.double
	var at *C.double
	if logprob {
		at = &clp
	}
	var cerr C.hs_error
	t := C.hs_sample(s.p, c.p, C.int32_t(i), at, &cerr)
	if t < 0 {
		return -1, 0, errors.New(C.GoString(&cerr.msg[0]))
	}
	return int32(t), float64(clp), nil
}
