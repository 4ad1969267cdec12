package gguf

import (
	"bytes"
	"encoding/binary"
)

// Type is llama.cpp's number of a type of values.
type Type uint32

// Types that are not quantised.
const (
	F32  Type = 0
	F16  Type = 1
	BF16 Type = 30
)

// Bytes is the size of a value.
func (k Type) Bytes() uint64 {
	if k == F32 {
		return 4
	}
	return 2
}

// Alignment is at which multiples of bytes tensors begin.
const Alignment = 32

// Padded is n bytes with what follows them up to the next tensor.
func Padded(n uint64) uint64 { return (n + Alignment - 1) / Alignment * Alignment }

// Tensor describes one of a file.
type Tensor struct {
	Name  string
	Shape []uint64 // rows first; the file has them the other way round
	Type  Type
}

// Elements is the number of values. The caller has bounded the shape.
func (t *Tensor) Elements() uint64 {
	n := uint64(1)
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes is the size of the values.
func (t *Tensor) Bytes() uint64 { return t.Elements() * t.Type.Bytes() }

// Types of metadata values.
const (
	kindUint32  = 4
	kindInt32   = 5
	kindFloat32 = 6
	kindBool    = 7
	kindString  = 8
	kindArray   = 9
)

// Metadata collects a file's keys in the form in which they are written.
type Metadata struct {
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

func (m *Metadata) key(name string, kind uint32) {
	m.n++
	text(&m.buf, name)
	put(&m.buf, kind)
}

func (m *Metadata) array(name string, kind uint32, n int, v any) {
	m.key(name, kindArray)
	put(&m.buf, kind)
	put(&m.buf, uint64(n))
	put(&m.buf, v)
}

// Uint32 adds a whole number, which must fit.
func (m *Metadata) Uint32(name string, v int) { m.key(name, kindUint32); put(&m.buf, uint32(v)) }

// Float32 adds a number.
func (m *Metadata) Float32(name string, v float64) { m.key(name, kindFloat32); put(&m.buf, float32(v)) }

// Bool adds a truth value.
func (m *Metadata) Bool(name string, v bool) { m.key(name, kindBool); put(&m.buf, v) }

// String adds a text.
func (m *Metadata) String(name, v string) { m.key(name, kindString); text(&m.buf, v) }

// Strings adds a list of texts.
func (m *Metadata) Strings(name string, v []string) {
	m.array(name, kindString, len(v), []byte{})
	for _, s := range v {
		text(&m.buf, s)
	}
}

// Int32s adds a list of whole numbers.
func (m *Metadata) Int32s(name string, v []int32) { m.array(name, kindInt32, len(v), v) }

// Float32s adds a list of numbers.
func (m *Metadata) Float32s(name string, v []float32) { m.array(name, kindFloat32, len(v), v) }

// Header is everything in front of the tensors' bytes, padded.
func (m *Metadata) Header(tensors []Tensor) []byte {
	var b bytes.Buffer
	b.WriteString("GGUF")
	put(&b, uint32(3))
	put(&b, uint64(len(tensors)))
	put(&b, m.n)
	b.Write(m.buf.Bytes())
	offset := uint64(0)
	for i := range tensors {
		t := &tensors[i]
		text(&b, t.Name)
		put(&b, uint32(len(t.Shape)))
		for d := len(t.Shape) - 1; d >= 0; d-- {
			put(&b, t.Shape[d])
		}
		put(&b, uint32(t.Type))
		put(&b, offset)
		offset += Padded(t.Bytes())
	}
	b.Write(make([]byte, Padded(uint64(b.Len()))-uint64(b.Len())))
	return b.Bytes()
}

// RotaryRow is the row of a llama's query or key projection in SafeTensors that
// row i in GGUF is, with head rows to each head. Rotary positions turn pairs of
// dimensions of a head: the first files have them half a head apart, llama.cpp's
// llama has them side by side.
func RotaryRow(i, head int64) int64 {
	in := i % head
	return i - in + in/2 + in%2*(head/2)
}
