package storage

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	parser "github.com/gpustack/gguf-parser-go"
)

// Bounds of a plausible header. The largest public models have a few thousand
// tensors and a few dozen keys; a file beyond these is damaged or hostile, and
// nothing is allocated on its say-so.
const (
	maxKeys         = 1 << 16
	maxTensors      = 1 << 18
	maxKeyBytes     = 1 << 16
	maxStringBytes  = 16 << 20 // of a value kept in memory, such as a chat template
	maxNameBytes    = 1 << 10
	maxAlignment    = 1 << 20
	headerBytes     = 24 // magic, version, tensor count, key count
	minKeyBytes     = 8 + 4 + 1
	minTensorBytes  = 8 + 4 + 4 + 8
	defaultAlign    = 32
	maxArrayNesting = 2
)

// header is a GGUF header that has been read and checked whole. Arrays are
// checked and skipped; only scalars and strings are kept.
type header struct {
	version uint32
	strings map[string]string
	numbers map[string]float64 // integers up to 2^53 exactly, booleans as 0 and 1
	arrays  map[string]uint64  // length
	tensors []tensor
	data    int64 // where tensor data begins
}

type tensor struct {
	name   string
	dims   []uint64
	kind   parser.GGMLType
	offset uint64 // from header.data
	bytes  uint64
}

// formatError says what is wrong with a header; Inspect adds the file's name.
type formatError struct{ msg string }

func (e *formatError) Error() string { return e.msg }

func badf(format string, args ...any) error {
	return &formatError{fmt.Sprintf(format, args...)}
}

// headerReader counts what it has read, so that errors can say where and
// lengths can be held against what is left of the file.
type headerReader struct {
	r    *bufio.Reader
	pos  int64
	size int64
	what string // what is being read, for the message of a short file
}

func (h *headerReader) left() uint64 { return uint64(max(h.size-h.pos, 0)) }

func (h *headerReader) read(p []byte) error {
	n, err := io.ReadFull(h.r, p)
	h.pos += int64(n)
	return h.short(err)
}

func (h *headerReader) skip(n uint64) error {
	for n > 0 {
		step := int(min(n, 1<<30))
		d, err := h.r.Discard(step)
		h.pos += int64(d)
		if err != nil {
			return h.short(err)
		}
		n -= uint64(step)
	}
	return nil
}

func (h *headerReader) short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return badf("the file ends after %d bytes, inside its header (%s); it is truncated", h.size, h.what)
	}
	return err
}

func (h *headerReader) u32() (uint32, error) {
	var b [4]byte
	err := h.read(b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

func (h *headerReader) u64() (uint64, error) {
	var b [8]byte
	err := h.read(b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

// text reads a length and as many bytes, at most limit.
func (h *headerReader) text(limit uint64) (string, error) {
	n, err := h.u64()
	if err != nil {
		return "", err
	}
	if n > h.left() {
		return "", badf("%s at byte %d claims a string of %d bytes, but only %d bytes follow", h.what, h.pos-8, n, h.left())
	}
	if n > limit {
		return "", badf("%s at byte %d claims a string of %d bytes; at most %d make sense", h.what, h.pos-8, n, limit)
	}
	b := make([]byte, n)
	if err := h.read(b); err != nil {
		return "", err
	}
	return string(b), nil
}

// readHeader reads and checks the header of a file of size bytes, and that the
// tensors it lists lie inside the file.
func readHeader(r io.Reader, size int64) (*header, error) {
	h := &headerReader{r: bufio.NewReaderSize(r, 1<<18), size: size, what: "the first 24 bytes"}
	version, tensors, keys, err := h.counts()
	if err != nil {
		return nil, err
	}
	out := &header{version: version, strings: map[string]string{}, numbers: map[string]float64{}, arrays: map[string]uint64{}}
	for i := range keys {
		h.what = fmt.Sprintf("metadata entry %d of %d", i+1, keys)
		if err := h.keyValue(out); err != nil {
			return nil, err
		}
	}
	align, err := out.alignment()
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for i := range tensors {
		h.what = fmt.Sprintf("tensor %d of %d", i+1, tensors)
		t, err := h.tensor()
		if err != nil {
			return nil, err
		}
		if seen[t.name] {
			return nil, badf("two tensors are named %q", t.name)
		}
		seen[t.name] = true
		out.tensors = append(out.tensors, t)
	}
	out.data = (h.pos + align - 1) / align * align
	return out, out.checkLayout(uint64(align), size)
}

func (h *headerReader) counts() (version uint32, tensors, keys uint64, err error) {
	var magic [4]byte
	if err = h.read(magic[:]); err != nil {
		return
	}
	if string(magic[:]) != "GGUF" {
		return 0, 0, 0, badf("it does not begin with the letters GGUF")
	}
	if version, err = h.u32(); err != nil {
		return
	}
	switch {
	case version&0xffff == 0 && bits.ReverseBytes32(version) <= 16:
		return 0, 0, 0, badf("it is a big-endian GGUF file (version %d); convert the model again for a little-endian machine", bits.ReverseBytes32(version))
	case version == 1:
		return 0, 0, 0, badf("it is a GGUF file of version 1, which llama.cpp no longer reads; convert the model again")
	case version < 1 || version > 3:
		return 0, 0, 0, badf("it claims GGUF version %d; this build reads versions 2 and 3", version)
	}
	if tensors, err = h.u64(); err != nil {
		return
	}
	if keys, err = h.u64(); err != nil {
		return
	}
	if tensors > maxTensors || tensors > h.left()/minTensorBytes {
		return 0, 0, 0, badf("its header claims %d tensors, more than a file of %d bytes can hold or any model has", tensors, h.size)
	}
	if keys > maxKeys || keys > h.left()/minKeyBytes {
		return 0, 0, 0, badf("its header claims %d metadata entries, more than a file of %d bytes can hold or any model has", keys, h.size)
	}
	return version, tensors, keys, nil
}

func (h *headerReader) keyValue(out *header) error {
	key, err := h.text(maxKeyBytes)
	if err != nil {
		return err
	}
	if key == "" {
		return badf("%s has an empty name", h.what)
	}
	if out.has(key) {
		return badf("metadata key %.64q appears twice", key)
	}
	h.what += fmt.Sprintf(" (%.64q)", key)
	kind, err := h.u32()
	if err != nil {
		return err
	}
	switch parser.GGUFMetadataValueType(kind) {
	case parser.GGUFMetadataValueTypeString:
		out.strings[key], err = h.text(maxStringBytes)
	case parser.GGUFMetadataValueTypeArray:
		out.arrays[key], err = h.array(0)
	default:
		out.numbers[key], err = h.scalar(parser.GGUFMetadataValueType(kind))
	}
	return err
}

// scalarBytes is the size of a fixed-size value, 0 for other types.
func scalarBytes(t parser.GGUFMetadataValueType) int {
	switch t {
	case parser.GGUFMetadataValueTypeUint8, parser.GGUFMetadataValueTypeInt8, parser.GGUFMetadataValueTypeBool:
		return 1
	case parser.GGUFMetadataValueTypeUint16, parser.GGUFMetadataValueTypeInt16:
		return 2
	case parser.GGUFMetadataValueTypeUint32, parser.GGUFMetadataValueTypeInt32, parser.GGUFMetadataValueTypeFloat32:
		return 4
	case parser.GGUFMetadataValueTypeUint64, parser.GGUFMetadataValueTypeInt64, parser.GGUFMetadataValueTypeFloat64:
		return 8
	}
	return 0
}

func (h *headerReader) scalar(t parser.GGUFMetadataValueType) (float64, error) {
	n := scalarBytes(t)
	if n == 0 {
		return 0, badf("%s has the unknown type %d", h.what, uint32(t))
	}
	var b [8]byte
	if err := h.read(b[:n]); err != nil {
		return 0, err
	}
	u := binary.LittleEndian.Uint64(b[:])
	switch t {
	case parser.GGUFMetadataValueTypeFloat32:
		return float64(math.Float32frombits(uint32(u))), nil
	case parser.GGUFMetadataValueTypeFloat64:
		return math.Float64frombits(u), nil
	case parser.GGUFMetadataValueTypeInt8:
		return float64(int8(u)), nil
	case parser.GGUFMetadataValueTypeInt16:
		return float64(int16(u)), nil
	case parser.GGUFMetadataValueTypeInt32:
		return float64(int32(u)), nil
	case parser.GGUFMetadataValueTypeInt64:
		return float64(int64(u)), nil
	}
	return float64(u), nil
}

// array checks and skips an array and returns its length.
func (h *headerReader) array(depth int) (uint64, error) {
	kind, err := h.u32()
	if err != nil {
		return 0, err
	}
	n, err := h.u64()
	if err != nil {
		return 0, err
	}
	t := parser.GGUFMetadataValueType(kind)
	item := uint64(scalarBytes(t))
	switch t {
	case parser.GGUFMetadataValueTypeString:
		item = 8
	case parser.GGUFMetadataValueTypeArray:
		item = 12
	}
	if item == 0 {
		return 0, badf("%s is an array of the unknown type %d", h.what, kind)
	}
	if n > h.left()/item {
		return 0, badf("%s claims an array of %d items, but only %d bytes follow", h.what, n, h.left())
	}
	switch t {
	case parser.GGUFMetadataValueTypeString:
		for range n {
			length, err := h.u64()
			if err != nil {
				return 0, err
			}
			if length > h.left() {
				return 0, badf("%s holds a string of %d bytes at byte %d, but only %d bytes follow", h.what, length, h.pos-8, h.left())
			}
			if err := h.skip(length); err != nil {
				return 0, err
			}
		}
		return n, nil
	case parser.GGUFMetadataValueTypeArray:
		if depth+1 >= maxArrayNesting {
			return 0, badf("%s nests arrays more than %d deep", h.what, maxArrayNesting)
		}
		for range n {
			if _, err := h.array(depth + 1); err != nil {
				return 0, err
			}
		}
		return n, nil
	}
	return n, h.skip(n * item)
}
