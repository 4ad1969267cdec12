package database

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestKilled opens what a process that was killed leaves behind: the files as
// they are on disk while it runs, with everything still in the logs.
func TestKilled(t *testing.T) {
	s := open(t)
	tiny(t, s)
	sql(t, s, "CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS SELECT generate('tiny', 'x') AS g FROM t; ALTER MODEL tiny PIN")
	sql(t, s, "CREATE MACRO summary(x) AS generate('tiny', x)")
	sql(t, s, "CREATE PROMPT p AS 'one {{x}}'; CREATE OR REPLACE PROMPT p AS 'two {{x}}'; CREATE PROMPT q AS 'gone'; DROP PROMPT q")
	sql(t, s, "BEGIN; INSERT INTO t VALUES (2)") // never committed

	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.db.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	for _, log := range []string{"hyprstream.duckdb.wal", "catalog.duckdb.wal"} {
		if info, err := os.Stat(filepath.Join(dir, log)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v: nothing to replay", log, err)
		}
	}
	db, err := Open(t.Context(), Config{Dir: dir, AllowDirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	s, err = db.Session(t.Context(), SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := sql(t, s, "SELECT name, pinned, is_default FROM ai.models"); got != "tiny|true|true" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT count(*), count(g) FROM v"); got != "1|1" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT summary(a::VARCHAR) IS NOT NULL FROM t"); got != "true" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT render('p', {'x': 1}), render('p@1', {'x': 1}), (SELECT count(*) FROM ai.prompts)"); got != "two 1|one 1|2" {
		t.Error(got)
	}
	// A second time, after the logs were replayed and the file was closed.
	if err := db.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(t.Context(), Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if n := len(db.Catalog().Models()); n != 1 {
		t.Error(n)
	}
}
