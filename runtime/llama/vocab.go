package llama

/*
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unsafe"
)

// Size is the number of tokens in the vocabulary.
func (m *Model) Size() int { return int(C.llama_vocab_n_tokens(m.vocab)) }

// MaxPiece is the length in bytes of the longest token: a text of n bytes has
// at least n/MaxPiece tokens.
func (m *Model) MaxPiece() int { return m.maxPiece }

// BOS, EOS and Newline are special tokens, -1 when the vocabulary has none.
func (m *Model) BOS() int32     { return int32(C.llama_vocab_bos(m.vocab)) }
func (m *Model) EOS() int32     { return int32(C.llama_vocab_eos(m.vocab)) }
func (m *Model) Newline() int32 { return int32(C.llama_vocab_nl(m.vocab)) }

// AddsBOS says whether the vocabulary begins a text with BOS by itself.
func (m *Model) AddsBOS() bool { return bool(C.llama_vocab_get_add_bos(m.vocab)) }

// SpaceInFront says whether the vocabulary puts a space before a text.
func (m *Model) SpaceInFront() bool { return m.spaces }

// EndsGeneration is true of EOS, EOT and their kin.
func (m *Model) EndsGeneration(token int32) bool {
	return m.valid(token) && bool(C.llama_vocab_is_eog(m.vocab, C.llama_token(token)))
}

// Control is true of tokens that are no text.
func (m *Model) Control(token int32) bool {
	return m.valid(token) && bool(C.llama_vocab_is_control(m.vocab, C.llama_token(token)))
}

func (m *Model) valid(token int32) bool { return token >= 0 && int(token) < m.Size() }

// AppendPiece appends the bytes of a token to dst: possibly a part of a code
// point, nothing for control tokens unless special is set.
func (m *Model) AppendPiece(dst []byte, token int32, special bool) []byte {
	if !m.valid(token) {
		return dst
	}
	var small [64]byte
	buf := small[:]
	for {
		n := int(C.hs_piece(m.p, C.int32_t(token), (*C.char)(unsafe.Pointer(&buf[0])), C.int32_t(len(buf)), C.bool(special)))
		if n >= 0 {
			return append(dst, buf[:n]...)
		}
		buf = make([]byte, -n)
	}
}

// Tokenize turns text into tokens. special says whether the text of control
// tokens becomes control tokens. continued says that text goes on after other
// text: tokenizers that put a space before a text then do not.
func (m *Model) Tokenize(text string, special, continued bool) ([]int32, error) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if !continued || !m.spaces || text == "" {
		return m.tokenize(text, special)
	}
	// There is no flag for it: let the space go to a newline in front, and take
	// that off again. A newline is one token that merges with nothing.
	front, err := m.tokenize("\n", false)
	if err != nil {
		return nil, err
	}
	all, err := m.tokenize("\n"+text, special)
	if err != nil {
		return nil, err
	}
	for i, t := range front {
		if i >= len(all) || all[i] != t {
			return m.tokenize(text, special)
		}
	}
	return all[len(front):], nil
}

// TokenizeWhole turns a text into tokens with those that the vocabulary puts
// around a text (BOS, CLS, SEP), which is all there is of an empty one.
func (m *Model) TokenizeWhole(text string) ([]int32, error) {
	return m.tokens(strings.ToValidUTF8(text, "\uFFFD"), true, false)
}

func (m *Model) tokenize(text string, special bool) ([]int32, error) {
	if text == "" {
		return nil, nil
	}
	return m.tokens(text, false, special)
}

// tokens calls the tokenizer: around adds what goes around a text.
func (m *Model) tokens(text string, around, special bool) ([]int32, error) {
	if len(text) > math.MaxInt32/4 {
		return nil, fmt.Errorf("a text of %d bytes is too long to tokenize", len(text))
	}
	out := make([]int32, len(text)/3+8)
	for {
		var cerr C.hs_error
		n := int(C.hs_tokenize(m.p, (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.int32_t(len(text)),
			(*C.int32_t)(&out[0]), C.int32_t(len(out)), C.bool(around), C.bool(special), &cerr))
		switch {
		case n >= 0:
			return out[:n], nil
		case n == math.MinInt32:
			return nil, errors.New("the text cannot be tokenized: " + C.GoString(&cerr.msg[0]))
		}
		out = make([]int32, -n)
	}
}
