package sql_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"hyprstream/database"
)

// docs are 400 groups of 10 vectors: a group's lie in one direction from its first, each further than the one before.
const docs = `CREATE TABLE docs AS SELECT i AS id, i % 3 AS kind, 'title ' || i AS title,
	(SELECT list(sin((i // 10 + 1) * (j + 1) * 0.7) + 0.02 * (i % 10) * cos(j * 1.3 + i // 10) ORDER BY j) FROM range(32) s(j))::FLOAT[32] AS v
	FROM range(4000) r(i)`

// q is the first vector of group 100.
const q = "(SELECT v FROM docs WHERE id = 1000)"

// searches are what must be the same whether an index answers or the table is read. index: one has to answer.
var searches = []struct {
	sql   string
	index bool
	want  string // "": what reading the table gives
}{
	{"SELECT id FROM docs ORDER BY similarity(v, " + q + ") DESC LIMIT 4", true, "1000 1001 1002 1003"},
	{"SELECT id, title FROM docs ORDER BY similarity(" + q + ", v) DESC LIMIT 2 OFFSET 2", true, "1002|title 1002 1003|title 1003"},
	{"SELECT id, round(similarity(v, " + q + "), 5) AS s FROM docs ORDER BY s DESC, id LIMIT 2", false, ""},
	{"SELECT title, similarity(v, " + q + ") AS s FROM docs ORDER BY s DESC LIMIT 3", true, ""},
	{"SELECT id FROM docs WHERE kind = 1 ORDER BY similarity(v, " + q + ") DESC LIMIT 4", true, "1000 1003 1006 1009"},
	{"SELECT id FROM docs WHERE title LIKE '%1' AND id + 1 > 5 ORDER BY similarity(v, " + q + ") DESC LIMIT 1", true, "1001"},
	{"SELECT id FROM docs WHERE id IN (5, 777, 1001) ORDER BY similarity(v, " + q + ") DESC LIMIT 2", true, ""},
	{"SELECT id FROM docs WHERE kind = 7 ORDER BY similarity(v, " + q + ") DESC LIMIT 2", false, ""},
	{"SELECT d.id FROM docs d, (SELECT v AS q FROM docs WHERE id = 1000) ORDER BY similarity(d.v, q) DESC LIMIT 2", true, "1000 1001"},
	{"SELECT id FROM docs ORDER BY similarity(v, [" + strings.Repeat("1, ", 31) + "2]) DESC LIMIT 1", true, ""},
	{"SELECT id FROM docs ORDER BY similarity(v, (SELECT list(1) FROM range(32))) DESC LIMIT 1", true, ""},
	{"SELECT id FROM docs ORDER BY similarity(v, " + q + ") DESC LIMIT 0", false, ""},
	{"SELECT count(*) FROM (SELECT id FROM docs ORDER BY similarity(v, " + q + ") DESC LIMIT 2000)", false, "2000"},
	{"SELECT count(*), count(s) FROM (SELECT similarity(v, NULL) AS s FROM docs ORDER BY s DESC LIMIT 3)", true, "3|0"},
	{"SELECT count(*), count(s) FROM (SELECT similarity(v, (SELECT NULL::FLOAT[32])) AS s FROM docs ORDER BY s DESC LIMIT 3)", true, "3|0"},
	{"SELECT count(*), count(s) FROM (SELECT similarity(v, (SELECT list(0) FROM range(32))) AS s FROM docs ORDER BY s DESC LIMIT 3)", true, "3|0"},
	{"SELECT id FROM docs ORDER BY similarity(v, (SELECT list(1) FROM range(31))) DESC LIMIT 3", true, "error: the vectors have 32 and 31 numbers"},
	{"SELECT id FROM docs ORDER BY similarity(v, embed('tiny', 'x')) DESC LIMIT 3", true, "error: the vectors have 32 and 64 numbers"},
	{"SELECT id FROM docs ORDER BY similarity(v, (SELECT [NULL] || list(1) FROM range(31))) DESC LIMIT 3", true, "error: a vector holds a NULL"},
	{"SELECT id FROM notes ORDER BY similarity(v, embed('bert', 'note 77')) DESC LIMIT 1", true, "77"},
	{"SELECT id FROM notes WHERE id > 5 ORDER BY similarity(v, embed('bert', 'note 78')) DESC LIMIT 1", true, "78"},
	{"SELECT id FROM empty ORDER BY similarity(v, embed('bert', 'x')) DESC LIMIT 1", false, ""},
	{"SELECT count(s) FROM (SELECT similarity(v, " + q + ") AS s FROM sparse ORDER BY s DESC LIMIT 100)", true, "100"},
	{"SELECT min(n) FROM (SELECT (SELECT count(*) FROM (SELECT id FROM docs ORDER BY similarity(v, o.v) DESC LIMIT 3)) AS n FROM docs o WHERE id < 3)", false, "3"},
}

var vectorTables = []string{
	docs,
	"CREATE TABLE notes AS SELECT i AS id, embed('bert', 'note ' || i) AS v FROM range(1200) r(i)",
	"CREATE TABLE empty (id INTEGER, v FLOAT[32])",
	"CREATE TABLE sparse AS SELECT id, CASE WHEN id % 20 = 1 THEN v::FLOAT[] WHEN id % 20 < 10 THEN list_transform(v::FLOAT[], lambda x: 0) END::FLOAT[32] AS v FROM docs",
}

// TestVectors searches with the extension and its indexes, and without either.
func TestVectors(t *testing.T) {
	tables := append(slices.Clone(models), vectorTables...)
	without := open(t, tables...)
	reference := inProcess(t, without)
	for way, connect := range ways {
		t.Run("table/"+way, func(t *testing.T) { searchAll(t, connect(t, without)(), reference, false) })
	}
	if !hasVSS {
		return
	}
	for _, name := range []string{"docs", "notes", "empty", "sparse"} {
		tables = append(tables, "CREATE INDEX "+name+"_v ON "+name+" USING HNSW (v) WITH (metric = 'cosine')")
	}
	with := openWith(t, database.Config{Dir: dirWithVSS(t), AllowDirs: []string{"../../testdata"}}, tables...)
	for way, connect := range ways {
		t.Run("index/"+way, func(t *testing.T) {
			c := connect(t, with)()
			searchAll(t, c, reference, true)
			changes(t, c)
		})
	}
}

func searchAll(t *testing.T, c, reference conn, indexed bool) {
	for _, s := range searches {
		want := s.want
		if want == "" {
			want = answer(t, reference, s.sql)
		}
		if have := answer(t, c, s.sql); have != want && (!strings.HasPrefix(want, "error: ") || !strings.Contains(have, want[7:])) {
			t.Errorf("%s\nhave %s\nwant %s", s.sql, have, want)
		}
		plan := answer(t, c, "EXPLAIN "+s.sql)
		if used := strings.Contains(plan, "VECTOR_SEARCH"); used != (s.index && indexed) {
			t.Errorf("%s: an index in the plan: %v\n%s", s.sql, used, plan)
		}
	}
}

// changes searches while rows come and go.
func changes(t *testing.T, c conn) {
	top := "SELECT id FROM moving ORDER BY similarity(v, (SELECT v FROM moving WHERE id = 1000)) DESC LIMIT 3"
	for _, s := range []struct{ sql, want string }{
		{"CREATE OR REPLACE TABLE moving AS FROM docs", "1000 1001 1002"},
		{"CREATE INDEX moving_v ON moving USING HNSW (v) WITH (metric = 'cosine')", "1000 1001 1002"},
		{"BEGIN", "1000 1001 1002"},
		{"INSERT INTO moving SELECT 5000, 0, 'new', v FROM moving WHERE id = 1001", "1000 1001 5000"},
		{"ROLLBACK", "1000 1001 1002"},
		{"INSERT INTO moving SELECT 5000, 0, 'new', v FROM moving WHERE id = 1001", "1000 1001 5000"},
		{"DELETE FROM moving WHERE id = 1001", "1000 1002 5000"},
		{"BEGIN", "1000 1002 5000"},
		{"DELETE FROM moving WHERE id = 5000", "1000 1002 1003"},
		{"ROLLBACK", "1000 1002 5000"},
		{"UPDATE moving SET v = (SELECT v FROM moving WHERE id = 5000) WHERE id = 7", "1000 5000 7"},
		{"UPDATE moving SET title = 'other' WHERE id = 7", "1000 5000 7"},
		{"DELETE FROM moving WHERE id IN (7, 5000)", "1000 1002 1003"},
	} {
		if err := c.exec(t.Context(), s.sql); err != nil {
			t.Fatal(s.sql, err)
		}
		have := strings.Fields(answer(t, c, top))
		slices.Sort(have) // equal vectors come in any order
		want := strings.Fields(s.want)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("after %s\nhave %s\nwant %s", s.sql, have, want)
		}
	}
}

// answer is a query's rows in one line, or its error.
func answer(t *testing.T, c conn, sql string) string {
	rows, err := c.query(t.Context(), sql)
	if err != nil {
		return "error: " + err.Error()
	}
	return strings.Join(rows, " ")
}

// hasVSS: `make test-deps` fetches the extension for this platform.
const hasVSS = runtime.GOOS == "linux" && runtime.GOARCH == "amd64"

// dirWithVSS makes a data directory that has the extension.
func dirWithVSS(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file, err := filepath.Abs("../../.deps/vss/vss.duckdb_extension")
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "extensions"), 0o700)
	}
	if err == nil {
		err = os.Symlink(file, filepath.Join(dir, "extensions", "vss.duckdb_extension"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
