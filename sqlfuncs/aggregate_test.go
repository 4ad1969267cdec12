package sqlfuncs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hyprstream/inference"
)

const groups = "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a', 'x'), (2, 'b', 'x'), (1, 'c', 'y'), (2, NULL, 'y'), (3, NULL, 'y'), (1, 'a', 'z')) v(g, body, k)"

// TestAgg: groups in their order, with all that SQL puts into and around an aggregate.
func TestAgg(t *testing.T) {
	d := openTestDB(t)
	d.must(groups)
	for sql, want := range map[string]string{
		"SELECT g, ai_agg(body, 'i') FROM t GROUP BY g ORDER BY g":                                                           "1|<:i(a + c + a)>,2|<:i(b)>,3|NULL",
		"SELECT ai_agg(body, 'i', model := 'm') FROM t":                                                                      "<m:i(a + b + c + a)>",
		"SELECT ai_agg(body, 'i', model => 'm', max_tokens => 5) FROM t":                                                     "<m:i(a + b + c + a)>",
		"SELECT ai_agg(body, 'i') FROM t WHERE false":                                                                        "NULL",
		"SELECT g, ai_agg(body, 'i') FROM t WHERE false GROUP BY g":                                                          "",
		"SELECT ai_agg(body, 'i' ORDER BY k DESC, body) FROM t":                                                              "<:i(a + c + a + b)>",
		"SELECT ai_agg(body, 'i', model := 'm' ORDER BY body DESC) FROM t":                                                   "<m:i(c + b + a + a)>",
		"SELECT ai_agg(DISTINCT body, 'i' ORDER BY body) FROM t":                                                             "<:i(a + b + c)>",
		"SELECT ai_agg(body, 'i') FILTER (WHERE k <> 'x') FROM t":                                                            "<:i(c + a)>",
		"SELECT g, k, ai_agg(body, 'i' ORDER BY body) FROM t GROUP BY GROUPING SETS ((g), (k), ()) ORDER BY ALL":             "1|NULL|<:i(a + a + c)>,2|NULL|<:i(b)>,3|NULL|NULL,NULL|x|<:i(a + b)>,NULL|y|<:i(c)>,NULL|z|<:i(a)>,NULL|NULL|<:i(a + a + b + c)>",
		"SELECT k, g, ai_agg(body, 'i') OVER (PARTITION BY g ORDER BY k) FROM t WHERE g < 3 ORDER BY g, k":                   "x|1|<:i(a)>,y|1|<:i(a + c)>,z|1|<:i(a + c + a)>,x|2|<:i(b)>,y|2|<:i(b)>",
		"SELECT g, ai_agg(body, 'i') OVER (PARTITION BY g) FROM t WHERE k = 'x' ORDER BY g":                                  "1|<:i(a)>,2|<:i(b)>",
		"SELECT g, ai_agg(body, 'i') AS s FROM t GROUP BY g HAVING ai_agg(body, 'i') LIKE '%c%'":                             "1|<:i(a + c + a)>",
		"SELECT g FROM t GROUP BY g ORDER BY ai_agg(body, 'i') DESC NULLS LAST":                                              "2,1,3",
		"SELECT upper(ai_agg(body, 'i')), count(*) FROM t":                                                                   "<:I(A + B + C + A)>|6",
		"SELECT ai_agg(body, 'i'), ai_agg(body, 'j'), generate('m', max(body)) FROM t":                                       "<:i(a + b + c + a)>|<:j(a + b + c + a)>|<m:c>",
		"SELECT ai_agg(generate('m', body), 'i') FROM t WHERE g = 1":                                                         "<:i(<m:a> + <m:c> + <m:a>)>",
		"SELECT ai_agg(s, 'j') FROM (SELECT ai_agg(body, 'i') AS s FROM t GROUP BY g ORDER BY g)":                            "<:j(<:i(a + c + a)> + <:i(b)>)>",
		"SELECT g, (SELECT ai_agg(body, 'i') FROM t u WHERE u.g = t.g) FROM t WHERE k = 'x' ORDER BY g":                      "1|<:i(a + c + a)>,2|<:i(b)>",
		"SELECT k, ai_agg(body, k) FROM t GROUP BY k ORDER BY k":                                                             "x|<:x(a + b)>,y|<:y(c)>,z|<:z(a)>",
		"SELECT ai_agg(body, CASE WHEN g = 1 THEN 'i' END) FROM t WHERE g = 1":                                               "<:i(a + c + a)>",
		"SELECT ai_agg(body, NULL), ai_agg(NULL, 'i'), ai_agg(body, 'i', model := NULL) FROM t":                              "NULL|NULL|NULL",
		"SELECT k, ai_agg(body, CASE WHEN k = 'x' THEN 'i' END) FROM t GROUP BY k ORDER BY k":                                "x|<:i(a + b)>,y|NULL,z|NULL",
		"SELECT ai_agg('', 'i'), ai_agg('x', '')":                                                                            "<:i()>|<:(x)>",
		"SELECT ai_agg(body, 'i', max_tokens := g, temperature := 0, stop := ['x'], adapter := 'polite') FROM t WHERE g = 2": "<:i(b)>",
		"SELECT ai_agg(body, 'i', stop := [k], top_k := g) FROM t GROUP BY g, k ORDER BY g, k LIMIT 1":                       "<:i(a)>",
		"SELECT sum(length(s)) FROM (SELECT ai_summarize_agg(body) AS s FROM t WHERE k = 'z')":                               "75",
		"SELECT ai_agg(body, 'i') IS NULL, any_value(g) FROM (FROM t WHERE g = 3)":                                           "true|3",
		"FROM (PIVOT (SELECT k, g, body FROM t) ON k IN ('x', 'y') USING ai_agg(body, 'i') GROUP BY g) ORDER BY g":           "1|<:i(a)>|<:i(c)>,2|<:i(b)>|NULL,3|NULL|NULL",
	} {
		d.answers(sql, want)
		d.must("SET disabled_optimizers = 'extension'") // all in place
		d.answers(sql, want)
		d.must("RESET disabled_optimizers")
	}
}

// TestAggArguments: what is wrong with a call is said while it is prepared.
func TestAggArguments(t *testing.T) {
	d := openTestDB(t)
	d.must(groups)
	for sql, want := range map[string]string{
		"SELECT ai_agg(body) FROM t":                                    "the argument instruction is missing: ai_agg(text, instruction,",
		"SELECT ai_agg() FROM t":                                        "the argument text is missing",
		"SELECT ai_summarize_agg() FROM t":                              "the argument text is missing",
		"SELECT ai_agg(body, model := 'm') FROM t":                      "the argument instruction is missing",
		"SELECT ai_agg(body, 'i', 'm') FROM t":                          "[INVALID_ARGUMENT] ai_agg: options are given by name",
		"SELECT ai_agg(body, 'i', modle := 'm') FROM t":                 `ai_agg: there is no option modle; did you mean model? Its options are model, adapter, system, max_tokens`,
		"SELECT ai_agg(body, 'i', k) FROM t":                            `there is no option k`,
		"SELECT ai_summarize_agg(body, instruction := 'x') FROM t":      `ai_summarize_agg: there is no option instruction`,
		"SELECT ai_agg(body, 'i', model := 'm', model := 'n') FROM t":   "model is given twice",
		"SELECT ai_agg(body, 'i', max_tokens := 'many') FROM t":         "max_tokens",
		"SELECT ai_agg(body, 'i', max_tokens := [1]) FROM t":            "[INVALID_ARGUMENT] ai_agg: max_tokens must be INTEGER, not INTEGER[]",
		"SELECT ai_agg(body, 'i', max_tokens := 0) FROM t":              "max_tokens must be between 1",
		"SELECT ai_agg(body, 'i', temperature := 'NaN'::DOUBLE) FROM t": "temperature",
		"SELECT ai_agg(body, 'i', adapter := 1) FROM t":                 "adapter",
		"SELECT ai_agg(body, 'i', adapter := 'nobody') FROM t":          "ADAPTER_NOT_FOUND",
		"SELECT ai_agg(body, 'i', model := 'nope') FROM t":              "MODEL_NOT_FOUND",
		"SELECT ai_agg(body, 'i', on_error := 'x') FROM t":              "on_error must be",
		"SELECT ai_agg(body, 'i', cache := 'x') FROM t":                 "cache must be",
		"SELECT list_aggregate(['a'], 'ai_summarize_agg')":              "takes rows, not a list",
		"SELECT list_aggregate(['a'], 'ai_agg', 'i')":                   "takes rows, not a list",
		"SELECT ai_agg(body, 'i') EXPORT_STATE FROM t":                  "EXPORT_STATE",
		"SELECT ai_agg(body, k) FROM t":                                 "[INVALID_ARGUMENT] ai_agg: instruction differs within a group, which has one answer: GROUP BY it",
		"SELECT ai_agg(body, 'i', max_tokens := g) FROM t":              "max_tokens differs within a group",
		"SELECT ai_agg(body, k) OVER (ORDER BY k) FROM t":               "instruction differs within a group",
		"SELECT ai_agg(DISTINCT body, 'i' ORDER BY g) FROM t":           "ORDER BY expressions must appear",
		"SELECT ai_agg(g, 'i') FROM t":                                  "[INVALID_ARGUMENT] ai_agg: text must be VARCHAR, not INTEGER",
		"SELECT ai_agg(body, 'i', seed := 1.5) FROM t":                  "ai_agg: seed must be BIGINT",
	} {
		if _, err := d.query(d.conn, sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", sql, err, want)
		}
	}
	if n := d.engine.take(); n != nil {
		t.Errorf("batches %v", n)
	}
	d.answers("SELECT k, ai_agg(body, k) OVER (PARTITION BY k) FROM t WHERE g = 1 ORDER BY k", "x|<:x(a)>,y|<:y(c)>,z|<:z(a)>")
}

// TestAggBatches: all groups of a level go to the engine together.
func TestAggBatches(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, i % 5000 AS g, 'p' || i AS body FROM range(20000) r(i)")
	d.asks("SELECT g, ai_agg(body, 'i' ORDER BY id) FROM t GROUP BY g", []int{5000})
	d.asks("SELECT g, ai_agg(body, 'i' ORDER BY id) FROM t WHERE g < 400 GROUP BY g", []int{400})
	d.asks("SELECT g, ai_agg(body, 'i' ORDER BY id) FROM t GROUP BY g LIMIT 3", []int{3})
	d.asks("SELECT ai_agg(body, 'i') OVER (PARTITION BY g % 10) FROM t", []int{10})
	d.asks("SELECT ai_agg('same', 'i'), ai_summarize_agg('same') FROM t GROUP BY g", []int{2})
	d.asks("SELECT DISTINCT ai_agg('same', 'i', cache := 'off') FROM t WHERE g < 40 GROUP BY g", []int{40})
	d.must("SET threads = 4")
	for range 3 {
		d.answers(`SELECT count(*), bool_and(a = '<:i(p' || g || ' + p' || (g + 5000) || ' + p' || (g + 10000) || ' + p' || (g + 15000) || ')>')
			FROM (SELECT g, ai_agg(body, 'i' ORDER BY id) AS a FROM t GROUP BY g)`, "5000|true")
		d.answers("SELECT ai_agg(body, 'i' ORDER BY id) = '<:i(' || string_agg(body, ' + ' ORDER BY id) || ')>' FROM t", "true")
		d.answers("SELECT length(ai_agg(body, 'i')) = length(string_agg(body, ' + ')) + 6 FROM t", "true")
	}
}

// TestAggLevels: texts beyond the context are asked about in parts, in order, and the answers combined.
func TestAggLevels(t *testing.T) {
	d := openTestDB(t)
	d.engine.limit, d.engine.keep = 60, true
	d.must("CREATE TABLE t AS SELECT i AS id, 'p' || i AS body FROM range(20) r(i)")
	const opts = ", 'i', max_tokens := 2"
	// A text has 3 words with its label, 1 is the instruction, 2 are for the answer: beside the margin 49 are for 16 texts.
	d.answers("SELECT ai_agg(body"+opts+" ORDER BY id) FROM t WHERE id < 18",
		"<:i(<:i(p0 + p1 + p2 + p3 + p4 + p5 + p6 + p7 + p8 + p9 + p10 + p11 + p12 + p13 + p14 + p15)> & <:i(p16 + p17)>)>")
}

// recorded adds up what a statement's rows have cost.
type recorded struct{ rows, distinct, done, failed, prompt, completion int }

func (r *recorded) Expect(_, _ string, rows, distinct int) {
	r.rows, r.distinct = r.rows+rows, r.distinct+distinct
}

func (r *recorded) Row(_ string, c inference.Completion, rows int) {
	r.done += rows
	if c.Err != nil {
		r.failed += rows
	}
	if !c.Cached {
		r.prompt, r.completion = r.prompt+c.PromptTokens, r.completion+c.CompletionTokens
	}
}

// recorded runs a statement and says what it has cost.
func (d *testDB) recorded(sql string) (rec recorded) {
	d.t.Helper()
	before := d.ctx
	defer func() { d.ctx = before }()
	d.ctx = WithRecorder(before, &rec)
	d.must(sql)
	return rec
}

// TestAggDeepLevels: however many levels there are, the first one reads all texts once, and
// all that was computed is counted.
func TestAggDeepLevels(t *testing.T) {
	d := openTestDB(t)
	d.engine.limit, d.engine.keep, d.engine.brief = 60, true, true
	for _, c := range []struct {
		text, of, opts, by string
		want               []int
	}{
		// 16 texts to a part, then 16 answers, of one word and two of their labels.
		{"'p' || i", "range(1000)", ", max_tokens := 2", "", []int{63, 4, 1}},
		{"repeat('word ', 90) || i", "range(1)", ", max_tokens := 2", "", []int{3, 1}},
		{"repeat('wörd', 500)", "range(1)", ", max_tokens := 2", "", []int{1}},
		{"'p' || i", "range(20)", "", "", []int{2, 1}},
		{"repeat('p' || i || ' ', 18)", "range(8)", ", max_tokens := 2", " GROUP BY i % 2", []int{4, 2}},
	} {
		from := " FROM (SELECT " + c.text + " AS b, i FROM " + c.of + " r(i))" + c.by
		d.engine.asked = nil
		rec := d.recorded("SELECT ai_agg(b, 'i'" + c.opts + " ORDER BY i)" + from)
		got := d.engine.take()
		texts, sum := "", 0
		for _, r := range d.engine.asked {
			if !r.Reading.Answers {
				texts += strings.Join(r.Reading.Texts, "")
			}
			sum += len(strings.Fields(promptOf(r)))
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: batches %v, want %v", from, got, c.want)
		}
		if want := d.must("SELECT string_agg(b, '' ORDER BY i)" + from + " ORDER BY 1"); texts != strings.Join(want, "") {
			t.Errorf("%s: the texts were %.80s", from, texts)
		}
		if rec.rows != rec.done || rec.failed > 0 || rec.prompt != sum || rec.completion != len(d.engine.asked) {
			t.Errorf("%s: %+v for %d words in %d requests", from, rec, sum, len(d.engine.asked))
		}
	}
}

// TestAggFailures: a group that cannot be asked about is NULL, and tells why where that is asked for.
func TestAggFailures(t *testing.T) {
	d := openTestDB(t)
	d.engine.limit = 60
	d.answers("SELECT ai_agg('p', 'i', max_tokens := 600)", "<:i(p)>") // ended by the context, as generate's answers are
	d.must("SET ai_max_error_ratio = 1")
	for sql, want := range map[string]string{
		"SELECT ai_agg(repeat('word ', 50), 'i', max_tokens := 20OPT)":                                             "partial answers of max_tokens 20; give max_tokens := 11 or less",
		"SELECT ai_agg('p', repeat('i ', 45), max_tokens := 20OPT)":                                                "there is no room for the instruction, the texts and an answer of max_tokens 20",
		"SELECT ai_agg('fail', 'i'OPT)":                                                                            "prompt too long",
		"SELECT ai_agg(b, 'i'OPT) FROM (SELECT unnest(['fail' || repeat(' word', 40), repeat('word ', 40)]) AS b)": "prompt too long",
	} {
		d.answers(strings.ReplaceAll(sql, "OPT", ""), "NULL")
		if _, err := d.query(d.conn, strings.ReplaceAll(sql, "OPT", ", on_error := 'fail'")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", sql, err, want)
		}
	}
}

// TestAggPlans: an estimate counts groups, EXPLAIN shows them, and neither asks the model anything.
func TestAggPlans(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, 'p' || i AS body FROM range(40) r(i)")
	estimate := func(sql string) string {
		return "SELECT * EXCLUDE (seconds) FROM ai_estimate('" + strings.ReplaceAll(sql, "'", "''") + "')"
	}
	const unmeasured = "no answers were measured yet: seconds are for the longest ones; the model's speed is not measured yet"
	d.answers(estimate("SELECT ai_agg(body, 'i', max_tokens := 3) FROM t GROUP BY id % 4"), "ai_agg|m|NULL|4|4|0|76|0|12|true|"+unmeasured)
	d.answers(estimate("SELECT ai_summarize_agg('x', max_tokens := 3) FROM t GROUP BY id % 4"), "ai_summarize_agg|m|NULL|4|1|0|31|0|3|true|"+unmeasured)
	d.answers(estimate("SELECT ai_agg(generate('n', body, max_tokens := 1), 'i', max_tokens := 3) FROM t WHERE id = 1"),
		"generate|n|NULL|1|1|0|1|0|1|false|"+unmeasured+"; calls depend on answers that are not known: NULL was taken for them")
	d.engine.limit = 60
	d.answers(estimate("SELECT ai_agg(body, 'i', max_tokens := 3) FROM t"),
		"ai_agg|m|NULL|1|1|0|77|0|9|false|1 groups are read in parts: what combines the partial answers is not counted; "+unmeasured)
	d.answers(estimate("SELECT ai_agg(body, 'i', max_tokens := 30) FROM t"), "ai_agg|m|NULL|1|1|0|0|0|0|true|1 rows fail: the group's texts do not fit the model's context of 60 tokens, which is too small to combine partial answers of max_tokens 30; give max_tokens := 11 or less, or create the model with a greater context_length")
	for sql, want := range map[string]string{
		"EXPLAIN SELECT ai_agg(body, 'i', model := 'm', max_tokens := 9) FROM t":      "Calls:; ai_agg; model m; up to 9 answer tokens; cost not measured yet",
		"EXPLAIN SELECT ai_agg(body, 'i') OVER (PARTITION BY id) FROM t":              "Calls:; ai_agg; model m",
		"EXPLAIN SELECT ai_summarize_agg(body, adapter := body) FROM t GROUP BY body": "ai_summarize_agg; model m; adapter of the row",
	} {
		if got := d.plan(sql); !strings.Contains(got, want) {
			t.Errorf("%s: %s", sql, got)
		}
	}
	if ran := d.engine.take(); ran != nil {
		t.Errorf("computed %v", ran)
	}
	if got := d.plan("EXPLAIN ANALYZE SELECT ai_agg(body, 'i', max_tokens := 2) FROM t GROUP BY id % 2"); !strings.Contains(got, "ai_agg; 2 rows in; 2 distinct; ") {
		t.Error(got)
	}
	d.must("PREPARE q AS SELECT ai_agg(body, $1, max_tokens := $2) FROM t WHERE id < 2")
	if ran := d.engine.take(); len(ran) == 0 {
		t.Error("nothing was computed by EXPLAIN ANALYZE")
	}
	if rows := d.must("EXECUTE q('i', 5)"); len(rows) != 1 {
		t.Error(rows)
	}
	if ran := d.engine.take(); fmt.Sprint(ran) != "[1]" {
		t.Errorf("batches %v", ran)
	}
}

// TestAggLimits: what bounds a statement bounds its groups, and one deadline is for all levels of a group.
func TestAggLimits(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, 'p' || i AS body FROM range(40) r(i)")
	d.must("SET ai_max_rows = 9")
	d.must("SELECT ai_agg(body, 'i') FROM t GROUP BY id % 9")
	for _, sql := range []string{"SELECT ai_agg(body, 'i') FROM t GROUP BY id % 10", "SELECT completion FROM generate_rows('SELECT body AS prompt FROM t')"} {
		if _, err := d.query(d.conn, sql); err == nil || !strings.Contains(err.Error(), "[BUDGET_EXCEEDED]") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	d.engine.limit, d.engine.brief = 60, true
	d.must("SET ai_max_rows = 3") // three parts, and the answer from them
	if _, err := d.query(d.conn, "SELECT ai_agg(body, 'i', max_tokens := 3) FROM t"); err == nil || !strings.Contains(err.Error(), "[BUDGET_EXCEEDED]") {
		t.Error(err)
	}
	d.must("RESET ai_max_rows")
	d.engine.setStep(5 * time.Millisecond)
	if _, err := d.query(d.conn, "SELECT ai_agg(body, 'i', max_tokens := 3, timeout_ms := 1) FROM t"); err == nil || !strings.Contains(err.Error(), "[TIMEOUT] timeout_ms has passed after 3 partial answers") {
		t.Error(err)
	}
	d.answers("SELECT ai_agg(body, 'i', max_tokens := 3, timeout_ms := 60000) FROM t", "5")
}
