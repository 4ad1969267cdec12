package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

var toFloat = map[string]func(b []byte) float32{
	"F32":  func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) },
	"F16":  func(b []byte) float32 { return math.Float32frombits(Half(binary.LittleEndian.Uint16(b))) },
	"BF16": func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) },
	"F64":  func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) },
}

// CheckFloats says whether Floats can read the tensor's type.
func (t *Tensor) CheckFloats() error {
	if toFloat[t.Type] == nil {
		return fmt.Errorf("tensor %.100q is of type %s; F32, F16, BF16 and F64 can be read", t.Name, t.Type)
	}
	return nil
}

// Floats gives the numbers of a tensor of a floating-point type, of file f, as
// float32. Infinite ones and NaN are errors.
func (t *Tensor) Floats(f io.ReaderAt) ([]float32, error) {
	if err := t.CheckFloats(); err != nil {
		return nil, err
	}
	raw := make([]byte, t.Bytes)
	if err := readAt(f, raw, t.Offset); err != nil {
		return nil, err
	}
	size, widen := int(typeBytes[t.Type]), toFloat[t.Type]
	out := make([]float32, len(raw)/size)
	for i := range out {
		out[i] = widen(raw[i*size:])
		if v := float64(out[i]); math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("tensor %.100q has the value %v in it", t.Name, v)
		}
	}
	return out, nil
}

// Half is the F32 of an F16, both as bits.
func Half(u uint16) uint32 {
	sign, exp, frac := uint32(u>>15)<<31, uint32(u>>10)&31, uint32(u)&1023
	switch exp {
	case 31: // infinite, or not a number
		return sign | 0xff<<23 | frac<<13
	case 0: // tiny: a fraction of 2^-14
		return sign | math.Float32bits(float32(frac)/(1<<24))
	}
	return sign | (exp+112)<<23 | frac<<13
}
