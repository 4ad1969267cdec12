package operator

import "context"

// Terms are on what terms an operator runs. The limits are those of the settings
// ai_max_rows, ai_max_tokens and ai_max_seconds, for the statement over all its operators; 0
// is none.
type Terms struct {
	Query        uint64 // DuckDB's number of the statement; no two of a database have the same
	Estimate     uint64 // not 0: calls are only counted, for this estimate of the statement
	Rows, Tokens int64
	Seconds      float64
}

type termsKey struct{}

// TermsOf are those of the operator whose context it is.
func TermsOf(ctx context.Context) Terms {
	t, _ := ctx.Value(termsKey{}).(Terms)
	return t
}
