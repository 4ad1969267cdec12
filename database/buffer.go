package database

import (
	"regexp"

	"github.com/apache/arrow-go/v18/arrow"
)

// How many bytes DuckDB computes ahead of a reader (its streaming_buffer_size, whatever a
// client sets). Rows of a model leave one by one; other rows fill a buffer, so that all
// threads have work. Packed rows have a size of their own (pack.hpp).
//
// Not 1: DuckDB splits the size into 60 and 40 per cent, and with either at
// zero bytes an ordered scan by several threads waits for itself for ever.
const (
	bufferForModels = 4
	bufferForScans  = 976 << 10 // DuckDB's default
	// DuckDB counts 16 bytes for a text of any length, so that by its default some
	// 60,000 texts wait for their reader. This is 4 chunks of one such column.
	bufferForTexts = 128 << 10
)

// usesModel matches the text of statements whose rows come from a model. A view
// that hides the call is not seen: its rows are right, the first ones later.
var usesModel = regexp.MustCompile(`(?i)\b(generate\w*|try_generate|chat|embed|ai_\w+)\b`)

func bufferFor(st *Stmt) int {
	switch {
	case usesModel.MatchString(st.sql):
		return bufferForModels
	case st.query && !fixedWidth(st.schema):
		return bufferForTexts
	}
	return bufferForScans
}

// fixedWidth says that rows of the schema, where it is known, are as large as
// DuckDB takes them to be.
func fixedWidth(schema *arrow.Schema) bool {
	if schema == nil {
		return false
	}
	for _, f := range schema.Fields() {
		if _, fixed := f.Type.(arrow.FixedWidthDataType); !fixed {
			return false
		}
	}
	return true
}
