package sqlfuncs

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func openJoinDB(t *testing.T) *testDB {
	d := openTestDB(t)
	d.must("CREATE TABLE a AS SELECT i AS id, i%3 AS k, CASE WHEN i%7=5 THEN NULL WHEN i%2=0 THEN 'yes a'||i ELSE 'a'||i END AS x FROM range(20) r(i)")
	d.must("CREATE TABLE b AS SELECT i AS id, CASE WHEN i=4 THEN NULL ELSE i%4 END AS k, CASE WHEN i%5=3 THEN NULL WHEN i%3=0 THEN 'yes b'||i ELSE 'b'||i END AS y FROM range(15) r(i)")
	d.must("CREATE TABLE few AS SELECT i AS id, CASE WHEN i=1 THEN 'yes f'||i ELSE 'f'||i END AS z FROM range(3) r(i)")
	d.must("CREATE TABLE many AS SELECT i AS id, CASE WHEN i%1000=7 THEN 'yes m'||i ELSE 'm'||i END AS w FROM range(2100) r(i)")
	d.must("CREATE TABLE none AS SELECT i AS id, 'n'||i AS y FROM range(0) r(i)")
	return d
}

// Joins give what they give where every call runs in place, row by row.
func TestJoinsAnswerAsInPlace(t *testing.T) {
	d := openJoinDB(t)
	const on = "ai_filter(a.x || b.y, 'p')"
	for _, sql := range []string{
		"SELECT a.id, b.id FROM a JOIN b ON " + on,
		"SELECT b.y, a.x FROM a JOIN b ON " + on,
		"SELECT * FROM a JOIN b ON ai_filter(b.y || a.x, 'p')",
		"SELECT * FROM a, b WHERE " + on + " AND a.id + b.id > 5",
		"SELECT * FROM a, b WHERE NOT " + on,
		"SELECT * FROM a JOIN b ON " + on + " IS NULL",
		"SELECT * FROM a JOIN b ON a.k = b.k AND " + on,
		"SELECT * FROM a JOIN b ON a.k < b.k AND NOT " + on,
		"SELECT * FROM a JOIN b ON a.k = b.k OR " + on,
		"SELECT * FROM a JOIN b ON a.id <> b.id AND NOT " + on,
		"SELECT b.y, a.k FROM a JOIN b ON a.k IS DISTINCT FROM b.k AND a.id <> b.id AND ai_filter(b.y || a.x, 'p')",
		"SELECT generate('m', b.y || a.x) FROM a, b WHERE a.id <> b.id",
		"SELECT a.id FROM a JOIN b ON generate('m', a.x) <> b.y AND a.id <> b.id AND " + on,
		"SELECT count(*), count(x), count(y) FROM a JOIN b ON " + on,
		"SELECT 1 FROM a JOIN b ON " + on,
		"SELECT a.id, b.id FROM a JOIN none b ON " + on,
		"SELECT a.id, b.id FROM none b JOIN a ON " + on,
		"SELECT a.id, b.id FROM a LEFT JOIN none b ON " + on,
		"SELECT a.id, b.id FROM a LEFT JOIN b ON " + on,
		"SELECT a.id, b.id FROM a LEFT JOIN b ON " + on + " AND a.k = b.k",
		"SELECT a.id, b.id FROM a RIGHT JOIN b ON " + on + " AND a.k = b.k",
		"SELECT a.id, b.id FROM a FULL JOIN b ON " + on,
		"SELECT a.id FROM a SEMI JOIN b ON " + on,
		"SELECT a.id FROM a ANTI JOIN b ON " + on + " AND a.k = b.k",
		"SELECT a.id FROM a WHERE EXISTS (FROM b WHERE " + on + ")",
		"SELECT a.id FROM a WHERE NOT EXISTS (FROM b WHERE a.k = b.k AND " + on + ")",
		"SELECT a.id, ai_filter(b.y, 'q') FROM a JOIN b ON " + on + " WHERE ai_filter(a.x, 'q')",
		"SELECT a.id, g FROM a JOIN (SELECT id, y, generate('m', y) AS g FROM b) b ON " + on,
		"SELECT a.id, g FROM a JOIN (SELECT id, generate('m', y) AS g FROM b) b ON ai_filter(a.x || g, 'p')",
		"SELECT a.id, b.id, z FROM a JOIN b ON " + on + " JOIN few ON ai_filter(z || b.y, 'p')",
		"SELECT a.id, b.id, z FROM a JOIN b ON " + on + " JOIN few ON few.id = b.k",
		"SELECT a.id, b.id, c.id FROM a JOIN b ON " + on + " LEFT JOIN a c ON c.k = b.k AND c.id < 2",
		"SELECT few.id, many.id FROM few JOIN many ON ai_filter(z || w, 'p')",
		"SELECT few.id, many.id FROM few JOIN many ON ai_filter(w || z, 'p') AND (many.id + few.id) % 2 = 1",
		"SELECT * FROM (SELECT z, w, generate('m', w || z) AS g FROM few, many) WHERE g LIKE '%yes%'",
		"SELECT logprob('m', z, w) AS s, z FROM many CROSS JOIN few WHERE many.id < 4",
		"SELECT a.id, (SELECT count(*) FROM b WHERE " + on + ") AS n FROM a",
		"SELECT a.id FROM a JOIN b ON ai_filter('yes', 'p') WHERE a.id < 2",
		"SELECT a.id, b.id FROM a JOIN b ON CASE WHEN a.k = b.k THEN " + on + " ELSE a.id = b.id END",
	} {
		d.must("SET disabled_optimizers = 'extension'")
		want := d.must(sql)
		d.must("SET disabled_optimizers = ''")
		got := d.must(sql)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s\n got %v\nwant %v", sql, got, want)
		}
	}
	d.answers("SELECT a.id, b.id FROM a JOIN b ON "+on+" AND a.id < 3 AND b.id < 3 ORDER BY ALL", "0|0,0|1,0|2,1|0,2|0,2|1,2|2")
}

// No pair is lost or doubled where several threads go through many chunks.
func TestPairsAreComplete(t *testing.T) {
	d := openJoinDB(t)
	d.must("SET threads = 4")
	d.must("CREATE TABLE big AS SELECT i AS id, CASE WHEN i%3=0 THEN 'yes g'||i ELSE 'g'||i END AS v FROM range(300000) r(i)")
	for _, c := range []struct{ from, where, text string }{
		{"few JOIN big", "(big.id + few.id) % 30000 = 5", "v || z"},
		{"few JOIN big", "(big.id + few.id) % 30000 = 5", "z || v"},
		{"many x JOIN many y", "(x.id * 31 + y.id * 17) % 9973 = 1", "x.w || y.w"},
	} {
		join := func(dear string) string {
			return strings.Join(d.must("SELECT count(*), sum(hash("+c.text+")) FROM "+c.from+" ON "+c.where+" AND "+dear), "")
		}
		want := join("contains(" + c.text + ", 'yes')")
		d.engine.take()
		if got := join("ai_filter(" + c.text + ", 'p')"); got != want {
			t.Errorf("%s: %s, want %s", c.text, got, want)
		}
		asked := 0
		for _, n := range d.engine.take() {
			asked += n
		}
		if pairs := d.must("SELECT count(*) FROM " + c.from + " ON " + c.where)[0]; pairs != strconv.Itoa(asked) {
			t.Errorf("%s: %d requests of %s pairs", c.text, asked, pairs)
		}
	}
}

// Only pairs that the cheap conditions leave reach the model, and equal ones once.
func TestJoinedRowsToModel(t *testing.T) {
	d := openJoinDB(t)
	total := func() (n int) {
		for _, b := range d.engine.take() {
			n += b
		}
		return n
	}
	const on = "ai_filter(a.x || b.y, 'p')"
	for _, c := range []struct {
		sql  string
		want int
	}{
		{"EXPLAIN SELECT 1 FROM a JOIN b ON " + on, 0},
		{"SELECT count(*) FROM a JOIN b ON " + on, 17 * 12}, // NULL texts ask nothing
		{"SELECT count(*) FROM a JOIN b ON " + on + " AND a.id + b.id < 2", 3},
		{"SELECT count(*) FROM a JOIN b ON a.id = b.id AND " + on, 10},
		{"SELECT count(*) FROM (FROM few UNION ALL FROM few) f JOIN many ON ai_filter(z || w, 'p') WHERE many.id < 10", 30},
		{"SELECT count(*) FROM a LEFT JOIN b ON " + on + " AND a.id + b.id < 2", 3},
		{"SELECT count(*) FROM a ANTI JOIN b ON " + on + " AND a.id + b.id < 2", 3},
	} {
		d.engine.take()
		d.must(c.sql)
		if got := total(); got != c.want {
			t.Errorf("%s: %d requests, want %d", c.sql, got, c.want)
		}
	}
}

// The prompts of pairs follow each other by what they begin with, wherever its
// table stands and however long the tables are.
func TestPairsShareTheirBeginnings(t *testing.T) {
	d := openJoinDB(t)
	d.engine.keep = true
	for _, c := range []struct {
		sql    string
		begins func(prompt string) string
		groups int
	}{
		{"FROM few JOIN many ON ai_filter(z || '/' || w, 'p')", before, 3},
		{"FROM many JOIN few ON ai_filter(z || '/' || w, 'p')", before, 3},
		{"FROM few JOIN many ON ai_filter(w || '/' || z, 'p') AND few.id + many.id > 0", before, 2100},
		{"FROM many, few WHERE ai_filter(concat(w, '/', z), 'p')", before, 2100},
		{"FROM many JOIN few ON many.id <> few.id + 5000 AND ai_filter(w || '/' || z, 'p')", before, 2100},
		{"SELECT generate('m', w || '/' || z) FROM few, many", before, 2100},
		{"SELECT generate('m', z, system := w || '/') FROM few, many", nil, 2100},
	} {
		d.engine.asked = nil
		d.must(c.sql)
		groups, last := 0, "none"
		for _, r := range d.engine.asked {
			begin := r.System
			if c.begins != nil {
				begin = c.begins(r.Prompt)
			}
			if begin != last {
				groups, last = groups+1, begin
			}
		}
		if groups != c.groups || len(d.engine.asked) < 6299 {
			t.Errorf("%s: %d requests in %d runs of one beginning, want %d", c.sql, len(d.engine.asked), groups, c.groups)
		}
	}
}

func before(s string) string {
	s, _, _ = strings.Cut(s, "/")
	return s
}
