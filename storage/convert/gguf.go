package convert

import (
	"bytes"
	"encoding/binary"
	"math"
)

// ggmlType is llama.cpp's number of a type of values.
type ggmlType uint32

const (
	kindF32  ggmlType = 0
	kindF16  ggmlType = 1
	kindBF16 ggmlType = 30
)

var kinds = map[string]ggmlType{"F32": kindF32, "F16": kindF16, "BF16": kindBF16}

func (k ggmlType) bytes() uint64 {
	if k == kindF32 {
		return 4
	}
	return 2
}

// Types of metadata values.
const (
	ggufUint32  = 4
	ggufInt32   = 5
	ggufFloat32 = 6
	ggufBool    = 7
	ggufString  = 8
	ggufArray   = 9
)

const alignment = 32

// metadata collects a GGUF file's keys as they are written.
type metadata struct {
	n   uint64
	buf bytes.Buffer
}

func put(b *bytes.Buffer, v any) {
	_ = binary.Write(b, binary.LittleEndian, v) // a buffer takes all, and v is of a fixed size
}

func text(b *bytes.Buffer, s string) {
	put(b, uint64(len(s)))
	b.WriteString(s)
}

func (m *metadata) key(name string, kind uint32) {
	m.n++
	text(&m.buf, name)
	put(&m.buf, kind)
}

func (m *metadata) uint32(name string, v int) { m.key(name, ggufUint32); put(&m.buf, uint32(v)) }

func (m *metadata) float32(name string, v float64) { m.key(name, ggufFloat32); put(&m.buf, float32(v)) }

func (m *metadata) bool(name string, v bool) { m.key(name, ggufBool); put(&m.buf, v) }

func (m *metadata) string(name, v string) { m.key(name, ggufString); text(&m.buf, v) }

func (m *metadata) strings(name string, v []string) {
	m.key(name, ggufArray)
	put(&m.buf, uint32(ggufString))
	put(&m.buf, uint64(len(v)))
	for _, s := range v {
		text(&m.buf, s)
	}
}

func (m *metadata) int32s(name string, v []int32) { m.array(name, ggufInt32, len(v), v) }

func (m *metadata) float32s(name string, v []float32) { m.array(name, ggufFloat32, len(v), v) }

func (m *metadata) array(name string, kind uint32, n int, v any) {
	m.key(name, ggufArray)
	put(&m.buf, kind)
	put(&m.buf, uint64(n))
	put(&m.buf, v)
}

// header is everything in front of the tensors' data, padded.
func (m *metadata) header(tensors []tensor) []byte {
	var b bytes.Buffer
	b.WriteString("GGUF")
	put(&b, uint32(3))
	put(&b, uint64(len(tensors)))
	put(&b, m.n)
	b.Write(m.buf.Bytes())
	offset := uint64(0)
	for i := range tensors {
		t := &tensors[i]
		text(&b, t.name)
		put(&b, uint32(len(t.shape)))
		for d := len(t.shape) - 1; d >= 0; d-- {
			put(&b, t.shape[d])
		}
		put(&b, uint32(t.kind))
		put(&b, offset)
		offset += padded(t.bytes())
	}
	b.Write(make([]byte, padded(uint64(b.Len()))-uint64(b.Len())))
	return b.Bytes()
}

func padded(n uint64) uint64 { return (n + alignment - 1) / alignment * alignment }

func (t *tensor) elements() uint64 {
	n := uint64(1)
	for _, d := range t.shape {
		n *= d // cannot overflow: parseEntry has bounded the product
	}
	return n
}

func (t *tensor) bytes() uint64 { return t.elements() * t.kind.bytes() }

// widen makes F32 of values of another type.
func widen(out, in []byte, from ggmlType) {
	for i := 0; i < len(in)/2; i++ {
		u := binary.LittleEndian.Uint16(in[2*i:])
		bits := uint32(u) << 16
		if from == kindF16 {
			bits = half(u)
		}
		binary.LittleEndian.PutUint32(out[4*i:], bits)
	}
}

// half is the F32 of an F16, both as bits.
func half(u uint16) uint32 {
	sign, exp, frac := uint32(u>>15)<<31, uint32(u>>10)&31, uint32(u)&1023
	switch exp {
	case 31: // infinite, or not a number
		return sign | 0xff<<23 | frac<<13
	case 0: // tiny: a fraction of 2^-14
		return sign | math.Float32bits(float32(frac)/(1<<24))
	}
	return sign | (exp+112)<<23 | frac<<13
}
