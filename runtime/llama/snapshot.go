package llama

/*
#include "shim.h"
*/
import "C"

import (
	"errors"
	"slices"
	"unsafe"
)

// Snapshot is what one sequence held, kept outside the context in memory of its
// own: keys and values of its tokens and, in layers with a sliding window, of
// those that the next token still sees. It fits the context it was taken from,
// while the same adapters are set.
type Snapshot struct {
	p    *C.uint8_t // owned
	size C.size_t
}

// Save takes a snapshot of a sequence.
func (c *Context) Save(seq int) (*Snapshot, error) {
	var s Snapshot
	var cerr C.hs_error
	if s.p = C.hs_seq_save(c.p, C.int32_t(seq), &s.size, &cerr); s.p == nil {
		return nil, errors.New("no snapshot was taken: " + C.GoString(&cerr.msg[0]))
	}
	return &s, nil
}

// Restore fills a sequence with a snapshot, in place of what it held. After an
// error the sequence is undefined and must be removed.
func (c *Context) Restore(seq int, s *Snapshot) error {
	var cerr C.hs_error
	if !C.hs_seq_restore(c.p, C.int32_t(seq), s.p, s.size, &cerr) {
		return errors.New("the snapshot was not restored: " + C.GoString(&cerr.msg[0]))
	}
	return nil
}

// Revive makes a snapshot of another one's Data. A context that it does not fit
// refuses it in Restore; data that was changed must not come here.
func Revive(data []byte) (*Snapshot, error) {
	if len(data) == 0 {
		return nil, errors.New("a snapshot of no bytes")
	}
	p := C.hs_state_copy((*C.uint8_t)(&data[0]), C.size_t(len(data)))
	if p == nil {
		return nil, errors.New("no memory for the snapshot")
	}
	return &Snapshot{p, C.size_t(len(data))}, nil
}

// Data is a copy of its bytes.
func (s *Snapshot) Data() []byte {
	return slices.Clone(unsafe.Slice((*byte)(s.p), int(s.size)))
}

// Bytes is the memory it takes.
func (s *Snapshot) Bytes() int64 { return int64(s.size) }

// Free gives the memory back. The snapshot must not be used after it.
func (s *Snapshot) Free() {
	C.hs_state_free(s.p)
	s.p = nil
}
