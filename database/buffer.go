package database

import "regexp"

// How much DuckDB computes ahead of a reader. Rows of a model leave one by one;
// other rows fill a buffer, so that all threads have work.
//
// Not '1B': DuckDB splits the size into 60 and 40 per cent, and with either at
// zero bytes an ordered scan by several threads waits for itself for ever.
const (
	bufferForModels = "4B"
	bufferForScans  = "976KiB" // DuckDB's default
)

// usesModel matches the text of statements whose rows come from a model. A view
// that hides the call is not seen: its rows are right, the first ones later.
var usesModel = regexp.MustCompile(`(?i)\b(generate\w*|try_generate|chat|embed|ai_\w+)\b`)

// setBuffer readies the connection for a statement; the caller has the turn.
func (s *Session) setBuffer(sql string) {
	want := bufferForScans
	if usesModel.MatchString(sql) {
		want = bufferForModels
	}
	if s.buffer == want {
		return
	}
	// It fails in an aborted transaction only, where the statement fails as well.
	if s.exec("SET streaming_buffer_size = '"+want+"'") == nil {
		s.buffer = want
	}
}
