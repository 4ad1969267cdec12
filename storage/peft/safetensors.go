package peft

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
)

const (
	maxHeader = 32 << 20 // bytes
	maxDims   = 8
)

// tensor is one of a SafeTensors file.
type tensor struct {
	Type    string   `json:"dtype"`
	Shape   []uint64 `json:"shape"`        // outermost first
	Offsets []uint64 `json:"data_offsets"` // begin and end, from file.data

	name string
}

// file is a SafeTensors file whose header has been checked against its size.
type file struct {
	r       io.ReaderAt
	data    int64
	tensors []tensor // by their place
}

var typeBytes = map[string]uint64{"F32": 4, "F16": 2, "BF16": 2, "F64": 8}

// openTensors reads and checks the header.
func openTensors(r io.ReaderAt, size int64) (*file, error) {
	var head [8]byte
	if _, err := r.ReadAt(head[:], 0); err != nil || size < 8 {
		return nil, fmt.Errorf("it has %d bytes and lacks its header", size)
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n > uint64(size-8) || n > maxHeader {
		return nil, fmt.Errorf("its header would be %d bytes of a file of %d (%d at most): it is cut off or no SafeTensors file", n, size, maxHeader)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, err
	}
	var list map[string]json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("its header is not JSON: %w", err)
	}
	f := &file{r: r, data: 8 + int64(n)}
	for name, doc := range list {
		if name == "__metadata__" {
			continue
		}
		t := tensor{name: name}
		if err := json.Unmarshal(doc, &t); err != nil {
			return nil, fmt.Errorf("its tensor %.200q is described wrongly: %w", name, err)
		}
		if err := t.check(uint64(size - f.data)); err != nil {
			return nil, err
		}
		f.tensors = append(f.tensors, t)
	}
	slices.SortFunc(f.tensors, func(a, b tensor) int {
		return cmp.Or(cmp.Compare(a.Offsets[0], b.Offsets[0]), cmp.Compare(a.name, b.name))
	})
	end := uint64(0)
	for _, t := range f.tensors {
		if t.Offsets[0] < end {
			return nil, fmt.Errorf("its tensor %.200q overlaps another", t.name)
		}
		end = t.Offsets[1]
	}
	return f, nil
}

// check holds a description against the bytes that follow the header.
func (t *tensor) check(size uint64) error {
	n, known := typeBytes[t.Type]
	if !known {
		return fmt.Errorf("its tensor %.200q is of type %.20q; F32, F16, BF16 and F64 can be read", t.name, t.Type)
	}
	if len(t.Shape) > maxDims || len(t.Offsets) != 2 || t.Offsets[0] > t.Offsets[1] || t.Offsets[1] > size {
		return fmt.Errorf("its tensor %.200q lies outside the file, which is cut off or damaged", t.name)
	}
	for _, d := range t.Shape {
		if d == 0 || d > size || n > size/d {
			return fmt.Errorf("its tensor %.200q has the impossible shape %v", t.name, t.Shape)
		}
		n *= d
	}
	if t.Offsets[1]-t.Offsets[0] != n {
		return fmt.Errorf("its tensor %.200q has shape %v of %s, %d bytes, and %d are given", t.name, t.Shape, t.Type, n, t.Offsets[1]-t.Offsets[0])
	}
	return nil
}

// read gives a tensor's numbers. Infinite ones and NaN are errors.
func (f *file) read(t tensor) ([]float32, error) {
	raw := make([]byte, t.Offsets[1]-t.Offsets[0])
	if _, err := f.r.ReadAt(raw, f.data+int64(t.Offsets[0])); err != nil {
		return nil, err
	}
	size := int(typeBytes[t.Type])
	out := make([]float32, len(raw)/size)
	for i := range out {
		b := raw[i*size:]
		switch t.Type {
		case "F32":
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b))
		case "F16":
			out[i] = half(binary.LittleEndian.Uint16(b))
		case "BF16":
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
		default:
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
		if v := float64(out[i]); math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("its tensor %.200q has the value %v in it", t.name, v)
		}
	}
	return out, nil
}

// half widens a float of 16 bits.
func half(h uint16) float32 {
	sign, exp, frac := float32(1), int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	switch exp {
	case 0:
		return sign * float32(math.Ldexp(frac, -24))
	case 31:
		if frac != 0 {
			return float32(math.NaN())
		}
		return sign * float32(math.Inf(1))
	}
	return sign * float32(math.Ldexp(1024+frac, exp-25))
}
