package safetensors

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"
)

const (
	headerBytes = 32 << 20 // the largest header read; those of models with 10,000 tensors have 2 MB
	maxBytes    = 1 << 60  // of a tensor, so that sums cannot overflow
	maxDims     = 8
)

// Tensor is one of a file whose header has been checked.
type Tensor struct {
	Name   string
	Type   string   // the format's own name: "F32", "BF16", …
	Shape  []uint64 // rows first; none is 0
	Offset int64    // in the file
	Bytes  int64
}

// typeBytes are the sizes of the format's types.
var typeBytes = map[string]uint64{
	"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
	"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
}

// Read reads and checks the header of a file of size bytes, and returns its
// tensors in the order of their bytes, which fill the file without holes. Errors
// say what is wrong in words that follow the file's name: "it is truncated: …".
func Read(f io.ReaderAt, size int64) ([]Tensor, error) {
	var length [8]byte
	if size < 8 {
		return nil, fmt.Errorf("it has %d bytes, too few for a SafeTensors file; it is truncated", size)
	}
	if err := readAt(f, length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n > headerBytes:
		return nil, fmt.Errorf("it claims a header of %d bytes, more than the %d that make sense; it is damaged or no SafeTensors file", n, headerBytes)
	case n > uint64(size-8):
		return nil, fmt.Errorf("its header of %d bytes ends behind the file's %d; it is truncated", n, size)
	}
	text := make([]byte, n)
	if err := readAt(f, text, 8); err != nil {
		return nil, err
	}
	list, err := parse(text)
	if err != nil {
		return nil, err
	}
	return list, place(list, 8+int64(n), size)
}

// readAt fills b. A file that has become shorter is cut off, whatever it had.
func readAt(f io.ReaderAt, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("it ends at byte %d, where more is expected; it is truncated", at+int64(n))
	}
	return err
}

// check holds a description against itself, and makes Offset and Bytes of its
// data_offsets, which count from the end of the header.
func (t *Tensor) check(offsets []uint64) error {
	unit, known := typeBytes[t.Type]
	switch {
	case !known:
		return fmt.Errorf("tensor %.100q has the unknown type %.20q", t.Name, t.Type)
	case len(offsets) != 2 || offsets[0] > offsets[1] || offsets[1] > maxBytes:
		return fmt.Errorf("tensor %.100q has the impossible data_offsets %v", t.Name, offsets)
	case len(t.Shape) > maxDims:
		return fmt.Errorf("tensor %.100q has %d dimensions", t.Name, len(t.Shape))
	}
	need := unit
	for _, d := range t.Shape {
		hi, lo := bits.Mul64(need, d)
		if d == 0 || hi != 0 || lo > maxBytes {
			return fmt.Errorf("tensor %.100q has the impossible shape %v", t.Name, t.Shape)
		}
		need = lo
	}
	if got := offsets[1] - offsets[0]; got != need {
		return fmt.Errorf("tensor %.100q of shape %v and type %s needs %d bytes, its data_offsets give it %d", t.Name, t.Shape, t.Type, need, got)
	}
	t.Offset, t.Bytes = int64(offsets[0]), int64(need)
	return nil
}

// place sorts the tensors and checks that they fill what follows the header,
// without holes and without sharing bytes, and makes their offsets the file's.
func place(list []Tensor, begin, size int64) error {
	slices.SortFunc(list, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Name, b.Name))
	})
	next := int64(0)
	for i := range list {
		t := &list[i]
		if t.Offset != next {
			return fmt.Errorf("tensor %.100q begins at byte %d of the data, where %d is expected: tensors overlap or leave a hole", t.Name, t.Offset, next)
		}
		if t.Bytes > size-begin-next {
			return fmt.Errorf("it is truncated: tensor %.100q ends at byte %d, the file has %d", t.Name, begin+next+t.Bytes, size)
		}
		next += t.Bytes
		t.Offset += begin
	}
	if next != size-begin {
		return fmt.Errorf("%d bytes follow the last tensor", size-begin-next)
	}
	return nil
}
