package operator

import "context"

// Limits are what the settings ai_max_rows, ai_max_tokens and ai_max_seconds allow
// a statement over all its operators; 0 is no limit.
type Limits struct {
	Query        uint64 // DuckDB's number of the statement; no two of a database have the same
	Rows, Tokens int64
	Seconds      float64
}

type limitsKey struct{}

// LimitsOf are those of the operator whose context it is.
func LimitsOf(ctx context.Context) Limits {
	l, _ := ctx.Value(limitsKey{}).(Limits)
	return l
}
