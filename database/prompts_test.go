package database

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// A statement that was prepared renders what the prompt is when it runs.
func TestPreparedFollowsPrompt(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE PROMPT greet AS 'Hello {{name}}'")
	st, err := s.Prepare(t.Context(), "SELECT render('greet', {'name': 'A'}), render('greet', {'name': $1})")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	run := func() (string, error) {
		r, err := st.Execute(t.Context(), params(t, `[{"a": "B"}]`, arrow.BinaryTypes.String))
		if err != nil {
			return "", err
		}
		return rows(t, r, nil), nil
	}
	if got, err := run(); got != "Hello A|Hello B" || err != nil {
		t.Error(got, err)
	}
	sql(t, s, "CREATE OR REPLACE PROMPT greet AS 'Bye {{name}}'")
	if got, err := run(); got != "Bye A|Bye B" || err != nil {
		t.Error(got, err)
	}
	sql(t, s, "CREATE OR REPLACE PROMPT greet AS 'Bye {{who}}'")
	if got, err := run(); err == nil || !strings.Contains(err.Error(), "{{who}}") {
		t.Error(got, err)
	}
}

// What render gives is a call's argument, and no obstacle to lifting the call.
func TestRenderedPromptsAreLifted(t *testing.T) {
	s := open(t)
	tiny(t, s)
	sql(t, s, "CREATE PROMPT ask AS 'Say {{i}}'; CREATE TABLE t AS SELECT i, 'ask' AS p FROM range(10) r(i)")
	for _, call := range []string{
		"generate('tiny', render('ask', {'i': i}))", "generate('tiny', render(p, {'i': i}))",
		"embed('tiny', render('ask', {'i': i}))",
	} {
		for _, q := range []string{"SELECT " + call + " FROM t", "SELECT i FROM t WHERE " + call + " IS NOT NULL"} {
			plan := sql(t, s, "EXPLAIN "+q)
			if !strings.Contains(plan, "INFERENCE") || strings.Contains(plan, "[in place]") {
				t.Errorf("%s\n%s", q, plan)
			}
		}
	}
}

func TestLargePrompts(t *testing.T) {
	s := open(t)
	megabyte := strings.Repeat("{ } it''s ", 100_000) + "{{x}}"
	sql(t, s, "CREATE PROMPT big AS '"+megabyte+"'")
	if got := sql(t, s, "SELECT sum(length(render('big', {'x': i}))) FROM range(100) r(i)"); got != fmt.Sprint(100*900_000+190) {
		t.Error(got)
	}
	var template, fields, want []string
	for i := range 1000 {
		template = append(template, fmt.Sprintf("{{f%d}}", i))
		fields = append(fields, fmt.Sprintf("'F%d': %d", i, i))
		want = append(want, fmt.Sprint(i))
	}
	sql(t, s, "CREATE PROMPT wide AS '"+strings.Join(template, ",")+"'")
	if got := sql(t, s, "SELECT render('wide', {"+strings.Join(fields, ", ")+"})"); got != strings.Join(want, ",") {
		t.Error(got)
	}
	if _, err := s.Query(t.Context(), "SELECT render('wide', {"+strings.Join(fields[:999], ", ")+"})"); err == nil || !strings.Contains(err.Error(), "{{f999}}") {
		t.Error(err)
	}
}
