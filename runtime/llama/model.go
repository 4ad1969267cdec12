package llama

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime/cgo"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// ErrCancelled is returned by Load when Progress asked to stop.
var ErrCancelled = errors.New("loading was cancelled")

var initOnce sync.Once

// initBackend prepares llama.cpp once per process. The shared build looks for
// its backends beside the executable, or where HYPRSTREAM_BACKENDS says.
func initBackend() {
	initOnce.Do(func() {
		dir := os.Getenv("HYPRSTREAM_BACKENDS")
		if exe, err := os.Executable(); dir == "" && err == nil {
			dir = filepath.Dir(exe)
		}
		c := C.CString(dir)
		defer C.free(unsafe.Pointer(c))
		C.hs_init(c)
	})
}

// Version is llama.cpp's own.
func Version() string { return C.GoString(C.llama_version()) }

// System names what computes: the backends and what they use of the processor.
func System() string { return C.GoString(C.llama_print_system_info()) }

// OwnKernels says whether products are computed by the kernels of this package
// and not by llama.cpp's: they round differently. Call it after Load.
func OwnKernels() bool { return bool(C.hs_own_kernels()) }

// LoadOptions say how weights are brought in. Progress, which may be nil, is
// called with 0..1 from the loading thread and returns false to give up.
type LoadOptions struct {
	GPULayers int // layers on the accelerator, -1 all, 0 nothing at all; without effect in a build that has none
	Progress  func(fraction float64) bool
}

// Model is the weights and the vocabulary. See the package comment for what
// may be called concurrently.
type Model struct {
	p        *C.struct_llama_model
	vocab    *C.struct_llama_vocab
	maxPiece int
	spaces   bool // the tokenizer puts a space before a text, see Tokenize
}

//export hsProgress
func hsProgress(handle C.uintptr_t, fraction C.float) C.bool {
	progress, ok := cgo.Handle(handle).Value().(func(float64) bool)
	return C.bool(!ok || progress == nil || progress(float64(fraction)))
}

// Load reads a GGUF file. The error's text ends with what llama.cpp logged.
func Load(path string, o LoadOptions) (*Model, error) {
	initBackend()
	stopped := false
	handle := cgo.NewHandle(func(f float64) bool {
		if o.Progress != nil && !o.Progress(f) {
			stopped = true
		}
		return !stopped
	})
	defer handle.Delete()
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))

	var cerr C.hs_error
	mark := C.hs_log_mark()
	p := C.hs_model_load(cpath, C.int32_t(o.GPULayers), C.uintptr_t(handle), &cerr)
	switch {
	case p == nil && stopped:
		return nil, ErrCancelled
	case p == nil:
		return nil, failure("", mark, &cerr)
	}
	m := &Model{p: p, vocab: C.llama_model_get_vocab(p)}
	if err := m.usable(); err != nil {
		m.Close()
		return nil, err
	}
	m.maxPiece = int(C.hs_max_piece(p))
	m.spaces = C.llama_vocab_type(m.vocab) == C.LLAMA_VOCAB_TYPE_SPM && m.Meta("tokenizer.ggml.add_space_prefix") != "false"
	return m, nil
}

// usable refuses models that take no text, or can neither continue nor embed it.
// Encoders of BERT's kind pass: see Context.Decodes.
func (m *Model) usable() error {
	switch {
	case C.llama_vocab_type(m.vocab) == C.LLAMA_VOCAB_TYPE_NONE || C.llama_vocab_n_tokens(m.vocab) == 0:
		return errors.New("the file has no tokenizer, so text cannot be given to it")
	case bool(C.llama_model_has_encoder(m.p)), !bool(C.llama_model_has_decoder(m.p)), bool(C.llama_model_is_diffusion(m.p)):
		return errors.New("the model is not a decoder-only language model, so it cannot continue a text")
	}
	return nil
}

// Close frees the weights, the vocabulary and all adapters. Contexts and
// samplers of the model must be closed before.
func (m *Model) Close() {
	if m.p != nil {
		C.llama_model_free(m.p)
		m.p, m.vocab = nil, nil
	}
}

// Meta is a metadata value as text, "" when the file has none of that key.
func (m *Model) Meta(key string) string {
	ckey := C.CString(key)
	defer C.free(unsafe.Pointer(ckey))
	n := C.llama_model_meta_val_str(m.p, ckey, nil, 0)
	if n <= 0 {
		return ""
	}
	buf := make([]byte, int(n)+1)
	C.llama_model_meta_val_str(m.p, ckey, (*C.char)(unsafe.Pointer(&buf[0])), C.size_t(len(buf)))
	return string(buf[:n])
}

// ChatTemplate is the file's Jinja template, "" when it has none.
func (m *Model) ChatTemplate() string {
	if t := C.llama_model_chat_template(m.p, nil); t != nil {
		return C.GoString(t)
	}
	return ""
}

// TrainedContext is the number of tokens the model was trained on.
func (m *Model) TrainedContext() int { return int(C.llama_model_n_ctx_train(m.p)) }

// Embedding is the width of the hidden state.
func (m *Model) Embedding() int { return int(C.llama_model_n_embd(m.p)) }

// Parameters is the number of weights.
func (m *Model) Parameters() uint64 { return uint64(C.llama_model_n_params(m.p)) }

// WeightBytes is the size of all tensors.
func (m *Model) WeightBytes() uint64 { return uint64(C.llama_model_size(m.p)) }

// Adapter is a LoRA of its model, freed with it.
type Adapter struct{ p *C.struct_llama_adapter_lora }

// LoadAdapter reads a GGUF LoRA file made for this model. It must not run
// beside Decode.
func (m *Model) LoadAdapter(path string) (*Adapter, error) {
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	var cerr C.hs_error
	mark := C.hs_log_mark()
	p := C.hs_adapter_load(m.p, cpath, &cerr)
	if p == nil {
		return nil, failure("", mark, &cerr)
	}
	return &Adapter{p: p}, nil
}

// failure joins what was tried, the exception and the first error llama.cpp
// logged since mark, without the name of the function it comes from.
func failure(what string, mark C.uint64_t, cerr *C.hs_error) error {
	var logged C.hs_error
	C.hs_log_since(mark, &logged)
	var parts []string
	for _, msg := range []string{what, C.GoString(&cerr.msg[0]), C.GoString(&logged.msg[0])} {
		if msg = origin.ReplaceAllString(msg, ""); msg != "" && !slices.Contains(parts, msg) {
			parts = append(parts, msg)
		}
	}
	if len(parts) == 0 {
		parts = []string{"llama.cpp does not say why"}
	}
	return errors.New(strings.ToValidUTF8(strings.Join(parts, ": "), "\uFFFD"))
}

var origin = regexp.MustCompile(`^([a-z0-9_]+: |error loading model: )+`)
