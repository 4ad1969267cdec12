package convert

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"slices"
	"unicode/utf8"
)

const headerBytes = 100_000_000 // as the format's own library allows

// entry is one tensor of a SafeTensors file.
type entry struct {
	file   string // name in the directory
	name   string
	dtype  string
	shape  []uint64 // rows first
	offset int64    // in the file
	bytes  int64
}

// dtypeBytes are the sizes of the format's types.
var dtypeBytes = map[string]uint64{
	"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
	"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
}

// readShard reads and checks the header of one SafeTensors file: the length of a
// JSON object, the object, and the tensors' bytes one behind the other.
func (s *source) readShard(name string) ([]entry, fs.FileInfo, error) {
	f, st, err := s.open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	list, err := parseShard(f, st.Size())
	if err != nil {
		return nil, nil, s.bad(name, "%v", err)
	}
	for i := range list {
		list[i].file = name
	}
	return list, st, nil
}

func parseShard(f io.ReaderAt, size int64) ([]entry, error) {
	var length [8]byte
	if size < 8 {
		return nil, fmt.Errorf("it has %d bytes, too few for a SafeTensors file; it is truncated", size)
	}
	if _, err := f.ReadAt(length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	switch {
	case n > headerBytes:
		return nil, fmt.Errorf("it claims a header of %d bytes, more than the %d a SafeTensors file may have; it is damaged or of another format", n, headerBytes)
	case n > uint64(size-8):
		return nil, fmt.Errorf("its header of %d bytes ends behind the file's %d; it is truncated", n, size)
	}
	text := make([]byte, n)
	if _, err := f.ReadAt(text, 8); err != nil {
		return nil, err
	}
	list, err := parseHeader(text)
	if err != nil {
		return nil, err
	}
	return list, place(list, 8+int64(n), size)
}

// parseHeader reads the JSON object. Names that come twice are an error, which
// decoding into a map would hide.
func parseHeader(text []byte) ([]entry, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("its header is no UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("its header is no JSON object")
	}
	var list []entry
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("its header is no JSON: %w", err)
		}
		name, _ := key.(string) // a key is one
		if seen[name] {
			return nil, fmt.Errorf("two tensors are named %.100q", name)
		}
		seen[name] = true
		if name == "__metadata__" {
			var any json.RawMessage
			if err := dec.Decode(&any); err != nil {
				return nil, fmt.Errorf("its header is no JSON: %w", err)
			}
			continue
		}
		e, err := parseEntry(dec, name)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("its header is no JSON: %w", err)
	}
	if len(bytes.TrimSpace(text[dec.InputOffset():])) > 0 {
		return nil, fmt.Errorf("its header goes on behind the JSON object")
	}
	return list, nil
}

func parseEntry(dec *json.Decoder, name string) (entry, error) {
	var raw struct {
		Dtype   string   `json:"dtype"`
		Shape   []uint64 `json:"shape"`
		Offsets []uint64 `json:"data_offsets"`
	}
	if err := dec.Decode(&raw); err != nil {
		return entry{}, fmt.Errorf("tensor %.100q: %w", name, err)
	}
	unit, known := dtypeBytes[raw.Dtype]
	switch {
	case !known:
		return entry{}, fmt.Errorf("tensor %.100q has the unknown type %.20q", name, raw.Dtype)
	case len(raw.Offsets) != 2 || raw.Offsets[0] > raw.Offsets[1] || raw.Offsets[1] > 1<<60:
		return entry{}, fmt.Errorf("tensor %.100q has the impossible data_offsets %v", name, raw.Offsets)
	case len(raw.Shape) > 8:
		return entry{}, fmt.Errorf("tensor %.100q has %d dimensions", name, len(raw.Shape))
	}
	need := unit
	for _, d := range raw.Shape {
		hi, lo := bits.Mul64(need, d)
		if hi != 0 || lo > 1<<60 {
			return entry{}, fmt.Errorf("tensor %.100q has the impossible shape %v", name, raw.Shape)
		}
		need = lo
	}
	if got := raw.Offsets[1] - raw.Offsets[0]; got != need {
		return entry{}, fmt.Errorf("tensor %.100q of shape %v and type %s needs %d bytes, its data_offsets give it %d", name, raw.Shape, raw.Dtype, need, got)
	}
	return entry{name: name, dtype: raw.Dtype, shape: raw.Shape, offset: int64(raw.Offsets[0]), bytes: int64(need)}, nil
}

// place checks that the tensors fill what follows the header, without holes and
// without sharing bytes, and makes their offsets those of the file.
func place(list []entry, begin, size int64) error {
	order := make([]*entry, len(list))
	for i := range list {
		order[i] = &list[i]
	}
	slices.SortFunc(order, func(a, b *entry) int {
		if a.offset != b.offset {
			return int(min(1, max(-1, a.offset-b.offset)))
		}
		return int(min(1, max(-1, a.bytes-b.bytes)))
	})
	next := int64(0)
	for _, e := range order {
		if e.offset != next {
			return fmt.Errorf("tensor %.100q begins at byte %d of the data, where %d is expected: tensors overlap or leave a hole", e.name, e.offset, next)
		}
		next += e.bytes
		if next > size-begin {
			return fmt.Errorf("it is truncated: tensor %.100q ends at byte %d, the file has %d", e.name, begin+next, size)
		}
		e.offset += begin
	}
	if next != size-begin {
		return fmt.Errorf("%d bytes follow the last tensor", size-begin-next)
	}
	return nil
}
