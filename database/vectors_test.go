package database

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"hyprstream/errs"
)

// vss is the extension, where `make test-deps` fetches one.
const vss = "../.deps/vss/vss.duckdb_extension"

const hasVSS = runtime.GOOS == "linux" && runtime.GOARCH == "amd64"

// vectorDir opens a data directory as a server does; log is what it says.
func vectorDir(t *testing.T, dir string) (s *Session, log *bytes.Buffer) {
	t.Helper()
	log = &bytes.Buffer{}
	return openConfig(t, Config{Dir: dir, AllowDirs: []string{t.TempDir()}, Logger: slog.New(slog.NewTextHandler(log, nil))}), log
}

func readVSS(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(vss)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// putVSS gives dir an extension with this content.
func putVSS(t *testing.T, dir string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(vssFile)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, vssFile), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// nearest is the row that the index, or the table, has first.
func nearest(t *testing.T, s *Session, q string) (row string, indexed bool) {
	t.Helper()
	search := "SELECT id FROM t ORDER BY similarity(v, " + q + "::FLOAT[2]) DESC LIMIT 1"
	return sql(t, s, search), strings.Contains(sql(t, s, "EXPLAIN "+search), "VECTOR_SEARCH")
}

const someVectors = "CREATE TABLE t AS SELECT i AS id, [cos(i / 1000), sin(i / 1000)]::FLOAT[2] AS v FROM range(1500) r(i)"

// A directory without the extension, and with files that are none.
func TestWithoutVSS(t *testing.T) {
	files := map[string][]byte{"none": nil, "empty": {}, "text": []byte("not an extension, but long enough to have a footer: " + strings.Repeat("x", 600))}
	if hasVSS {
		whole := readVSS(t)
		files["half"] = whole[:len(whole)/2]
		changed := bytes.Clone(whole)
		changed[len(changed)/2] ^= 1
		files["changed"] = changed
		files["other version"] = bytes.ReplaceAll(whole, []byte("v1.5.5"), []byte("v1.5.4"))
	}
	for name, content := range files {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if name != "none" {
				putVSS(t, dir, content)
			}
			s, log := vectorDir(t, dir)
			sql(t, s, someVectors)
			if row, indexed := nearest(t, s, "[cos(1), sin(1)]"); row != "1000" || indexed {
				t.Error(row, indexed)
			}
			if warned := strings.Contains(log.String(), "level=WARN") && strings.Contains(log.String(), vssFile); warned != (name != "none") {
				t.Error(log)
			}
			t.Log(log)
			if _, err := s.Query(t.Context(), "CREATE INDEX x ON t USING HNSW (v)"); err == nil || !strings.Contains(err.Error(), "HNSW") {
				t.Error(err)
			}
		})
	}
}

// What a killed process leaves is found by the next one: with the extension the
// index has every row, without it the rows are there and the index is not.
func TestVSSKilled(t *testing.T) {
	if !hasVSS {
		return
	}
	dir := t.TempDir()
	putVSS(t, dir, readVSS(t))
	s, log := vectorDir(t, dir)
	sql(t, s, someVectors)
	sql(t, s, "CREATE INDEX x ON t USING HNSW (v) WITH (metric = 'cosine')")
	sql(t, s, "CHECKPOINT")
	sql(t, s, "INSERT INTO t VALUES (5000, [-1, 0.001]), (5001, NULL), (5002, [0, 0])")
	sql(t, s, "DELETE FROM t WHERE id = 1000")
	sql(t, s, "UPDATE t SET v = [0.001, -1] WHERE id = 3")
	if strings.Contains(log.String(), "WARN") {
		t.Error(log)
	}
	with, without := killed(t, dir), killed(t, dir)

	s, log = vectorDir(t, with)
	checkRows(t, s, true)
	sql(t, s, "INSERT INTO t VALUES (6000, [0.5, -0.5])")
	sql(t, s, "CHECKPOINT")
	if row, _ := nearest(t, s, "[1, -1]"); row != "6000" || strings.Count(log.String(), "made anew") != 1 {
		t.Error(row, log)
	}
	if got := sql(t, s, "SELECT index_name, metric, dimensions, approx_memory_usage > 0 FROM pragma_hnsw_index_info()"); got != "x|cosine|2|true" {
		t.Error(got)
	}
	sql(t, s, "SET hnsw_ef_search = 200")
	if _, err := s.Query(t.Context(), "SET hnsw_enable_experimental_persistence = false"); errs.CodeOf(err) != errs.PermissionDenied {
		t.Error(err)
	}

	if err := os.Remove(filepath.Join(without, vssFile)); err != nil {
		t.Fatal(err)
	}
	s, log = vectorDir(t, without)
	checkRows(t, s, false)
	if said := log.String(); !strings.Contains(said, `index="\"main\".\"x\""`) || !strings.Contains(said, "table=t") || !strings.Contains(said, vssFile) {
		t.Error(said)
	}
	sql(t, s, "INSERT INTO t VALUES (6000, [0.5, -0.5]); ALTER TABLE t ADD COLUMN note VARCHAR; UPDATE t SET note = 'x'; CHECKPOINT")
	if row, _ := nearest(t, s, "[1, -1]"); row != "6000" {
		t.Error(row)
	}
	again := killed(t, without)
	putVSS(t, again, readVSS(t))
	s, _ = vectorDir(t, again)
	checkRows(t, s, false)
	sql(t, s, "CREATE INDEX x ON t USING HNSW (v) WITH (metric = 'cosine')")
	if row, indexed := nearest(t, s, "[1, -1]"); row != "6000" || !indexed {
		t.Error(row, indexed)
	}
}

// killed copies a data directory as it is while its process runs.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// checkRows looks for the rows that TestVSSKilled changed.
func checkRows(t *testing.T, s *Session, indexed bool) {
	t.Helper()
	if got := sql(t, s, "SELECT count(*) FROM t WHERE id <= 5002"); got != "1502" {
		t.Error(got)
	}
	for q, want := range map[string]string{"[-1, 0]": "5000", "[0, -1]": "3", "[cos(0.7), sin(0.7)]": "700"} {
		if row, used := nearest(t, s, q); row != want || used != indexed {
			t.Errorf("%s: %s, by an index: %v", q, row, used)
		}
	}
}

// An index of another schema, with a name that needs quotes, is made anew and
// dropped too; an index of DuckDB's own is not.
func TestVSSNames(t *testing.T) {
	if !hasVSS {
		return
	}
	dir := t.TempDir()
	putVSS(t, dir, readVSS(t))
	s, _ := vectorDir(t, dir)
	sql(t, s, `CREATE SCHEMA "o""ther"; CREATE TABLE "o""ther".t AS SELECT 1 AS id, [1, 2]::FLOAT[2] AS v; CREATE INDEX "a b" ON "o""ther".t USING HNSW (v); CREATE INDEX own ON "o""ther".t (id)`)
	sql(t, s, `CHECKPOINT; INSERT INTO "o""ther".t VALUES (3, [2, 1]); UPDATE "o""ther".t SET v = [1, 0] WHERE id = 1`)
	s, log := vectorDir(t, killed(t, dir))
	if got := sql(t, s, `INSERT INTO "o""ther".t VALUES (4, [2, 2]); SELECT index_name, count FROM pragma_hnsw_index_info()`); got != "a b|3" {
		t.Error(got, log)
	}
	dir = s.db.cfg.Dir
	if err := s.db.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, vssFile)); err != nil {
		t.Fatal(err)
	}
	s, log = vectorDir(t, dir)
	if got := sql(t, s, `INSERT INTO "o""ther".t VALUES (2, [1, 1]); SELECT index_name FROM duckdb_indexes()`); got != "own" {
		t.Error(got, log)
	}
}
