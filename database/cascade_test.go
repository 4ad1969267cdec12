package database

import (
	"strconv"
	"testing"
)

// A model is a proxy that is never wrong about itself. What it answers alone, and
// by which thresholds, can be seen.
func TestCascadesAreShown(t *testing.T) {
	s := open(t)
	tiny(t, s)
	yes := func(options string) int {
		n, err := strconv.Atoi(sql(t, s, "SELECT count(*) FILTER (WHERE ai_filter(body, 'no', model := 'tiny'"+options+
			")) FROM (SELECT repeat('word ' || range || ' ', 1 + range % 7) AS body FROM range(900))"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	exact, some := yes(""), yes(", recall := 0.5, proxy := 'tiny'") // of few the model says yes, too few for more
	if some > exact || 2*some < exact {
		t.Errorf("%d rows are yes, %d by the cascade", exact, some)
	}
	if got := sql(t, s, `SELECT c."function", c.model, c.proxy, predicate, quality, recall, no_below > 0.5, yes_above, sampled BETWEEN 500 AND 600, sampled_yes > 4,
		proxy_answers > 200, proxy_answers = proxy_rows, rows, distinct_rows
		FROM ai.cascades c JOIN ai.usage USING (query)`); got != "ai_filter|tiny|tiny|no|(null)|0.5|true|(null)|true|true|true|true|900|900" {
		t.Error(got, sql(t, s, "FROM ai.cascades"))
	}
}
