package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// file has this header and n bytes behind it: 0, 1, 2, …
func file(header string, n int) []byte {
	out := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	for i := range n {
		out = append(out, byte(i))
	}
	return out
}

func one(dtype, shape string, begin, end int) string {
	return fmt.Sprintf(`{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, dtype, shape, begin, end)
}

func read(data []byte) ([]Tensor, error) { return Read(bytes.NewReader(data), int64(len(data))) }

func TestRead(t *testing.T) {
	header := `{"b":` + one("F32", "[2,1]", 2, 10) + `,"__metadata__":{"format":"pt"},"a":` + one("U8", "[2]", 0, 2) + `,"c":` + one("BF16", "[]", 10, 12) + "}  "
	list, err := read(file(header, 12))
	if err != nil {
		t.Fatal(err)
	}
	begin := int64(8 + len(header))
	for i, want := range []Tensor{{"a", "U8", []uint64{2}, begin, 2}, {"b", "F32", []uint64{2, 1}, begin + 2, 8}, {"c", "BF16", []uint64{}, begin + 10, 2}} {
		if got := list[i]; got.Name != want.Name || got.Type != want.Type || got.Offset != want.Offset || got.Bytes != want.Bytes || !slices.Equal(got.Shape, want.Shape) {
			t.Errorf("%+v", got)
		}
	}
}

// TestDamaged are files that claim what is not so.
func TestDamaged(t *testing.T) {
	long := file(`{"a":`+one("U8", "[2]", 0, 2)+`}`, 2)
	binary.LittleEndian.PutUint64(long, 1<<40)
	for want, data := range map[string][]byte{
		"0 bytes, too few":             nil,
		"3 bytes, too few":             {1, 2, 3},
		"more than the":                binary.LittleEndian.AppendUint64(nil, 1<<62),
		"a header of 1099511627776":    long,
		"ends behind the file's 10; i": append(binary.LittleEndian.AppendUint64(nil, 4000), '{', '}'),
		"no JSON object at byte 1":     file(`[]`, 0),
		"no JSON object at byte 5":     file(`{"a":`, 0),
		"its header is no JSON: EOF":   file(`{`, 0),
		"goes on behind":               file(`{}{}`, 0),
		"no UTF-8":                     file("{\"\xff\":1}", 0),
		"max depth":                    file(`{"__metadata__":`+strings.Repeat("[", 20000), 0),
		"object of strings":            file(`{"__metadata__":{"a":1}}`, 0),
		`two entries are named "a"`:    file(`{"a":`+one("U8", "[1]", 0, 1)+`,"a":`+one("U8", "[1]", 1, 2)+`}`, 2),
		`entries are named "dtype"`:    file(`{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1),
		`key "DTYPE" is not known`:     file(`{"a":{"DTYPE":"U8","shape":[1],"data_offsets":[0,1]}}`, 1),
		"has no shape":                 file(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1),
		"unknown type":                 file(`{"a":`+one("F7", "[1]", 0, 1)+`}`, 1),
		"impossible shape [4294967296": file(`{"a":`+one("F32", "[4294967296,4294967296]", 0, 4)+`}`, 4),
		"impossible shape [0 4":        file(`{"a":`+one("F32", "[0,4]", 0, 0)+`}`, 0),
		"10 dimensions":                file(`{"a":`+one("U8", "[1,1,1,1,1,1,1,1,1,1]", 0, 1)+`}`, 1),
		"cannot unmarshal":             file(`{"a":`+one("F32", "[-1]", 0, 4)+`}`, 4),
		"1.5":                          file(`{"a":`+one("F32", "[1.5]", 0, 4)+`}`, 4),
		"data_offsets [4 0]":           file(`{"a":`+one("F32", "[1]", 4, 0)+`}`, 4),
		"data_offsets []":              file(`{"a":{"dtype":"F32","shape":[1]}}`, 4),
		"needs 8 bytes":                file(`{"a":`+one("F32", "[2]", 0, 4)+`}`, 4),
		"needs 4 bytes":                file(`{"a":`+one("F32", "[1]", 0, 8)+`}`, 8),
		"ends at byte":                 file(`{"a":`+one("U8", "[9]", 0, 9)+`}`, 8),
		"where 2 is expected: t":       file(`{"a":`+one("U8", "[2]", 0, 2)+`,"b":`+one("U8", "[2]", 1, 3)+`}`, 3),
		"byte 3 of the data":           file(`{"a":`+one("U8", "[2]", 0, 2)+`,"b":`+one("U8", "[2]", 3, 5)+`}`, 5),
		"3 bytes follow the last":      file(`{"a":`+one("U8", "[2]", 0, 2)+`}`, 5),
	} {
		if _, err := read(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// A file that has become shorter since its size was asked for.
func TestShortened(t *testing.T) {
	data := file(`{"a":`+one("F32", "[2]", 0, 8)+`}`, 8)
	for _, n := range []int{4, 20} {
		if _, err := Read(bytes.NewReader(data[:n]), int64(len(data))); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("ends at byte %d", n)) {
			t.Error(n, err)
		}
	}
	list, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list[0].Floats(bytes.NewReader(data[:len(data)-1])); err == nil || !strings.Contains(err.Error(), "truncated") {
		t.Error(err)
	}
}

func TestFloats(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		dtype string
		data  []byte
		want  []float32
		fails string
	}{
		{"F32", le.AppendUint32(le.AppendUint32(nil, math.Float32bits(1.5)), math.Float32bits(-2)), []float32{1.5, -2}, ""},
		{"F16", []byte{0, 0x3c, 0, 0xc5}, []float32{1, -5}, ""},
		{"BF16", []byte{0x80, 0x3f, 0xa0, 0xc0}, []float32{1, -5}, ""},
		{"F64", le.AppendUint64(le.AppendUint64(nil, math.Float64bits(0.25)), math.Float64bits(7)), []float32{0.25, 7}, ""},
		{"F64", le.AppendUint64(le.AppendUint64(nil, math.Float64bits(1e300)), 0), nil, "+Inf"},
		{"F16", []byte{0, 0x7e, 0, 0}, nil, "NaN"},
		{"BF16", []byte{0, 0, 0x80, 0xff}, nil, "-Inf"},
		{"I16", []byte{1, 0, 2, 0}, nil, "F32, F16, BF16 and F64 can be read"},
	} {
		data := append(file(`{"x":`+one(c.dtype, "[2]", 0, len(c.data))+`}`, 0), c.data...)
		list, err := read(data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := list[0].Floats(bytes.NewReader(data))
		if !slices.Equal(got, c.want) || (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v, %v", c.dtype, got, err)
		}
	}
}

func TestHalf(t *testing.T) {
	for bits, want := range map[uint16]float32{0: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 1: 5.9604644775390625e-08, 0x3555: 0.333251953125,
		0x0400: 6.103515625e-05, 0x8000: float32(math.Copysign(0, -1)), 0xfc00: float32(math.Inf(-1))} {
		if got := Half(bits); got != math.Float32bits(want) {
			t.Errorf("%#x: %v", bits, math.Float32frombits(got))
		}
	}
	if !math.IsNaN(float64(math.Float32frombits(Half(0x7e00)))) {
		t.Error("not NaN")
	}
}

// FuzzRead: what is accepted fills its file exactly, and can be read.
func FuzzRead(f *testing.F) {
	whole := file(`{"a":`+one("U8", "[2]", 0, 2)+`,"__metadata__":{"format":"pt"},"b":`+one("F16", "[2,3]", 2, 14)+`}`, 14)
	for _, seed := range [][]byte{whole, whole[:len(whole)-1], whole[:40], file(`{}`, 0), file(`{"x":`+one("F64", "[1]", 0, 8)+`}`, 8),
		file(`{"x":{"dtype":"F16","shape":[18446744073709551615,2],"data_offsets":[0,4]}}`, 4), file(`{"a":`+one("BF16", "[2]", 0, 4)+`,"a":{}}`, 4)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := read(data)
		if err != nil {
			return
		}
		at := int64(8 + binary.LittleEndian.Uint64(data))
		names := map[string]bool{}
		for _, x := range list {
			if x.Offset != at || x.Bytes < 1 || names[x.Name] {
				t.Fatalf("%+v, where byte %d is expected", x, at)
			}
			at, names[x.Name] = at+x.Bytes, true
			v, err := x.Floats(bytes.NewReader(data))
			if errors.Is(err, io.EOF) || err == nil && len(v)*int(typeBytes[x.Type]) != int(x.Bytes) {
				t.Fatalf("%+v: %d values, %v", x, len(v), err)
			}
		}
		if at != int64(len(data)) {
			t.Fatalf("the tensors end at byte %d of %d", at, len(data))
		}
	})
}
