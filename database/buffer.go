package database

import "regexp"

// How many bytes DuckDB computes ahead of a reader (its streaming_buffer_size, whatever a
// client sets), of which it counts 16 for a string of any length; packed rows have a size of their own. Rows of a model leave one by one; other rows fill a buffer, so that all
// threads have work.
//
// Not 1: DuckDB splits the size into 60 and 40 per cent, and with either at
// zero bytes an ordered scan by several threads waits for itself for ever.
const (
	bufferForModels = 4
	bufferForScans  = 976 << 10 // DuckDB's default
)

// usesModel matches the text of statements whose rows come from a model. A view
// that hides the call is not seen: its rows are right, the first ones later.
var usesModel = regexp.MustCompile(`(?i)\b(generate\w*|try_generate|chat|embed|ai_\w+)\b`)

func bufferFor(sql string) int {
	if usesModel.MatchString(sql) {
		return bufferForModels
	}
	return bufferForScans
}
