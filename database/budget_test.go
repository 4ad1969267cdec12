package database

import (
	"regexp"
	"strconv"
	"testing"

	"hyprstream/errs"
)

// TestStoppedStatementKeepsItsAnswers: what a statement had done when it was
// stopped is not computed again.
func TestStoppedStatementKeepsItsAnswers(t *testing.T) {
	s := open(t)
	tiny(t, s)
	const ask = "SELECT count(generate('tiny', 'word ' || range, raw := true, max_tokens := 4, ignore_eos := true, cache := 'persistent')) FROM range(40)"
	prompts, err := strconv.Atoi(sql(t, s, "SELECT sum(1 + count_tokens('tiny', 'word ' || range)) FROM range(40)")) // 1: BOS
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ set, want string }{
		{"SET ai_max_tokens = " + strconv.Itoa(prompts-1), `^ai_max_tokens is \d+ and its prompts and what was written come to ` + strconv.Itoa(prompts) + ` tokens; the statement was refused before its first token`},
		{"SET ai_max_rows = 39", `^ai_max_rows is 39 and it has at least 40 distinct rows`},
		{"SET ai_max_tokens = " + strconv.Itoa(prompts+41), `the statement was stopped; 11 rows are finished`},
	} {
		sql(t, s, c.set)
		if _, err := s.Exec(t.Context(), ask); errs.CodeOf(err) != errs.BudgetExceeded || !regexp.MustCompile(c.want).MatchString(err.Error()) {
			t.Errorf("%s: %s %v", c.set, errs.CodeOf(err), err)
		}
		sql(t, s, "RESET ai_max_tokens; RESET ai_max_rows")
	}
	if got := sql(t, s, "SELECT rows, completion_tokens, error FROM ai.usage ORDER BY started_at LIMIT 2"); got != "40|0|BUDGET_EXCEEDED\n40|0|BUDGET_EXCEEDED" {
		t.Error(got)
	}
	// The rest is now few enough, and all of it is computed.
	sql(t, s, "SET ai_max_rows = 29")
	if got := sql(t, s, ask); got != "40" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT cached_rows >= 11, completion_tokens = 4 * (40 - cached_rows) FROM ai.usage ORDER BY started_at DESC LIMIT 1"); got != "true|true" {
		t.Error(got)
	}
	if got := sql(t, s, "SET ai_max_rows = 1; SELECT count(*) FROM (SELECT generate('tiny', 'new') AS g) WHERE g IS NULL; SELECT count(generate('tiny', 'newer'))"); got != "1" {
		t.Errorf("statements in one text have a budget each: %s", got)
	}
}
