package sqlfuncs

import (
	"strings"
	"testing"

	"hyprstream/inference"
)

// TestEstimate: a row per function, model and adapters: rows, distinct and cached ones, tokens of
// prompts, shared ones, the most of answers, seconds, completeness and the note.
func TestEstimate(t *testing.T) {
	d := openTestDB(t)
	d.engine.rate = inference.Rate{Prefill: 10, Decode: 10}
	d.must("CREATE TABLE t AS SELECT i AS id, i % 3 AS cat, 'say it ' || i AS prompt, 'm' AS model FROM range(30) r(i)")
	const unmeasured = "no answers were measured yet: seconds are for the longest ones"
	const dependent = "calls depend on answers that are not known: NULL was taken for them"
	for _, c := range []struct{ sql, want string }{
		{"SELECT generate('m', prompt, max_tokens := 4) FROM t", "generate|m|NULL|30|30|0|90|58|120|15.2|true|" + unmeasured},
		{"SELECT generate(prompt, max_tokens := 4) FROM t WHERE id < 2", "generate|m|NULL|2|2|0|6|2|8|1.2|true|" + unmeasured},
		{"SELECT generate('m', 'kept ' || prompt, max_tokens := 4) FROM t", "generate|m|NULL|30|30|30|0|0|0|0.0|true|NULL"},
		{"SELECT generate('m', 'say ' || cat, max_tokens := 4) FROM t", "generate|m|NULL|30|3|0|6|2|12|1.6|true|" + unmeasured},
		{"SELECT generate('m', 'kept ' || cat, max_tokens := 4) FROM t", "generate|m|NULL|30|3|30|0|0|0|0.0|true|NULL"},
		{"SELECT generate('m', CASE id WHEN 1 THEN 'fail' ELSE prompt END, max_tokens := 4) FROM t WHERE id < 3", "generate|m|NULL|3|3|0|6|2|8|1.2|true|1 rows fail: prompt too long; " + unmeasured},
		{"SELECT count(*) FROM t WHERE ai_filter(prompt, 'is it')", "ai_filter|m|NULL|30|30|0|90|58|NULL|3.2|true|NULL"},
		{"SELECT embed('m', prompt) FROM t", "embed|m|NULL|30|30|0|90|0|NULL|9.0|true|NULL"},
		{"SELECT id FROM t ORDER BY id LIMIT 5", ""},
		{"SELECT generate('m', prompt, max_tokens := 4) FROM t ORDER BY id LIMIT 2", "generate|m|NULL|2|2|0|6|2|8|1.2|true|" + unmeasured},
		{"SELECT generate('m', NULL), generate('m', prompt, max_tokens := 4, adapter := 'polite:0.5') FROM t LIMIT 1", "generate|m|polite:0.5|1|1|0|3|0|4|0.7|true|" + unmeasured},
		{"SELECT generate('m', prompt, max_tokens := 4), generate('n', prompt, max_tokens := 1) FROM t WHERE id = 1", "generate|m|NULL|1|1|0|3|0|4|0.7|true|" + unmeasured + ",generate|n|NULL|1|1|0|3|0|1|0.4|true|" + unmeasured},
		{"SELECT ai_classify(prompt, ['a', 'b']), ai_classify_probs(prompt, ['b', 'a']) FROM t WHERE id < 2", "ai_classify|m|NULL|2|2|0|6|2|NULL|0.4|true|NULL,ai_classify_probs|m|NULL|2|0|0|0|0|NULL|0.0|true|NULL"},
		{"SELECT text FROM generate('m', 'a b', n := 3, max_tokens := 1)", "generate|m|NULL|3|3|0|6|2|3|0.7|true|" + unmeasured},
		{"SELECT list_transform([prompt], lambda x: generate('m', x, max_tokens := 1)) FROM t WHERE id = 2", "generate|m|NULL|1|1|0|3|0|1|0.4|true|" + unmeasured},
		{"SELECT generate('m', prompt, max_tokens := 4) FROM t WHERE count_tokens('m', prompt) = 3 AND id < 2", "generate|m|NULL|2|2|0|6|2|8|1.2|true|" + unmeasured},
		{"SELECT generate('m', prompt, max_tokens := 1) FROM t WHERE id < 1 AND ai_filter(prompt, 'x')", "ai_filter|m|NULL|1|1|0|3|0|NULL|0.3|false|" + dependent},
		{"SELECT generate('m', generate('n', prompt, max_tokens := 1)) FROM t WHERE id < 1", "generate|n|NULL|1|1|0|3|0|1|0.4|false|" + unmeasured + "; " + dependent},
		{"SELECT id FROM t WHERE ai_filter(prompt, 'x') AND id < 4 LIMIT 1", "ai_filter|m|NULL|4|4|0|12|6|NULL|0.6|false|" + dependent},
		{"SELECT g FROM (SELECT id, generate('m', prompt, max_tokens := 1) AS g FROM t) WHERE id = 3", "generate|m|NULL|1|1|0|3|0|1|0.4|true|" + unmeasured},
		{"SELECT chat('s', prompt, model := 'm') FROM t WHERE id < 2", "chat|m|NULL|2|2|NULL|NULL|NULL|NULL|NULL|false|a dialogue's turns depend on the answers in it: prompts are not counted"},
	} {
		d.engine.take()
		got, err := d.query(d.conn, "SELECT * FROM ai_estimate('"+strings.ReplaceAll(c.sql, "'", "''")+"')")
		if err != nil || strings.Join(got, ",") != c.want {
			t.Errorf("%s\n got %v %v\nwant %s", c.sql, strings.Join(got, ","), err, c.want)
		}
		if ran := d.engine.take(); ran != nil {
			t.Errorf("%s computed %v", c.sql, ran)
		}
	}
	if n := d.at.Live(); n != 0 {
		t.Errorf("%d operators are left", n)
	}
}

// TestEstimateIsComplete: whether no call depends on another's answer.
func TestEstimateIsComplete(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, 'p' || i AS prompt FROM range(5) r(i)")
	for sql, want := range map[string]string{
		"SELECT generate('m', prompt), embed('m', prompt) FROM t":                                                                         "true",
		"SELECT a.g, embed('m', prompt) FROM (SELECT id, generate('m', prompt) AS g FROM t) a JOIN t ON a.id = t.id":                      "true",
		"SELECT embed('m', prompt) FROM (SELECT generate('m', prompt) AS g FROM t) a JOIN t ON a.g = t.prompt":                            "false",
		"WITH c AS MATERIALIZED (SELECT generate('m', prompt) AS g FROM t) SELECT embed('m', g) FROM c":                                   "false",
		"WITH c AS MATERIALIZED (SELECT generate('m', prompt) AS g FROM t) SELECT g FROM c":                                               "true",
		"SELECT embed('m', max(g)) FROM (SELECT generate('m', prompt) AS g FROM t)":                                                       "false",
		"SELECT count(DISTINCT generate('m', prompt)), (SELECT count(embed('m', prompt)) FROM t) FROM t":                                  "true",
		"SELECT CASE WHEN ai_filter(prompt, 'x') THEN generate('m', prompt) END FROM t":                                                   "false",
		"SELECT generate('m', prompt) FROM t UNION ALL SELECT generate('n', prompt) FROM t":                                               "true",
		"SELECT embed('m', g) FROM (SELECT generate('m', prompt) AS g FROM t UNION ALL SELECT prompt FROM t)":                             "false",
		"SELECT embed('m', text) FROM generate('m', 'x')":                                                                                 "false",
		"SELECT list_transform([generate('m', prompt)], lambda x: generate('m', x)) FROM t":                                               "false",
		"SELECT id FROM t ORDER BY generate('m', prompt)":                                                                                 "true",
		"SELECT id, (SELECT generate('m', t.prompt || u.prompt) FROM t u WHERE u.id = t.id) FROM t":                                       "true",
		"SELECT id FROM t WHERE id IN (SELECT length(generate('m', prompt)) FROM t) AND embed('m', prompt) IS NOT NULL":                   "true",
		"SELECT row_number() OVER (ORDER BY generate('m', prompt)) AS n, embed('m', prompt) FROM t QUALIFY n < 3":                         "false",
		"SELECT rows FROM ai_estimate('SELECT generate(''m'', prompt) FROM t') WHERE rows > 1 AND generate('m', rows::VARCHAR) <> 'none'": "true",
	} {
		got, err := d.query(d.conn, "SELECT bool_and(complete) FROM ai_estimate('"+strings.ReplaceAll(sql, "'", "''")+"')")
		if err != nil || got[0] != want {
			t.Errorf("%s: %v %v, want %s", sql, got, err, want)
		}
	}
	if ran := d.engine.take(); ran != nil {
		t.Errorf("computed %v", ran)
	}
}

// TestEstimateErrors: each is told before anything is counted.
func TestEstimateErrors(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT 'p' AS prompt")
	for _, c := range []struct{ sql, want string }{
		{"ai_estimate('INSERT INTO t VALUES (generate(''m'', ''x''))')", "[INVALID_ARGUMENT] ai_estimate takes the text of one SELECT"},
		{"ai_estimate('SELECT 1; SELECT 2')", "takes the text of one SELECT"},
		{"ai_estimate('CREATE MODEL x FROM ''y''')", "takes the text of one SELECT"},
		{"ai_estimate('')", "takes the text of one SELECT"},
		{"ai_estimate(NULL)", "takes the text of one SELECT, not NULL"},
		{"ai_estimate('SELECT generate(''m'', $1)')", "has parameters"},
		{"ai_estimate('SELECT generate(''mm'', prompt) FROM t')", "[MODEL_NOT_FOUND]"},
		{"ai_estimate('SELECT generate(''m'', prompt, adapter := ''rude'') FROM t')", "[ADAPTER_NOT_FOUND]"},
		{"ai_estimate('SELECT nothing FROM t')", "\"nothing\" not found"},
		{"ai_estimate('SELEC 1')", "syntax error"},
		{"ai_estimate('SELECT * FROM range(generate(''m'', ''7'')::INT)')", "[UNSUPPORTED]"},
		{"(WITH c AS (SELECT 1 AS x) SELECT * FROM ai_estimate('SELECT x FROM c'))", "Table with name c does not exist"},
		{"(SELECT (SELECT count(*) FROM ai_estimate('SELECT q.prompt')) FROM t q)", "\"q\" not found"},
	} {
		if _, err := d.query(d.conn, "SELECT * FROM "+c.sql); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.sql, err, c.want)
		}
	}
	d.must("CREATE VIEW v AS SELECT 1 AS x")
	d.must("CREATE OR REPLACE VIEW v AS SELECT rows AS x FROM ai_estimate('SELECT x FROM v')")
	if _, err := d.query(d.conn, "SELECT * FROM v"); err == nil || !strings.Contains(err.Error(), "infinite recursion") {
		t.Error(err)
	}
	d.must("SET disabled_optimizers = 'extension'")
	if _, err := d.query(d.conn, "SELECT * FROM ai_estimate('SELECT generate(''m'', prompt) FROM t')"); err == nil || !strings.Contains(err.Error(), "[UNSUPPORTED] ai_estimate needs DuckDB's optimizer") {
		t.Error(err)
	}
	if ran := d.engine.take(); ran != nil {
		t.Errorf("computed %v", ran)
	}
}

// TestEstimateSeesTheCaller: temporary tables, rows not committed, and the mean of
// answers so far.
func TestEstimateSeesTheCaller(t *testing.T) {
	d := openTestDB(t)
	d.engine.rate = inference.Rate{Prefill: 10, Decode: 10}
	d.must("CREATE TEMP TABLE t AS SELECT 'a b' AS prompt")
	d.must("SELECT generate('m', prompt) FROM t")
	d.must("BEGIN")
	d.must("INSERT INTO t VALUES ('a b c')")
	const ask = "SELECT rows, prompt_tokens, seconds, note FROM ai_estimate('SELECT generate(''m'', prompt, max_tokens := 4) FROM t')"
	got, err := d.query(d.conn, ask+" UNION ALL "+ask)
	if want := "2|5|0.5|NULL,2|5|0.5|NULL"; err != nil || strings.Join(got, ",") != want {
		t.Errorf("%v %v, want %s", got, err, want)
	}
	d.must("ROLLBACK")
	if got, err = d.query(d.conn, ask); err != nil || got[0] != "1|2|0.3|NULL" {
		t.Error(got, err)
	}
}
