package storage

import (
	"math/bits"

	parser "github.com/gpustack/gguf-parser-go"
)

// tensor reads one tensor's description and computes its size.
func (h *headerReader) tensor() (tensor, error) {
	name, err := h.text(maxNameBytes)
	if err != nil {
		return tensor{}, err
	}
	rank, err := h.u32()
	if err != nil {
		return tensor{}, err
	}
	if rank == 0 || rank > parser.GGMLMaxDims {
		return tensor{}, badf("tensor %.64q has %d dimensions; 1 to %d are possible", name, rank, parser.GGMLMaxDims)
	}
	t := tensor{name: name, dims: make([]uint64, rank)}
	for i := range t.dims {
		if t.dims[i], err = h.u64(); err != nil {
			return tensor{}, err
		}
	}
	kind, err := h.u32()
	if err != nil {
		return tensor{}, err
	}
	t.kind = parser.GGMLType(kind)
	if t.offset, err = h.u64(); err != nil {
		return tensor{}, err
	}
	t.bytes, err = t.size()
	return t, err
}

// size is the tensor's bytes from its dimensions and type.
func (t tensor) size() (uint64, error) {
	trait, known := t.kind.Trait()
	if !known || trait.BlockSize == 0 {
		return 0, badf("tensor %.64q has type %d, which this build does not know", t.name, uint32(t.kind))
	}
	n := uint64(1)
	for _, d := range t.dims {
		hi, lo := bits.Mul64(n, d)
		if d == 0 || hi != 0 || lo > 1<<50 {
			return 0, badf("tensor %.64q has the impossible shape %v", t.name, t.dims)
		}
		n = lo
	}
	if t.dims[0]%trait.BlockSize != 0 {
		return 0, badf("tensor %.64q has rows of %d values, not a multiple of its type's block of %d", t.name, t.dims[0], trait.BlockSize)
	}
	return n / trait.BlockSize * trait.TypeSize, nil
}

func (h *header) has(key string) bool {
	_, s := h.strings[key]
	_, n := h.numbers[key]
	_, a := h.arrays[key]
	return s || n || a
}

func (h *header) alignment() (int64, error) {
	if !h.has("general.alignment") {
		return defaultAlign, nil
	}
	a := h.numbers["general.alignment"]
	if a < 1 || a > maxAlignment || a != float64(int64(a)) || int64(a)&(int64(a)-1) != 0 {
		return 0, badf("general.alignment is not a power of two up to %d", maxAlignment)
	}
	return int64(a), nil
}

// checkLayout holds the tensors' offsets against their sizes, as llama.cpp
// does, and the end of the last one against the file's.
func (h *header) checkLayout(align uint64, size int64) error {
	var next uint64
	for _, t := range h.tensors {
		if t.offset != next {
			return badf("tensor %.64q lies at offset %d, expected %d", t.name, t.offset, next)
		}
		end := next + t.bytes
		next = (end + align - 1) / align * align
		if next < end || next > 1<<60 {
			return badf("tensor %.64q ends beyond any file", t.name)
		}
	}
	if len(h.tensors) == 0 {
		return nil
	}
	last := h.tensors[len(h.tensors)-1]
	// Padding after the last tensor is not required of a file.
	if want := uint64(h.data) + last.offset + last.bytes; want > uint64(size) {
		return badf("it is truncated: its tensors need %d bytes, the file has %d (%d are missing)", want, size, want-uint64(size))
	}
	return nil
}
