package sqlfuncs

import (
	"regexp"
	"strings"
	"testing"

	"hyprstream/inference"
)

// plan is what EXPLAIN says of the INFERENCE operators, without the boxes: lines
// joined by "; ".
func (d *testDB) plan(sql string) string {
	d.t.Helper()
	text := strings.Join(d.must(sql), "")
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		if l = strings.Trim(l, " │┌┐└┘├┤┬┴─"); l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "; ")
}

// TestExplainAnalyze: what an operator's calls have cost, and a part of it that is
// a time.
func TestExplainAnalyze(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT 'two w' || i % 10 AS prompt FROM range(3000) r(i)")
	for _, c := range []struct{ sql, want string }{
		{"SELECT generate('m', prompt) FROM t", `Calls:; generate; model m; .*INFERENCE:; generate; 3,000 rows in; 10 distinct; 20 prompt tokens; 10 answer tokens; [0-9.e-]+ s`},
		{"SELECT embed('k', prompt), ai_filter(prompt, 'x') FROM t", `INFERENCE:; (embed; 3,000 rows in; 10 distinct; 60 prompt tokens; |ai_filter; 3,000 rows in; 10 distinct; 20 prompt tokens; 10 answer tokens; ){2}[0-9.e-]+ s`},
		{"SELECT generate('m', CASE prompt WHEN 'two w1' THEN 'fail' ELSE prompt END) FROM t", `300 rows failed; 18 prompt tokens`},
		{"SELECT * FROM ai_estimate('SELECT generate(''m'', prompt) FROM t')", `INFERENCE:; nothing asked`},
		{"SELECT count(*) FROM t WHERE generate('m', prompt) IS NULL", `10 distinct`},
		{"SELECT text FROM generate('m', 'a b', n := 3)", `GENERATE:; generate; 3 rows in; 3 distinct; 6 prompt tokens; 3 answer tokens`},
		{"SELECT text FROM generate_stream('m', 'a b')", `GENERATE_STREAM:; generate_stream; 1 rows in; 1 distinct; 3 prompt tokens; 2 answer tokens`},
	} {
		d.engine.take()
		if got := d.plan("EXPLAIN ANALYZE " + c.sql); !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("%s\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT 'two w' || i AS prompt, 'm' AS model, i AS n FROM range(3000) r(i)")
	const ask = "EXPLAIN SELECT generate('m', prompt, max_tokens := 64) FROM t"
	for _, c := range []struct {
		before    string
		rate      inference.Rate
		sql, want string
	}{
		{"", inference.Rate{}, ask, "generate; model m; up to 64 answer tokens; cost not measured yet"},
		{"", inference.Rate{}, "EXPLAIN SELECT generate(prompt) FROM t", "generate; model m; up to 256 answer tokens; cost not measured yet"},
		{"", inference.Rate{}, "EXPLAIN SELECT embed('m', prompt) FROM t", "embed; model m; cost not measured yet"},
		{"SELECT generate('m', prompt) FROM t LIMIT 9", inference.Rate{}, ask, "generate; model m; ~2 prompt tokens a row; ~1 answer tokens a row; ~9,000 tokens in all; speed not measured yet"},
		{"", inference.Rate{Prefill: 100, Decode: 10}, ask, "~9,000 tokens in all; ~6m0s"},
		{"", inference.Rate{Prefill: 1e4, Decode: 1e4}, ask, "~0.9 s"},
		{"", inference.Rate{Prefill: 100, Decode: 100}, ask, "~90 s"},
		{"", inference.Rate{}, "EXPLAIN SELECT generate(model, prompt, adapter := model) FROM t", "generate; model of the row; adapter of the row; the cost is the model's"},
		{"", inference.Rate{}, "EXPLAIN SELECT generate('n', prompt, adapter := 'polite:0.5', max_tokens := n::INT) FROM t", "generate; model n; adapter polite:0.5; cost not measured yet"},
		{"", inference.Rate{}, "EXPLAIN SELECT generate('m', prompt) FROM t LIMIT 7", "~21 tokens in all"},
		{"SELECT ai_filter(prompt, 'is', model := 'm') FROM t LIMIT 3", inference.Rate{}, "EXPLAIN SELECT ai_filter(prompt, 'is it', model := 'm'), generate('m', prompt) FROM t", "ai_filter; model m; ~2 prompt tokens a row; ~9,000 tokens in all; speed not measured yet; generate; model m"},
		{"", inference.Rate{}, "EXPLAIN SELECT chat('s', prompt) FROM t", "chat [in place]"},
		{"", inference.Rate{}, "EXPLAIN SELECT generate('m', generate('n', prompt)) FROM t", "generate; model m"},
	} {
		if c.before != "" {
			d.must(c.before)
		}
		d.engine.take()
		d.engine.rate = c.rate
		if got := d.plan(c.sql); !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.sql, got, c.want)
		}
		if ran := d.engine.take(); ran != nil {
			t.Errorf("%s computed %v", c.sql, ran)
		}
	}
}
