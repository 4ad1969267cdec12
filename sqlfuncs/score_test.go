package sqlfuncs

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

func TestScoringAnswers(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a good one', ['good','bad']), (2, 'bad!', ['good','bad']), (3, 'x', ['bad','good','bad',NULL]), (4, NULL, ['good']), (5, 'y', NULL), (6, 'z', []), (7, 'z', [NULL])) v(id, body, labels)")
	for _, c := range []struct{ sql, want string }{
		{"SELECT logprob('m', 'p', 'abc'), typeof(logprob('m', 'p', 'abc')), logprob('m', 'p', 'p')", "-2.0|DOUBLE|-0.5"},
		{"SELECT logprob('m', 'p', 'abcd') = (-1 - 4/3::DOUBLE), logprob('m', 'p', 'abcd', raw := true, adapter := 'polite') < 0", "true|true"},
		{"SELECT logprob(NULL, 'p', 'c'), logprob('m', NULL, 'c'), logprob('m', 'p', NULL)", "NULL|NULL|NULL"},
		{"SELECT logprob('m', '', 'abc')", "-2.0"},
		{"SELECT id, ai_classify(body, labels) FROM t ORDER BY id", "1|good,2|bad,3|bad,4|NULL,5|NULL,6|NULL,7|NULL"},
		{"SELECT ai_classify('the second', ['first', 'second'], instruction := 'Which?', model := 'm', adapter := 'polite')", "second"},
		{"SELECT ai_classify('x', ['a', 'b']), ai_classify('x', ['b', 'a', 'b'])", "a|a"},
		{"SELECT ai_classify('(the first argument)', ['first', 'last'])", "first"},
		{"SELECT ai_classify('x', NULL), ai_classify(NULL, ['a']), ai_classify('x', []), ai_classify('x', ['', NULL]), ai_classify('x', ['a'], model := NULL)", "NULL|NULL|NULL|NULL|NULL"},
		{"SELECT typeof(ai_classify_probs('x', ['b', 'a'])), ai_classify_probs('x', ['b', 'a'])", "MAP(VARCHAR, DOUBLE)|{a=0.5, b=0.5}"},
		{"SELECT id, map_keys(ai_classify_probs(body, labels)) FROM t ORDER BY id", "1|[bad, good],2|[bad, good],3|[bad, good],4|NULL,5|NULL,6|NULL,7|NULL"},
		{"SELECT abs(list_sum(map_values(ai_classify_probs('b', ['a', 'b', 'ccc']))) - 1) < 1e-12", "true"},
		{"SELECT ai_classify_probs('b', ['a', 'b'])['b'] > 0.6", "true"},
		{"SELECT ai_filter('yes, it is', 'it is'), ai_filter('no, never', 'it is'), ai_filter(NULL, 'p'), ai_filter('t', NULL)", "true|false|NULL|NULL"},
		{"SELECT typeof(ai_filter('x', 'p')), typeof(ai_filter_prob('x', 'p')), ai_filter_prob('x', 'p') BETWEEN 0.3 AND 0.5", "BOOLEAN|DOUBLE|true"},
		{"SELECT id FROM t WHERE ai_filter(coalesce('yes' || body, 'no'), 'p') ORDER BY id", "1,2,3,5,6,7"},
		{"SELECT id FROM t WHERE NOT ai_filter(body, 'p') AND id < 4 ORDER BY id", "1,2,3"},
		{"SELECT CASE WHEN ai_filter(body || 'yes', 'p') THEN ai_filter_prob(body, 'p') > 0.9 ELSE true END FROM t WHERE id = 1", "false"},
		{"SELECT id, p > 0.5, ai_classify(body, labels) FROM (SELECT id, body, labels, ai_filter_prob('yes' || body, 'p') AS p FROM t) ORDER BY id DESC LIMIT 2 OFFSET 4", "3|true|bad,2|true|bad"},
		{"SELECT max(ai_filter_prob(body, 'p')) > 0, count(*) FILTER (WHERE ai_filter(body || 'yes', 'p')) FROM t", "true|6"},
		{"SELECT list_transform(['yes', 'no'], lambda x: ai_filter(x, 'p')), list_transform(['b'], lambda x: ai_classify_probs(x, ['b']))", "[true, false]|[{b=1.0}]"},
		{"SELECT a.id FROM t a JOIN t b ON a.id = b.id AND ai_filter(a.body, 'p') IS NOT NULL WHERE b.id < 3 ORDER BY 1", "1,2"},
		{"SELECT ai_classify(ai_classify('a', ['a', 'b']), ['a', 'c'])", "a"},
	} {
		d.answers(c.sql, c.want)
	}
	for _, set := range []string{"SET disabled_optimizers = 'extension'", "PRAGMA disable_optimizer"} {
		d.must(set)
		d.answers("SELECT ai_classify_probs('x', ['b', 'a']), ai_filter('yes', 'p'), logprob('m', 'p', 'abc') FROM t LIMIT 1", "{a=0.5, b=0.5}|true|-2.0")
	}
}

// Any label comes back as it was given.
func TestLabelsOfEveryKind(t *testing.T) {
	d := openTestDB(t)
	d.must(`CREATE TABLE l AS SELECT ['a, b', 'x=y', '{z}', 'q"r', 'it''s', 'back\slash', 'end\', 'NULL', ' sp ', chr(10) || 'nl', '[1]', '(', 'ü€', '\"'] AS labels`)
	d.answers("SELECT map_keys(ai_classify_probs('x', labels)) = list_sort(labels) FROM l", "true")
	d.answers("SELECT list_sort(labels) = list_sort(list_transform(labels, lambda x: ai_classify('about ' || x, [x, 'nothing of all that']))) FROM l", "true")
}

// How many rows reach the engine: as for generate, whatever the answer's type.
func TestScoredRowsToModel(t *testing.T) {
	d := openTestDB(t)
	d.must("SET threads = 2")
	d.must("CREATE TABLE t AS SELECT i AS id, i%100 AS cat, (i*7919)%10000 AS o, 'p'||i AS prompt FROM range(10000) r(i)")
	d.must("CREATE TABLE d AS SELECT i AS k, 'd'||i AS name FROM range(100) r(i)")
	d.must("CREATE TABLE dup AS SELECT 'p'||(i%10) AS prompt, CASE WHEN i%2=0 THEN ['a','b'] ELSE ['b','a'] END AS labels FROM range(10000) r(i)")
	for _, c := range []struct {
		sql  string
		want []int
	}{
		{"EXPLAIN SELECT ai_filter('x', 'p')", nil},
		{"SELECT ai_classify(prompt, ['a', 'b']) FROM dup", []int{10}},
		{"SELECT ai_classify_probs(prompt, labels) FROM dup", []int{10}},
		{"SELECT count(*) FROM dup WHERE ai_filter(prompt, 'p')", []int{10}},
		{"SELECT ai_classify(prompt, []) FROM t", nil},
		{"CREATE TABLE x AS SELECT ai_classify(prompt, labels) a, ai_classify_probs(prompt, labels) b, ai_filter(prompt, 'p') c, generate('m', prompt) d FROM dup", []int{30}},
		{"SELECT id, ai_filter_prob(prompt, 'p') FROM t ORDER BY o LIMIT 5", []int{5}},
		{"SELECT id, ai_classify_probs(prompt, ['a', 'b']) FROM t JOIN d ON t.cat = d.k ORDER BY o LIMIT 5", []int{5}},
		{"SELECT id, p FROM (SELECT id, o, logprob('m', prompt, 'x') AS p FROM t) ORDER BY o LIMIT 5", []int{5}},
		{"SELECT id, p FROM (SELECT id, o, logprob('m', prompt, 'x') AS p FROM t WHERE cat = 7) ORDER BY p LIMIT 5", []int{100}},
		{"SELECT id FROM t WHERE ai_filter(prompt, 'p') AND id % 3 = 0", []int{3334}},
		{"SELECT count(*) FROM (SELECT ai_filter(prompt, 'p') FROM t)", nil},
		{"SELECT ai_filter(name, 'p') FROM t INNER JOIN d ON t.cat = d.k", []int{100}},
	} {
		d.asks(c.sql, c.want)
	}
}

func TestScoringErrors(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, CASE WHEN i = 7 THEN 'fail' ELSE 'p'||i END AS prompt FROM range(100) r(i)")
	for _, c := range []struct{ sql, want string }{
		{"SELECT logprob('mm', 'x', 'y')", "[MODEL_NOT_FOUND]"},
		{"SELECT ai_filter('x', 'p', model := 'mm')", "[MODEL_NOT_FOUND]"},
		{"SELECT ai_classify('x', ['a'], adapter := 'rude')", "[ADAPTER_NOT_FOUND]"},
		{"SELECT logprob('m', 'x', '')", "[INVALID_ARGUMENT] the continuation is empty"},
		{"SELECT logprob('m', 'x', 'y', temperature := 1)", "there is no option"},
		{"SELECT ai_classify('x', ['a'], lables := ['b'])", "ai_classify: there is no option lables"},
		{"SELECT ai_classify('x', 'a')", "ai_classify: labels must be VARCHAR[], not VARCHAR"},
		{"SELECT ai_classify('x', ['a'], 'm')", "it takes (text, labels) and then"},
		{"SELECT ai_filter('x', 'p', max_tokens := 1)", "ai_filter: there is no option max_tokens"},
		{"SELECT ai_filter('x', 'p', on_error := 'maybe')", "[INVALID_ARGUMENT] on_error"},
		{"SELECT ai_filter(prompt, 'p', on_error := 'fail') FROM t", "[CONTEXT_OVERFLOW] prompt too long"},
		{"SELECT ai_classify_probs(prompt, ['a']) FROM t WHERE id IN (7, 8)", "(1 of 2 rows failed"},
	} {
		_, err := d.query(d.conn, c.sql)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.sql, err, c.want)
		}
	}
	d.answers("SELECT count(*) FROM (SELECT ai_filter_prob(prompt, 'p') AS g, ai_classify_probs(prompt, ['a']) AS h FROM t) WHERE g IS NULL AND h IS NULL", "1")
}

// Numbers come through text with every bit.
func TestNumbersAreExact(t *testing.T) {
	d := openTestDB(t)
	for _, v := range []float64{-1.0 / 3, -0.1, -123.45600000000001, -5e-324, math.Inf(-1), -math.MaxFloat64} {
		text := *float(v)
		got := d.must("SELECT printf('%.17g', '" + text + "'::DOUBLE)")
		if back, err := strconv.ParseFloat(got[0], 64); err != nil || back != v {
			t.Errorf("%s came back as %s; %v", text, got[0], err)
		}
	}
}

// counts is what one statement recorded.
type counts struct {
	mu       sync.Mutex
	expected []string
	rows     int
	failed   int
}

func (c *counts) Expect(function, model string, rows, distinct int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected = append(c.expected, function+" "+model+" "+strconv.Itoa(rows)+" "+strconv.Itoa(distinct))
}

func (c *counts) Row(_ string, done inference.Completion, rows int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows += rows
	if done.Err != nil {
		c.failed += rows
	}
}

func TestScoringIsRecorded(t *testing.T) {
	h := &handler{Deps: Deps{Engine: &countingEngine{}, Registry: fakeRegistry{}}}
	text := func(s string) operator.Arg { return operator.Arg{Kind: operator.Text, Text: s} }
	labels := func(l ...string) operator.Arg { return operator.Arg{Kind: operator.List, List: l} }
	none := make([]operator.Arg, len(classifyOptions)-1)
	var calls []operator.Call
	for _, row := range [][]operator.Arg{
		{text("m"), text("x"), labels("a", "b")}, {text("m"), text("x"), labels("b", "a", "")},
		{text("m"), text("fail"), labels("a")}, {text("m"), text("x"), labels("")},
	} {
		calls = append(calls, operator.Call{Fn: fnClassify, Args: slices.Concat(row, none)})
	}
	rec := &counts{}
	answers := make([]operator.Answer, len(calls))
	err := h.Run(WithRecorder(context.Background(), rec), calls, func(i int, a operator.Answer) { answers[i] = a })
	if err != nil || !slices.Equal(rec.expected, []string{"ai_classify m 3 0", "ai_classify m 0 2"}) || rec.rows != 3 || rec.failed != 1 {
		t.Errorf("%+v, %v", rec.expected, err)
	}
	if answers[0].Text != "a" || answers[1].Text != "a" || answers[2].Err == nil || !answers[3].Null {
		t.Errorf("%+v", answers)
	}
}
