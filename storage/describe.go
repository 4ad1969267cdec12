package storage

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	parser "github.com/gpustack/gguf-parser-go"
)

// TypeShare is what of a file is stored as one type.
type TypeShare struct {
	Type    string // "Q4_K", "F32", …
	Tensors int
	Bytes   int64
}

// describe adds what a person wants to know of a file and no computation needs.
func (h *header) describe(info *FileInfo) {
	info.Author = h.text("general.author", "general.organization")
	info.License = h.text("general.license.name", "general.license")
	info.Description = h.text("general.description")
	info.Heads = h.count(info.Architecture + ".attention.head_count")
	info.KVHeads = h.count(info.Architecture + ".attention.head_count_kv")
	if info.KVHeads == 0 && !h.has(info.Architecture+".attention.head_count_kv") {
		info.KVHeads = info.Heads
	}
	info.Tensors = len(h.tensors)
	shares := map[parser.GGMLType]TypeShare{}
	for _, t := range h.tensors {
		s := shares[t.kind]
		s.Type, s.Tensors, s.Bytes = t.kind.String(), s.Tensors+1, s.Bytes+int64(t.bytes)
		shares[t.kind] = s
	}
	info.Types = slices.SortedFunc(maps.Values(shares), func(a, b TypeShare) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Type, b.Type))
	})
}

// text is the first of some metadata texts that is there. What is no UTF-8 in it is left out.
func (h *header) text(keys ...string) string {
	for _, key := range keys {
		if s := strings.ToValidUTF8(h.strings[key], ""); s != "" {
			return s
		}
	}
	return ""
}

// count is a plausible whole number of the metadata, or 0.
func (h *header) count(key string) int {
	n := h.numbers[key]
	if n < 0 || n > 1<<20 || n != float64(int(n)) {
		return 0
	}
	return int(n)
}
