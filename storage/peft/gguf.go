package peft

import (
	"bufio"
	"encoding/binary"
	"io"
	"math"
)

const (
	alignment  = 32
	typeF32    = 0 // of a tensor
	kindFloat  = 6 // of a value
	kindString = 8
)

// entry is a tensor that a GGUF file is to hold, as float32.
type entry struct {
	name string
	dims [2]uint64 // the innermost first
	data func() ([]float32, error)
}

// writer writes GGUF, version 3. Its first error stays.
type writer struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (w *writer) put(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
		w.n += int64(len(b))
	}
}

func (w *writer) u32(v uint32) { w.put(binary.LittleEndian.AppendUint32(nil, v)) }
func (w *writer) u64(v uint64) { w.put(binary.LittleEndian.AppendUint64(nil, v)) }

func (w *writer) text(s string) {
	w.u64(uint64(len(s)))
	w.put([]byte(s))
}

func (w *writer) pad() {
	for w.n%alignment != 0 && w.err == nil {
		w.put([]byte{0})
	}
}

// writeGGUF writes a file with these texts and numbers, in this order.
func writeGGUF(to io.Writer, texts [][2]string, alpha float32, entries []entry) error {
	w := &writer{w: bufio.NewWriterSize(to, 1<<18)}
	w.put([]byte("GGUF"))
	w.u32(3)
	w.u64(uint64(len(entries)))
	w.u64(uint64(len(texts) + 1))
	for _, kv := range texts {
		w.text(kv[0])
		w.u32(kindString)
		w.text(kv[1])
	}
	w.text("adapter.lora.alpha")
	w.u32(kindFloat)
	w.u32(math.Float32bits(alpha))
	offset := uint64(0)
	for _, e := range entries {
		w.text(e.name)
		w.u32(uint32(len(e.dims)))
		w.u64(e.dims[0])
		w.u64(e.dims[1])
		w.u32(typeF32)
		w.u64(offset)
		offset += (e.dims[0]*e.dims[1]*4 + alignment - 1) / alignment * alignment
	}
	for _, e := range entries {
		w.pad()
		data, err := e.data()
		if err != nil {
			return err
		}
		for _, v := range data {
			w.u32(math.Float32bits(v))
		}
	}
	if w.err != nil {
		return w.err
	}
	return w.w.Flush()
}
