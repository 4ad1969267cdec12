package convert

import (
	"encoding/binary"

	"hyprstream/storage/gguf"
	"hyprstream/storage/safetensors"
)

// kinds are the types that can be converted.
var kinds = map[string]gguf.Type{"F32": gguf.F32, "F16": gguf.F16, "BF16": gguf.BF16}

// widen makes F32 of values of another type.
func widen(out, in []byte, from gguf.Type) {
	for i := 0; i < len(in)/2; i++ {
		u := binary.LittleEndian.Uint16(in[2*i:])
		bits := uint32(u) << 16
		if from == gguf.F16 {
			bits = safetensors.Half(u)
		}
		binary.LittleEndian.PutUint32(out[4*i:], bits)
	}
}
