package sqlfuncs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// TestAnswers checks values: one row a line, cells joined by "|".
func TestAnswers(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, i%30 AS cat, (i*7919)%3000 AS o, 'p'||i AS prompt FROM range(3000) r(i)")
	d.must("CREATE TABLE b AS SELECT i AS id, 'n'||i AS nm FROM range(0,3000,100) r(i)")
	for _, c := range []struct{ sql, want string }{
		{"SELECT generate('m', 'hi')", "<m:hi>"},
		{"SELECT generate('hi')", "<:hi>"},
		{"SELECT generate('m', 'hi', max_tokens := 8, stop := ['a','b'], temperature := 0)", "<m:hi>"},
		{"SELECT generate('m', NULL)", "NULL"},
		{"SELECT generate(NULL, 'x')", "NULL"},
		{"SELECT generate('m', '')", "<m:>"},
		{`SELECT generate('m', NULL, messages := '[{"role":"user","content":"hey"}]')`, "<m:>user=hey;"},
		{"SELECT upper(generate('m', generate('n', 'x')))", "<M:<N:X>>"},
		{"SELECT generate('a', generate('b', generate('m', prompt))), generate('k', prompt) FROM t WHERE id < 2 ORDER BY id", "<a:<b:<m:p0>>>|<k:p0>,<a:<b:<m:p1>>>|<k:p1>"},
		{"SELECT id FROM t WHERE cat = 7 AND generate('m', prompt) = '<m:p37>'", "37"},
		{"SELECT prompt, generate('m', prompt) FROM t ORDER BY o LIMIT 2", "p0|<m:p0>,p1679|<m:p1679>"},
		{"SELECT prompt, nm, generate('m', prompt||nm) FROM t JOIN b USING(id) ORDER BY id LIMIT 2", "p0|n0|<m:p0n0>,p100|n100|<m:p100n100>"},
		{"SELECT nm, g FROM b LEFT JOIN (SELECT id, generate('m', prompt) g FROM t WHERE cat < 20) a USING(id) WHERE b.id < 300 ORDER BY b.id", "n0|<m:p0>,n100|<m:p100>,n200|NULL"},
		{"SELECT CASE WHEN id<1 THEN generate('m', prompt) WHEN id=2 THEN 'two' ELSE generate('e', prompt) END FROM t WHERE id<3 ORDER BY id", "<m:p0>,<e:p1>,two"},
		{"SELECT CASE WHEN generate('m', prompt) = '<m:p0>' THEN 'first' ELSE generate('e', prompt) END FROM t WHERE id<2 ORDER BY id", "first,<e:p1>"},
		{"SELECT CASE WHEN random() < 2 THEN generate('m', prompt) END FROM t WHERE id < 1", "<m:p0>"},
		{"SELECT coalesce(CASE WHEN id=0 THEN 'x' END, generate('m', prompt)) FROM t WHERE id<2 ORDER BY id", "x,<m:p1>"},
		{"SELECT coalesce(generate('m', CASE WHEN id=0 THEN 'x' END), generate('n', prompt)) FROM t WHERE id<2 ORDER BY id", "<m:x>,<n:p1>"},
		{"SELECT id FROM t WHERE id < 3 AND (id = 1 OR generate('m', prompt) = '<m:p2>') ORDER BY id", "1,2"},
		{"SELECT string_agg(generate('m', prompt), ',' ORDER BY id) FILTER (WHERE id < 2) FROM t WHERE id < 5", "<m:p0>,<m:p1>"},
		{"SELECT generate('m', cat::VARCHAR) g, count(*) FROM t WHERE id < 60 AND cat < 2 GROUP BY g ORDER BY g", "<m:0>|2,<m:1>|2"},
		{"SELECT list_transform([1,2], lambda x: generate('m', x::VARCHAR))", "['<m:1>', '<m:2>']"},
		{"SELECT * FROM (VALUES (generate('m', 'a')), (generate('m', 'b'))) ORDER BY 1", "<m:a>,<m:b>"},
		{"SELECT count(*) FROM b x JOIN b y ON x.id = y.id AND generate('m', x.nm||y.nm) = '<m:n0n0>'", "1"},
		{"SELECT count(*) FROM b x LEFT JOIN b y ON generate('m', x.nm||y.nm) = '<m:n0n0>' WHERE x.id < 200 AND (y.id IS NULL OR y.id < 300)", "2"},
		{"SELECT id FROM b WHERE EXISTS (SELECT 1 FROM t WHERE t.id = b.id AND generate('m', t.prompt||b.nm) LIKE '%p2900%')", "2900"},
		{"SELECT id, generate('m', prompt) FROM t WHERE cat < 2 QUALIFY row_number() OVER (PARTITION BY cat ORDER BY id) <= 1 ORDER BY id", "0|<m:p0>,1|<m:p1>"},
		{"SELECT row_number() OVER (ORDER BY generate('m', prompt)) FROM t WHERE id < 2", "1,2"},
		{"SELECT id, w, max(w) OVER () FROM (SELECT id, max(generate('m', prompt)) OVER (ORDER BY generate('n', prompt) DESC) w FROM t WHERE id < 3) ORDER BY id", "0|<m:p2>|<m:p2>,1|<m:p2>|<m:p2>,2|<m:p2>|<m:p2>"},
		{"SELECT id, count(generate('m', prompt)) FILTER (WHERE generate('n', prompt) > '<n:p0>') OVER (), sum(id) OVER (PARTITION BY generate('m', cat::VARCHAR)) FROM t WHERE id < 3 ORDER BY id", "0|2|0,1|2|1,2|2|2"},
		{"SELECT lag(generate('m', prompt), 1, generate('n', 'none')) OVER (ORDER BY id) FROM t WHERE id < 2", "<n:none>,<m:p0>"},
		{"SELECT * FROM (SELECT id FROM t WHERE id < 3 ORDER BY generate('m', prompt) DESC) UNION ALL SELECT row_number() OVER (ORDER BY generate('m', prompt)) FROM t WHERE id < 1", "2,1,0,1"},
		{"SELECT t.id, b.nm FROM t JOIN b ON generate('m', t.prompt) = '<m:p' || b.id || '>' WHERE t.id < 200 ORDER BY t.id", "0|n0,100|n100"},
		{"SELECT b.id, x.nm FROM b LEFT JOIN (SELECT * FROM b WHERE id > 100) x ON generate('m', b.nm) = generate('m', x.nm) WHERE b.id < 300 ORDER BY b.id", "0|NULL,100|NULL,200|n200"},
		{"SELECT x.id FROM b x JOIN t y ON x.id = y.id WHERE generate('m', x.nm) = 'a' AND (SELECT count(*) FROM b z WHERE z.id = y.id AND generate('m', z.nm) = 'x') > x.id", ""},
		{"SELECT count(*) FROM b x FULL JOIN b y ON generate('m', x.nm) = generate('m', y.nm) AND x.id > 1000", "41"},
		{"SELECT id FROM b WHERE generate('m', nm) NOT IN (SELECT generate('m', nm) FROM b WHERE id > 200) ORDER BY id", "0,100,200"},
		{"SELECT x.id FROM b x ASOF JOIN b y ON x.id >= y.id AND generate('m', x.nm) = generate('m', y.nm) WHERE x.id < 200 ORDER BY 1", "0,100"},
		{"SELECT x.id FROM b x JOIN b y ON generate('m', x.nm) < generate('m', y.nm) AND x.id > y.id WHERE x.id < 1100 AND y.id < 1100 AND x.id = 1000 ORDER BY y.id", "1000,1000,1000,1000,1000,1000,1000,1000,1000"},
		{"SELECT cat, max(prompt) FROM t WHERE id < 60 GROUP BY cat HAVING generate('m', max(prompt)) = '<m:p9>'", "9|p9"},
		{"WITH RECURSIVE r AS (SELECT 1 AS d, 'x' AS s UNION ALL SELECT d+1, generate('m', s) FROM r WHERE d < 3) SELECT s FROM r", "x,<m:x>,<m:<m:x>>"},
		{"SELECT (SELECT generate('m', max(prompt)) FROM t)", "<m:p999>"},
		{"SELECT id, (SELECT generate('m', t.prompt)) FROM t WHERE id < 2 ORDER BY id", "0|<m:p0>,1|<m:p1>"},
		{"SELECT generate('m', prompt) FROM t WHERE id = 1 UNION ALL SELECT generate('n', prompt) FROM t WHERE id = 2", "<m:p1>,<n:p2>"},
		{"SELECT DISTINCT generate('m', cat::VARCHAR) g FROM t WHERE cat < 2 ORDER BY g", "<m:0>,<m:1>"},
		{"SELECT id FROM t WHERE id < 3 ORDER BY generate('m', prompt) DESC", "2,1,0"},
		{"SELECT count_tokens('m', 'a b c'), count_tokens('a'), count_tokens('m', NULL)", "3|1|NULL"},
		{"SELECT sum(count_tokens('m', prompt)) FROM t", "3000"},
		{"SELECT text, finish_reason, model FROM generate('m', 'hi', n := 2)", "<m:hi>|stop|m,<m:hi>|stop|m"},
		{`SELECT text FROM generate(messages := '[{"role":"user","content":"x"}]')`, "<:>user=x;"},
		{"SELECT text FROM generate('m', NULL)", ""},
		{"SELECT seq, text, done FROM generate_stream('m', 'one two')", "0|one |false,1|two|false,99||true"},
		{"SELECT generate('m', text) FROM generate_stream('m', 'one two') WHERE NOT done", "<m:one >,<m:two>"},
		{"SELECT generate('m', prompt, adapter := 'polite:0.5') FROM t WHERE id = 0", "<m:p0>"},
		{"SELECT generate('m', prompt, adapter := ['polite']) FROM t WHERE id = 0", "<m:p0>"},
		{"SELECT generate('m', 'a' || chr(0) || 'b') = '<m:a' || chr(0) || 'b>'", "true"},
		{"CREATE MODEL x FROM 'y'", "ran CREATE MODEL x FROM 'y'"},
	} {
		d.answers(c.sql, c.want)
	}
}

func TestWrites(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, 'p'||i AS prompt FROM range(5) r(i)")
	d.must("CREATE TABLE x(a VARCHAR)")
	d.must("INSERT INTO x VALUES (generate('m', 'lit'))")
	d.must("INSERT INTO x SELECT generate('m', prompt) FROM t WHERE id = 3")
	d.must("UPDATE x SET a = generate('u', a) WHERE a = '<m:p3>'")
	d.must("CREATE TABLE y AS SELECT id, generate('m', prompt) g FROM t")
	d.must("DELETE FROM y WHERE generate('d', g) = '<d:<m:p4>>'")
	d.must("MERGE INTO y USING (SELECT id, generate('z', prompt) g FROM t WHERE id = 0) s ON y.id = s.id WHEN MATCHED THEN UPDATE SET g = s.g")
	d.must("CREATE VIEW v AS SELECT id, generate('v', prompt) g FROM t")
	d.must("CREATE MACRO summ(s) AS generate('m', 'sum: ' || s)")
	d.must("PREPARE q AS SELECT generate($1, prompt) FROM t WHERE id = $2")
	for _, c := range []struct{ sql, want string }{
		{"SELECT a FROM x ORDER BY a", "<m:lit>,<u:<m:p3>>"},
		{"SELECT g FROM y ORDER BY id", "<z:p0>,<m:p1>,<m:p2>,<m:p3>"},
		{"SELECT g FROM v WHERE id = 2", "<v:p2>"},
		{"SELECT summ(prompt) FROM t WHERE id = 1", "<m:sum: p1>"},
		{"EXECUTE q('a', 1)", "<a:p1>"},
		{"EXECUTE q('b', 2)", "<b:p2>"},
		{"INSERT INTO x VALUES ('q') RETURNING generate('r', a)", "<r:q>"},
	} {
		d.answers(c.sql, c.want)
	}
}

// TestRowsToModel: how many distinct rows reach the engine, in how many batches.
func TestRowsToModel(t *testing.T) {
	d := openTestDB(t)
	d.must("SET threads = 2")
	d.must("CREATE TABLE t AS SELECT i AS id, i%100 AS cat, (i*7919)%10000 AS o, 'p'||i AS prompt FROM range(10000) r(i)")
	d.must("CREATE TABLE d AS SELECT i AS k, 'd'||i AS name FROM range(100) r(i)")
	d.must("CREATE TABLE dup AS SELECT 'p'||(i%10) AS prompt FROM range(10000) r(i)")
	const G = "generate('m', prompt)"
	for _, c := range []struct {
		sql  string
		want []int
	}{
		{"EXPLAIN SELECT generate('m','hi')", nil},
		{"SELECT generate('m','hi')", []int{1}},
		{"SELECT generate('m','hi') FROM t", []int{1}},
		{"SELECT " + G + " FROM t LIMIT 5", []int{5}},
		{"SELECT " + G + " FROM t LIMIT 5 OFFSET 9000", []int{5}},
		{"SELECT id, " + G + " FROM t ORDER BY o LIMIT 5", []int{5}},
		{"SELECT id, " + G + " FROM t ORDER BY o LIMIT 100", []int{100}},
		{"SELECT " + G + " FROM t ORDER BY prompt LIMIT 5", []int{5}},
		{"SELECT id, " + G + " FROM t JOIN d ON t.cat = d.k ORDER BY o LIMIT 5", []int{5}},
		{"SELECT id FROM t WHERE id % 3 = 0 AND " + G + " = 'x'", []int{3334}},
		{"SELECT id FROM t WHERE " + G + " = 'x' AND id % 3 = 0", []int{3334}},
		{"SELECT " + G + " FROM t WHERE cat = 7", []int{100}},
		{"SELECT " + G + " FROM t USING SAMPLE 10 ROWS", []int{10}},
		{"SELECT " + G + " FROM dup", []int{10}},
		{"SELECT count(*) FROM (SELECT " + G + " AS g FROM t)", nil},
		{"SELECT string_agg(" + G + ") FILTER (WHERE cat = 7) FROM t", []int{100}},
		{"SELECT generate('m', name) FROM t INNER JOIN d ON t.cat = d.k", []int{100}},
		{"SELECT id FROM t WHERE cat = 7 AND (id < 5000 OR " + G + " = 'x')", []int{50}},
		{"SELECT CASE WHEN id < 2 THEN " + G + " END FROM t", []int{2}},
		{"SELECT CASE WHEN nullif(cat, 7) < 7 AND " + G + " = 'x' THEN 1 END FROM t", []int{700}}, // NULL is as good as false
		{"SELECT nullif(cat, 7) < 7 AND " + G + " = 'x' FROM t WHERE cat < 9", []int{800}},        // and here it is not
		{"SELECT coalesce(prompt, " + G + ") FROM t", nil},
		{"SELECT id, " + G + ", length(" + G + ") FROM t WHERE cat = 7", []int{100}},
		{"SELECT upper(" + G + "), lower(" + G + ") FROM t", []int{10000}},
		{"SELECT " + G + " FROM t WHERE cat = 7 AND " + G + " LIKE '<%'", []int{100}},
		{"SELECT id FROM t WHERE cat = 7 AND " + G + " IN ('a', 'b', 'c')", []int{100}},
		{"SELECT CASE " + G + " WHEN 'a' THEN 1 WHEN 'b' THEN 2 END FROM t WHERE cat = 7", []int{100}},
		{"SELECT DISTINCT " + G + " FROM dup", []int{10}},
		{"SELECT " + G + " AS g, count(*) FROM dup GROUP BY g", []int{10}},
		{"SELECT generate('m', d.name) FROM t LEFT JOIN d ON t.cat = d.k", []int{100}},
		{"SELECT id FROM t LEFT JOIN d ON t.cat = d.k WHERE generate('m', d.name) = 'x'", []int{100}},
		{"WITH c AS (SELECT id, " + G + " AS g FROM t WHERE id < 1000) SELECT * FROM c a JOIN c b USING (id)", []int{1000}},
		{"WITH c AS NOT MATERIALIZED (SELECT id, " + G + " AS g FROM t WHERE id < 1000) SELECT * FROM c a JOIN c b USING (id)", []int{1000}},
		{"WITH c AS MATERIALIZED (SELECT id, " + G + " AS g FROM t WHERE id < 1000) SELECT a.g, b.g FROM c a, c b WHERE a.id = b.id", []int{1000}},
		{"SELECT " + G + " FROM t WHERE id < 100 UNION ALL SELECT " + G + " FROM t WHERE id < 200", []int{100, 100}},
		// The predicate that is cheaper is asked first, the other for what it let through.
		{"SELECT id FROM t WHERE " + G + " LIKE '%7%' AND cat < 50 AND generate('n', prompt, max_tokens := 4) LIKE '%8%'", []int{5000, 1355}},
		{"SELECT id FROM (SELECT *, " + G + " AS g FROM t) WHERE g LIKE '%7%' AND cat < 50 AND generate('n', prompt, max_tokens := 4) LIKE '%8%'", []int{5000, 1355}},
		{"SELECT row_number() OVER (PARTITION BY generate('m', cat::VARCHAR) ORDER BY id) FROM t", []int{100}},
		{"SELECT count(" + G + ") FILTER (WHERE cat = 7) OVER () FROM t", []int{100}},
		{"SELECT id FROM t QUALIFY row_number() OVER (PARTITION BY cat ORDER BY generate('m', (id % 10)::VARCHAR)) = 1", []int{10}},
		{"SELECT count(*) FROM t JOIN d ON t.cat = d.k AND t.prompt = generate('m', d.name)", []int{100}},
		{"SELECT count(*) FROM t LEFT JOIN d ON t.prompt = generate('m', d.name)", []int{100}},
		{"SELECT count(*) FROM d WHERE name IN (SELECT generate('m', prompt) FROM t WHERE cat = 7)", []int{100}},
		{"SELECT count(*) FROM d WHERE generate('m', name) IN (SELECT prompt FROM t)", []int{100}},
		{"SELECT generate('m', prompt, temperature := 1) FROM dup LIMIT 20", []int{20}},
		{"SELECT generate('m', prompt, cache := 'off') FROM dup LIMIT 20", []int{20}},
		{"SELECT generate('m', prompt, cache := 'off', temperature := 1, seed := 7) FROM dup LIMIT 20", []int{20}},
		{"SELECT generate('m', prompt, cache := 'query') FROM dup", []int{10}},
		{"SELECT generate('m', prompt, cache := 'persistent') FROM dup", []int{10}},
		{"SELECT generate('m', prompt, cache := CASE WHEN prompt < 'p5' THEN 'persistent' END) FROM dup", []int{10}},
	} {
		d.asks(c.sql, c.want)
	}
}

func TestErrors(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, CASE WHEN i = 7 THEN 'fail' ELSE 'p'||i END AS prompt FROM range(100) r(i)")
	for _, c := range []struct{ sql, want string }{
		{"SELECT generate('mm', 'x')", `[MODEL_NOT_FOUND] no model "mm"; did you mean "m"?`},
		{"SELECT generate('m', 'x', adapter := 'rude')", "[ADAPTER_NOT_FOUND]"},
		{"SELECT generate('m', 'x', adapter := 5)", "adapter must be VARCHAR or VARCHAR[]"},
		{"SELECT generate('m', 'x', max_tokens := 'abc')", "generate: max_tokens must be INTEGER, not VARCHAR"},
		{"SELECT generate('m', 'x', max_tokns := 1)", "generate: there is no option max_tokns; did you mean max_tokens? Its options are messages, adapter, "},
		{"SELECT generate('m', 'x', 8)", "it takes (model, prompt) and then options by name, as in adapter := 'polite'; 3 arguments without a name are given. "},
		{"SELECT generate('m', 42)", "generate: prompt must be VARCHAR, not INTEGER"},
		{"SELECT generate('m', 'x', seed := 1.5)", "generate: seed must be BIGINT, not DECIMAL(2,1)"},
		{"SELECT generate('m', 'x', raw := 1)", "generate: raw must be BOOLEAN, not INTEGER"},
		{"SELECT generate('m', 'x', stop := 'a')", "generate: stop must be VARCHAR[], not VARCHAR"},
		{"SELECT generate('m', 'x', system := [1])", "generate: system must be VARCHAR, not INTEGER[]"},
		{"SELECT generate('m', 'x', qqqqqq := 1)", "generate: there is no option qqqqqq. Its options"},
		{"SELECT generate('m', 'x', seed := 1, SEED := 2)", "named argument repeated 'SEED'"},
		{"SELECT (SELECT max(generate('m', prompt, tempature := 1)) FROM t)", "did you mean temperature?"},
		{"CREATE TABLE u AS SELECT generate('m', prompt, tempature := 1) FROM t", "did you mean temperature?"},
		{"INSERT INTO t SELECT 1, generate('m', prompt, tempature := 1) FROM t", "did you mean temperature?"},
		{"EXPLAIN SELECT 1 FROM t ORDER BY generate('m', prompt, tempature := 1)", "did you mean temperature?"},
		{"SELECT * FROM t JOIN (WITH c AS (SELECT generate('m', 'p', tempature := 1) AS g) FROM c) ON true", "did you mean temperature?"},
		{"SELECT * FROM generate('m', 'x', max_tokens := 'abc')", "generate: max_tokens must be INTEGER, not VARCHAR"},
		{"SELECT generate('m', 'x', max_tokens := 0)", "[INVALID_ARGUMENT] max_tokens must be between"},
		{"SELECT generate('m', 'x', temperature := 'nan'::DOUBLE)", "[INVALID_ARGUMENT] temperature"},
		{"SELECT generate('m', 'x', stop := [''])", "[INVALID_ARGUMENT] stop"},
		{"SELECT generate('m', 'x', on_error := 'maybe')", "[INVALID_ARGUMENT] on_error"},
		{"EXPLAIN SELECT generate('m', 'x', cache := 'always')", "[INVALID_ARGUMENT] cache must be 'query', 'persistent' or 'off', not 'always'"},
		{"SELECT text FROM generate('m', 'x', cache := 'always')", "[INVALID_ARGUMENT] cache must be"},
		{"SELECT generate('m', 'x', cache := 7)", "generate: cache must be VARCHAR, not INTEGER"},
		{"SELECT text FROM generate_stream('m', 'x', cache := 'query')", "cache"},
		{"SELECT chat('s', 'x', cache := 'query')", "cache"},
		{"SELECT generate('m', 'x', messages := 'nonsense')", "[INVALID_ARGUMENT] messages"},
		{"SELECT generate('m', prompt, on_error := 'fail') FROM t", "[CONTEXT_OVERFLOW] prompt too long"},
		{"SELECT generate('m', prompt) FROM t WHERE id IN (7, 8)", "[CONTEXT_OVERFLOW] prompt too long (1 of 2 rows failed"},
		{"SELECT * FROM generate('mm', 'x')", "[MODEL_NOT_FOUND]"},
		{"SELECT * FROM generate('m', 'fail')", "[CONTEXT_OVERFLOW]"},
		{"SELECT * FROM generate('m', 'x', nn := 2)", "generate: there is no option nn; did you mean n? Its options"},
		{"CREATE MODEL bad", "[SYNTAX_ERROR] expected FROM"},
		{"CREATE MODEL x FROM 'missing'", "[NOT_FOUND] no such file"},
		{"CREATE MODLE x", "syntax error"},
	} {
		_, err := d.query(d.conn, c.sql)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.sql, err, c.want)
		}
	}
	if got := d.must("SELECT count(*) FROM (SELECT generate('m', prompt) AS g FROM t) WHERE g IS NULL"); got[0] != "1" {
		t.Errorf("a failed row among 100 should be NULL, got %v", got)
	}
	d.must("SET ai_max_error_ratio = 1")
	if got := d.must("SELECT generate('m', 'fail')"); got[0] != "NULL" {
		t.Errorf("with ai_max_error_ratio = 1: %v", got)
	}
}

// TestWithoutOptimizer: a call that is not lifted runs where it stands.
func TestWithoutOptimizer(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, 'p'||i AS prompt FROM range(3000) r(i)")
	for _, set := range []string{"SET disabled_optimizers = 'extension'", "PRAGMA disable_optimizer"} {
		d.must(set)
		if got := d.must("SELECT count(DISTINCT generate('m', prompt)) FROM t"); got[0] != "3000" {
			t.Errorf("%s: %v", set, got)
		}
		if got := d.must("SELECT generate('a', generate('b', 'x'))"); got[0] != "<a:<b:x>>" {
			t.Errorf("%s: %v", set, got)
		}
	}
}

// TestStreamsWhileDecoding: the first row leaves long before the last is made.
func TestStreamsWhileDecoding(t *testing.T) {
	d := openTestDB(t)
	d.must("SET streaming_buffer_size = '1B'")
	d.must("CREATE TABLE t AS SELECT 'p'||i AS prompt FROM range(100) r(i)")
	d.engine.setStep(10 * time.Millisecond)
	words := strings.TrimSpace(strings.Repeat("w ", 100))
	for _, sql := range []string{"SELECT generate('m', prompt) FROM t", fmt.Sprintf("SELECT text FROM generate_stream('m', '%s')", words)} {
		var p duckdb.PreparedStatement
		if duckdb.Prepare(d.conn, sql, &p) != duckdb.StateSuccess {
			t.Fatal(duckdb.PrepareError(p))
		}
		var r duckdb.Result
		start := time.Now()
		if duckdb.ExecutePreparedStreaming(p, &r) != duckdb.StateSuccess {
			t.Fatal(duckdb.ResultError(&r))
		}
		var first time.Duration
		rows := 0
		for {
			ch := duckdb.FetchChunk(r)
			if ch.Ptr == nil {
				break
			}
			if rows == 0 {
				first = time.Since(start)
			}
			rows += int(duckdb.DataChunkGetSize(ch))
			duckdb.DestroyDataChunk(&ch)
		}
		all := time.Since(start)
		duckdb.DestroyResult(&r)
		duckdb.DestroyPrepare(&p)
		if rows < 100 || first > all/2 {
			t.Errorf("%s: %d rows, first after %v of %v", sql, rows, first, all)
		}
	}
}

// TestInterrupt: cancelling a sleeping statement ends it, and the engine's work.
func TestInterrupt(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT 'p'||i AS prompt FROM range(100) r(i)")
	d.engine.setStep(time.Hour)
	for _, sql := range []string{"SELECT generate('m', prompt) FROM t", "SELECT * FROM generate_stream('m', 'a b')",
		"SELECT list_transform([1,2], lambda x: generate('m', x::VARCHAR))"} {
		stop := time.AfterFunc(100*time.Millisecond, func() {
			duckdb.Interrupt(d.conn)
			d.at.Wake(d.conn)
		})
		start := time.Now()
		_, err := d.query(d.conn, sql)
		stop.Stop()
		if err == nil || !strings.Contains(err.Error(), "INTERRUPT") || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %v after %v", sql, err, time.Since(start))
		}
	}
}

// TestOthersGoOn: with every call asleep, one thread still serves other connections.
func TestOthersGoOn(t *testing.T) {
	d := openTestDB(t)
	d.must("SET threads = 1")
	d.must("CREATE TABLE t AS SELECT 'p'||i AS prompt FROM range(20) r(i)")
	d.engine.setStep(100 * time.Millisecond)
	done := make(chan error)
	for range 4 {
		c := d.connect()
		go func() {
			defer duckdb.Disconnect(&c)
			_, err := d.query(c, "SELECT generate('m', prompt) FROM t")
			done <- err
		}()
	}
	time.Sleep(200 * time.Millisecond)
	start := time.Now()
	d.must("SELECT sum(a.range) FROM range(1000) a, range(100) b")
	if took := time.Since(start); took > time.Second {
		t.Errorf("another connection's query took %v", took)
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestAnyInputSize: an input larger than what is read ahead comes in parts.
func TestAnyInputSize(t *testing.T) {
	d := openTestDB(t)
	d.asks("SELECT count(*), count(DISTINCT generate('m', i::VARCHAR)) FROM range(150000) r(i)", []int{150000})
	d.answers("SELECT bool_and(g = '<m:' || i || '>') FROM (SELECT i, generate('m', i::VARCHAR) g FROM range(150000) r(i))", "true")
}

// TestOneAsking: an answer is asked once in a statement, and given up by none.
func TestOneAsking(t *testing.T) {
	d := openTestDB(t)
	d.engine.setStep(time.Millisecond)
	d.must("SELECT (SELECT count(generate('m', 'p' || i % 50)) FROM range(1000) r(i)) + (SELECT count(DISTINCT generate('m', 'p' || i % 60)) FROM range(1000) r(i))")
	asked := 0
	for _, n := range d.engine.take() {
		asked += n
	}
	if asked != 60 {
		t.Errorf("%d rows asked for 60 prompts", asked)
	}
}

func TestChat(t *testing.T) {
	d := openTestDB(t)
	for _, c := range []struct{ sql, want string }{
		{"SELECT chat('s', 'one')", "<m:>user=one;"},
		{"SELECT chat('s', 'two')", "<m:>user=one;assistant=<m:>user=one;;user=two;"},
		{"SELECT chat('t', 'one', model := 'n')", "<n:>user=one;"},
		{"SELECT chat('t', 'x') LIKE '<n:>%user=x;'", "true"},
		{"SELECT chat(NULL, 'x'), chat('s', NULL)", "NULL|NULL"},
		{"SELECT count(chat('u' || i % 3, 'm' || i)) FROM range(9) r(i)", "9"},
	} {
		d.answers(c.sql, c.want)
	}
	for _, c := range []struct{ sql, want string }{
		{"SELECT chat('t', 'x', model := 'm')", "belongs to model"},
		{"SELECT chat('', 'x')", "no name"},
		{"SELECT chat('v', 'x', model := 'mm')", "[MODEL_NOT_FOUND]"},
		{"SELECT chat('v', 'x', messages := '[]')", "there is no option"},
	} {
		if _, err := d.query(d.conn, c.sql); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.sql, err, c.want)
		}
	}
}
