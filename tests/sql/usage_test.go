package sql_test

import (
	"strings"
	"testing"
)

// What ai.usage says was spent is what the engine's loop has computed, however a
// statement's rows ended.
func TestUsageIsTheLoops(t *testing.T) {
	for _, c := range []struct{ name, sql string }{
		{"plain", "SELECT generate('tiny', 'the ' || i, max_tokens := 5 + i) FROM range(20) r(i)"},
		{"shared", "SELECT generate('tiny', repeat('shared words ', 30) || i, max_tokens := 3) FROM range(60) r(i)"},
		{"equal", "SELECT generate('tiny', 'the ' || i % 3, max_tokens := 5) FROM range(60) r(i)"},
		{"choices", "SELECT text FROM generate('tiny', 'the', n := 5, temperature := 1, max_tokens := 7)"},
		{"stream", "SELECT text FROM generate_stream('tiny', 'the', max_tokens := 7)"},
		{"stops", "SELECT generate('tiny', 'the ' || i, stop := ['a'], max_tokens := 30) FROM range(20) r(i)"},
		{"overflow", "SELECT count(generate('tiny', CASE WHEN i = 3 THEN repeat('word ', 5000) ELSE 'a' || i END, max_tokens := 3)) FROM range(20) r(i)"},
		{"timeout", "SELECT generate('tiny', 'the ' || i, max_tokens := 1500, ignore_eos := true, timeout_ms := 30) FROM range(40) r(i)"},
		{"limit", "SELECT generate('tiny', 'the ' || i, max_tokens := 30, ignore_eos := true) AS g FROM range(20000) r(i) WHERE ai_filter('t' || i, 'p') OR true LIMIT 3"},
		{"priors", "SELECT ai_classify('the ' || i, ['a', 'b c'], model := 'plain'), ai_classify('x' || i, ['a', 'd'], model := 'plain') FROM range(30) r(i)"},
		{"scores", "SELECT ai_filter('the ' || i, 'p'), ai_classify('the ' || i, ['a', 'b c', 'b c d']), logprob('tiny', 'a' || i, ' b c'), ai_score('x' || i, 'y') FROM range(30) r(i)"},
		{"chat", "SELECT chat('s', 'hello', max_tokens := 5), chat('s' || i, 'hello', max_tokens := 5) FROM range(5) r(i)"},
		{"failing", "SELECT generate('tiny', 'the ' || i, max_tokens := 200, ignore_eos := true), generate('tiny', CASE WHEN i > 20 THEN repeat('word ', 5000) ELSE i::VARCHAR END, on_error := 'fail') FROM range(60) r(i)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			con := inProcess(t, open(t, models...))
			if _, err := con.query(t.Context(), "SET ai_max_error_ratio = 1"); err != nil {
				t.Fatal(err)
			}
			_, err := con.query(t.Context(), c.sql)
			if (err != nil) != (c.name == "failing") {
				t.Fatal(err)
			}
			spent, err := con.query(t.Context(), "SELECT sum(prompt_tokens), sum(shared_tokens), sum(completion_tokens) FROM ai.usage")
			if err != nil {
				t.Fatal(err)
			}
			computed, err := con.query(t.Context(), "SELECT prompt_tokens, shared_tokens, completion_tokens FROM ai.engines")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(spent, ";") != strings.Join(computed, ";") {
				t.Errorf("ai.usage has %v, the loop %v", spent, computed)
			}
		})
	}
}
