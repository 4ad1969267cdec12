package sqlfuncs

import (
	"strings"
	"testing"
	"time"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/inference"
)

// TestBudget: what each limit lets through, and what the error says. Prompts are
// of two words, and an answer is one token.
func TestBudget(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, 'word p' || i AS prompt FROM range(30) r(i)")
	const refused, stopped = "refused before its first token", "stopped;"
	for _, c := range []struct {
		set, sql string
		want     string // of the error; "": none
	}{
		{"ai_max_rows = 30", "SELECT generate('m', prompt) FROM t", ""},
		{"ai_max_rows = 29", "SELECT generate('m', prompt) FROM t", "[BUDGET_EXCEEDED] ai_max_rows is 29 and it has at least 30 distinct rows to compute; the statement was " + refused},
		{"ai_max_rows = 1", "SELECT generate('m', 'same') FROM t", ""},
		{"ai_max_rows = 5", "SELECT generate('m', prompt) FROM t LIMIT 5", ""},
		{"ai_max_rows = 4", "SELECT generate('m', prompt) FROM t LIMIT 5", refused},
		{"ai_max_rows = 40", "SELECT generate('m', prompt) FROM t UNION ALL SELECT generate('n', prompt) FROM t", "ai_max_rows is 40 and it has at least 60"},
		{"ai_max_rows = 60", "SELECT generate('m', prompt), embed('m', prompt) FROM t", ""},
		{"ai_max_rows = 59", "SELECT generate('m', prompt), embed('m', prompt) FROM t", "ai_max_rows is 59"},
		{"ai_max_rows = 29", "SELECT embed('m', prompt) FROM t", refused},
		{"ai_max_rows = 29", "SELECT ai_filter(prompt, 'is it') FROM t", refused},
		{"ai_max_rows = 29", "SELECT ai_classify(prompt, ['a', 'b']) FROM t", refused},
		{"ai_max_rows = 29", "SELECT logprob('m', prompt, 'x') FROM t", refused},
		{"ai_max_rows = 29", "SELECT chat(prompt, prompt) FROM t", "ai_max_rows is 29"},
		{"ai_max_rows = 29", "SELECT list_transform([prompt], lambda x: generate('m', x)) FROM t", refused},
		{"ai_max_rows = 1", "SELECT text FROM generate('m', 'x', n := 2)", refused},
		{"ai_max_rows = 2", "SELECT text FROM generate('m', 'x', n := 2)", ""},
		{"ai_max_tokens = 2", "SELECT text FROM generate_stream('m', 'one two three')", refused},
		{"ai_max_tokens = 90", "SELECT generate('m', prompt) FROM t", ""},
		{"ai_max_tokens = 89", "SELECT generate('m', prompt) FROM t", "ai_max_tokens is 89 and its prompts and what was written come to 90 tokens; the statement was " + stopped + " 30 rows are finished"},
		{"ai_max_tokens = 59", "SELECT generate('m', prompt) FROM t", "ai_max_tokens is 59 and its prompts and what was written come to 60 tokens; the statement was " + refused},
		{"ai_max_tokens = 59", "SELECT embed('m', prompt) FROM t", refused},
		{"ai_max_tokens = 60", "SELECT embed('m', prompt) FROM t", ""},
		{"ai_max_rows = NULL", "SELECT generate('m', prompt) FROM t", ""},
		{"ai_max_rows = -1", "", "[INVALID_ARGUMENT] the setting is a limit and cannot be -1"},
		{"ai_max_seconds = -0.5", "", "cannot be -0.5"},
	} {
		if _, err := d.query(d.conn, "SET "+c.set); err != nil {
			if c.sql != "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("SET %s: %v", c.set, err)
			}
			continue
		}
		d.engine.take()
		_, err := d.query(d.conn, c.sql)
		switch {
		case c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %s\n got %v\nwant %s", c.set, c.sql, err, c.want)
		case strings.Contains(c.want, refused) && len(d.engine.take()) > 0:
			t.Errorf("%s: %s: the engine computed", c.set, c.sql)
		}
		name, _, _ := strings.Cut(c.set, " ")
		d.must("RESET " + name)
	}
	if n := d.at.Live(); n != 0 {
		t.Errorf("%d operators are left", n)
	}
}

// TestBudgetIsOfAStatement: each of several statements under one context has the
// whole, and other sessions are not touched.
func TestBudgetIsOfAStatement(t *testing.T) {
	d := openTestDB(t)
	d.must("SET ai_max_rows = 2")
	for range 3 {
		d.must("SELECT generate('m', 'a'), generate('m', 'b')")
	}
	other := d.connect()
	defer duckdb.Disconnect(&other)
	if _, err := d.query(other, "SELECT generate('m', range::VARCHAR) FROM range(9)"); err != nil {
		t.Error(err)
	}
	d.must("SET GLOBAL ai_max_rows = 8")
	if _, err := d.query(other, "SELECT generate('m', range::VARCHAR) FROM range(9)"); err == nil {
		t.Error("a global limit does not hold in a session without one of its own")
	}
	d.answers("SELECT name, value FROM duckdb_settings() WHERE name LIKE 'ai_max%' ORDER BY name", "ai_max_error_ratio|0.1,ai_max_rows|2,ai_max_seconds|0.0,ai_max_tokens|0")
}

// TestSeconds: a statement that would take too long is refused where the speed is
// known, and one that does take too long is stopped.
func TestSeconds(t *testing.T) {
	d := openTestDB(t)
	d.engine.rate = inference.Rate{Prefill: 10, Decode: 5}
	d.must("CREATE TABLE t AS SELECT 'word p' || i AS prompt FROM range(30) r(i)")
	d.must("SET ai_max_seconds = 11") // 60 tokens / 10, and 30 answers of one token / 5
	for _, want := range []string{"", "60 more tokens of prompts would take about 12 s"} {
		d.engine.take()
		_, err := d.query(d.conn, "SELECT generate('m', prompt) FROM t")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || len(d.engine.take()) > 0) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	d.engine.rate = inference.Rate{}
	d.engine.setStep(time.Hour)
	d.must("SET ai_max_seconds = 0.05")
	_, err := d.query(d.conn, "SELECT generate('m', '')")
	if err == nil || !strings.Contains(err.Error(), "[BUDGET_EXCEEDED] ai_max_seconds is 0.05 and its models have worked as long; the statement was stopped; 0 rows are finished") {
		t.Error(err)
	}
}
