package sqlfuncs

import (
	"reflect"
	"strings"
	"sync"
	"testing"

	"hyprstream/inference"
)

func TestEmbed(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, i%30 AS cat, (i*7919)%3000 AS o, 'p'||i AS body FROM range(3000) r(i)")
	d.must("CREATE TABLE b AS SELECT i AS id, 'n'||i AS nm FROM range(0,3000,100) r(i)")
	d.must("CREATE TABLE kept(id INTEGER, v FLOAT[])")
	d.must("INSERT INTO kept SELECT id, embed('m', body) FROM t WHERE id < 2")
	d.must("UPDATE kept SET v = embed('xyz') WHERE id = 1")
	d.must("CREATE VIEW near AS SELECT id, embed('m', body) AS v FROM t")
	d.must("PREPARE q AS SELECT embed($1, body)[1]::VARCHAR FROM t WHERE id = $2")
	for _, c := range []struct{ sql, want string }{
		{"SELECT embed('m', 'hey')", "[3.0, 121.0, 1.1754944e-38]"},
		{"SELECT typeof(embed('m', 'hey')), typeof(embed('hey')), typeof(embed(NULL))", "FLOAT[]|FLOAT[]|FLOAT[]"},
		{"SELECT embed('hey')[1], embed('m', '')[1]", "3.0|0.0"},
		{"SELECT embed('m', NULL), embed(NULL, 'x'), embed(NULL)", "NULL|NULL|NULL"},
		{"SELECT embed('m', CASE WHEN id = 1 THEN body END)[1] FROM t WHERE id < 3 ORDER BY id", "NULL,2.0,NULL"},
		{"SELECT id, embed('m', body) FROM t ORDER BY o LIMIT 2", "0|[2.0, 48.0, 1.1754944e-38],1679|[5.0, 57.0, 1.1754944e-38]"},
		{"SELECT id, v FROM (SELECT id, o, v FROM (SELECT *, embed('m', body) AS v FROM t) ORDER BY o LIMIT 4) WHERE v[2] = 57 ORDER BY id", "1679|[5.0, 57.0, 1.1754944e-38]"},
		{"SELECT a.v, nm FROM (SELECT id, embed('m', body) v FROM t WHERE cat < 20) a JOIN b USING (id) WHERE id < 200 ORDER BY id", "[2.0, 48.0, 1.1754944e-38]|n0,[4.0, 48.0, 1.1754944e-38]|n100"},
		{"SELECT nm, len(v) FROM b LEFT JOIN (SELECT id, embed('m', body) v FROM t WHERE cat < 20) a USING(id) WHERE b.id < 300 ORDER BY b.id", "n0|3,n100|3,n200|NULL"},
		{"SELECT id FROM t ORDER BY similarity(embed('m', body), embed('m', 'p7')) DESC, id LIMIT 2", "7,8"},
		{"SELECT CASE WHEN id = 0 THEN embed('m', body) WHEN id = 1 THEN [9] END FROM t WHERE id < 3 ORDER BY id", "[2.0, 48.0, 1.1754944e-38],[9.0],NULL"},
		{"SELECT coalesce(embed('m', CASE WHEN id = 1 THEN body END), [0.5::FLOAT]) FROM t WHERE id < 2 ORDER BY id", "[0.5],[2.0, 49.0, 1.1754944e-38]"},
		{"SELECT list(embed('m', body)[2] ORDER BY id) FILTER (WHERE id < 2) FROM t", "[48.0, 49.0]"},
		{"SELECT count(DISTINCT embed('m', body)) FROM t WHERE id < 20", "20"},
		{"SELECT list_transform(['ab', 'c'], lambda x: embed('m', x)[1])", "[2.0, 1.0]"},
		{"SELECT embed('m', generate('m', 'x'))[1]", "5.0"},
		{"SELECT generate('m', embed('m', 'x')::VARCHAR)", "<m:[1.0, 120.0, 1.1754944e-38]>"},
		{"SELECT embed('m', 'x')[1], generate('m', 'x') FROM t LIMIT 1", "1.0|<m:x>"},
		{"SELECT v, g FROM (SELECT embed('m', body) v, generate('m', body) g, o FROM t) ORDER BY o LIMIT 1", "[2.0, 48.0, 1.1754944e-38]|<m:p0>"},
		{"SELECT embed('m', 'x')[1] UNION ALL SELECT embed('m', 'xy')[1]", "1.0,2.0"},
		{"SELECT * FROM kept ORDER BY id", "0|[2.0, 48.0, 1.1754944e-38],1|[3.0, 122.0, 1.1754944e-38]"},
		{"SELECT v[1] FROM near WHERE id = 10", "3.0"},
		{"EXECUTE q('m', 11)", "3.0"},
		{"SELECT similarity([1, 0], [0.0, 2.0]), similarity([1, 2], [2.0::FLOAT, 4]), similarity([1, 0]::FLOAT[2], [-1, 0]::FLOAT[2])", "0.0|1.0|-1.0"},
		{"SELECT typeof(similarity([1], [1])), similarity(NULL, [1]), similarity(embed('m', NULL), embed('m', 'x'))", "DOUBLE|NULL|NULL"},
	} {
		d.answers(c.sql, c.want)
	}
	d.must("PRAGMA disable_optimizer")
	d.answers("SELECT embed('m', body) FROM t WHERE id < 2 ORDER BY id", "[2.0, 48.0, 1.1754944e-38],[2.0, 49.0, 1.1754944e-38]")
}

func TestEmbedRowsToModel(t *testing.T) {
	d := openTestDB(t)
	d.must("SET threads = 2")
	d.must("CREATE TABLE t AS SELECT i AS id, (i*7919)%10000 AS o, 'p'||i AS body, 'p'||(i%10) AS dup FROM range(10000) r(i)")
	for _, c := range []struct {
		sql  string
		want []int
	}{
		{"EXPLAIN SELECT embed('m', body) FROM t", nil},
		{"SELECT embed('m', dup) FROM t", []int{10}},
		{"SELECT id, embed('m', body) FROM t ORDER BY o LIMIT 5", []int{5}},
		{"SELECT embed('m', body) FROM t LIMIT 5", []int{5}},
		{"SELECT id FROM t ORDER BY similarity(embed('m', dup), embed('m', 'p3')) DESC LIMIT 5", []int{10}},
		{"SELECT id FROM t WHERE similarity(embed('m', body), [1, 2, 3]) > 2 AND id % 100 = 0", []int{100}},
		{"SELECT count(*) FROM (SELECT embed('m', body) AS v FROM t)", nil},
		{"SELECT embed('m', dup), embed('n', dup) FROM t", []int{10, 10}},
	} {
		d.asks(c.sql, c.want)
	}
	plan := d.plan("EXPLAIN SELECT embed('m', body) FROM t")
	if !strings.Contains(plan, "INFERENCE; Calls:; embed; model m") {
		t.Errorf("the operator is not in %s", plan)
	}
}

func TestEmbedErrors(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, CASE WHEN i = 7 THEN 'fail' ELSE 'p'||i END AS body FROM range(100) r(i)")
	for _, c := range []struct{ sql, want string }{
		{"SELECT embed('mm', 'x')", `[MODEL_NOT_FOUND] no model "mm"; did you mean "m"?`},
		{"SELECT embed('m', 42)", "embed: text must be VARCHAR, not INTEGER"},
		{"SELECT embed('m', 'x', adapter := 'polite')", "embed: there is no option adapter"},
		{"SELECT embed('m', 'x', on_error := 'maybe')", "[INVALID_ARGUMENT] on_error"},
		{"SELECT embed('m', body) FROM t WHERE id IN (7, 8)", "[CONTEXT_OVERFLOW] text too long (1 of 2 rows failed"},
		{"SELECT embed('m', body, on_error := 'fail') FROM t", "[CONTEXT_OVERFLOW] text too long"},
		{"SELECT similarity([1, 2], [1, 2, 3])", "the vectors have 2 and 3 numbers; embed both with one model"},
	} {
		if _, err := d.query(d.conn, c.sql); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.sql, err, c.want)
		}
	}
	d.answers("SELECT count(*) FROM (SELECT embed('m', body) AS v FROM t) WHERE v IS NULL", "1")
}

// usage notes what a statement's recorder hears.
type usage struct {
	mu                           sync.Mutex
	rows, distinct, done, tokens int
	functions                    map[string]bool
}

func (u *usage) Expect(function, _ string, rows, distinct int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.functions[function] = true
	u.rows, u.distinct = u.rows+rows, u.distinct+distinct
}

func (u *usage) Row(function string, c inference.Completion, rows int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.functions[function] = true
	u.done, u.tokens = u.done+rows, u.tokens+c.PromptTokens
}

func TestEmbedUsage(t *testing.T) {
	d := openTestDB(t)
	u := &usage{functions: map[string]bool{}}
	d.ctx = WithRecorder(t.Context(), u)
	d.must("SELECT embed('m', 'x' || (i % 4)) FROM range(40) r(i)")
	if u.rows != 40 || u.distinct != 4 || u.done != 40 || u.tokens != 8 || !reflect.DeepEqual(u.functions, map[string]bool{"embed": true}) {
		t.Errorf("rows %d, distinct %d, done %d, tokens %d, functions %v", u.rows, u.distinct, u.done, u.tokens, u.functions)
	}
}
