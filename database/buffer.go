package database

import (
	"regexp"

	"github.com/apache/arrow-go/v18/arrow"
)

// How much DuckDB computes ahead of a reader. Rows of a model leave one by one;
// other rows fill a buffer, so that all threads have work.
//
// Not '1B': DuckDB splits the size into 60 and 40 per cent, and with either at
// zero bytes an ordered scan by several threads waits for itself for ever.
const (
	bufferForModels = "4B"
	bufferForScans  = "976KiB" // DuckDB's default
	// DuckDB counts 16 bytes for a text of any length, so that by its default some
	// 60,000 texts wait for their reader. This is 4 chunks of one such column.
	bufferForTexts = "128KiB"
)

// usesModel matches the text of statements whose rows come from a model. A view
// that hides the call is not seen: its rows are right, the first ones later.
var usesModel = regexp.MustCompile(`(?i)\b(generate\w*|try_generate|chat|embed|ai_\w+)\b`)

// setBuffer readies the connection for a statement; the caller has the turn.
func (s *Session) setBuffer(st *Stmt) {
	want := bufferForScans
	switch {
	case usesModel.MatchString(st.sql):
		want = bufferForModels
	case st.query && !fixedWidth(st.schema):
		want = bufferForTexts
	}
	if s.buffer == want {
		return
	}
	// It fails in an aborted transaction only, where the statement fails as well.
	if s.exec("SET streaming_buffer_size = '"+want+"'") == nil {
		s.buffer = want
	}
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
