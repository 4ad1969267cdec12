package sqlfuncs

import (
	"fmt"
	"strings"
	"testing"
)

// TestErrorRatio: of each function's 20 rows 2 may fail at 0.1, none at 0, and all at 1.
func TestErrorRatio(t *testing.T) {
	d := openTestDB(t)
	d.must("SELECT chat('taken', 'x', model := 'n')") // a session of another model
	for _, call := range []string{
		"generate('m', p)", "embed('m', p)", "logprob('m', p, 'x')", "ai_filter(p, 'x')", "ai_filter_prob(p, 'x')",
		"ai_classify(p, ['a', 'b'])", "ai_classify_probs(p, ['a', 'b'])", "generate('m', 'x', adapter := if(p LIKE 'fail%', 'nobody:x', NULL))",
		"chat(if(p LIKE 'fail%', 'taken', p), p, model := 'm')", "list_transform([p], lambda x: generate('m', x))[1]",
	} {
		for _, c := range []struct {
			ratio  string
			failed int
			want   string // rows that are NULL, or what the error says
		}{
			{"0.1", 2, "2"}, {"0.1", 3, "(3 of 20 rows failed, more than ai_max_error_ratio allows)"},
			{"0", 0, "0"}, {"0", 1, "(1 of 20 rows failed"}, {"1", 20, "20"},
		} {
			d.must("SET ai_max_error_ratio = " + c.ratio)
			got, err := d.query(d.conn, fmt.Sprintf("SELECT count(*) FILTER (WHERE a IS NULL) FROM (SELECT %s AS a FROM (SELECT if(range < %d, 'fail ', 'p') || range AS p FROM range(20)))", call, c.failed))
			if err == nil && got[0] != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %d failed at %s: %v %v, want %s", call, c.failed, c.ratio, got, err, c.want)
			}
		}
	}
	if _, err := d.query(d.conn, "SET ai_max_error_ratio = -1"); err == nil {
		t.Error("a ratio below 0 is taken")
	}
}
