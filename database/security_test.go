package database

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyprstream/errs"
)

// TestLocked asks what a client of a server may and may not reach. @in is an
// allowed directory, @out is not; @data is the data directory.
func TestLocked(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	s := open(t, in)
	for _, dir := range []string{in, out} {
		if err := os.WriteFile(filepath.Join(dir, "x.csv"), []byte("a,b\n1,2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	model, err := os.ReadFile("../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{in, out} {
		if err := os.WriteFile(filepath.Join(dir, "m.gguf"), model, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(out, "m.gguf"), filepath.Join(in, "link.gguf")); err != nil {
		t.Fatal(err)
	}
	const denied = errs.PermissionDenied
	for _, c := range []struct {
		sql  string
		code errs.Code
	}{
		{"SELECT * FROM '@in/x.csv'", ""},
		{"SELECT * FROM read_csv('@in/x.csv')", ""},
		{"COPY (SELECT 1) TO '@in/y.parquet'", ""},
		{"SELECT * FROM read_parquet('@in/*.parquet')", ""},
		{"ATTACH '@in/other.duckdb' AS other; CREATE TABLE other.t AS SELECT 1; DETACH other", ""},
		{"ATTACH ':memory:' AS scratch", ""},
		{"EXPORT DATABASE '@in/dump'", ""},
		{"CREATE MODEL a FROM '@in/m.gguf'", ""},
		{"SET TimeZone = 'UTC'", ""},
		{"SET search_path = 'main'", ""},
		{"SET ai_max_error_ratio = 0.5", ""},
		{"SET ai_max_rows = 5; SET ai_max_tokens = NULL; SET ai_max_seconds = 0.5; RESET ai_max_rows; RESET ai_max_seconds", ""},
		{"SET VARIABLE v = 1", ""},
		{"SELECT * FROM duckdb_settings()", ""},
		{"CREATE TABLE big AS SELECT range AS i, md5(range::VARCHAR) AS s FROM range(100000)", ""},

		{"SELECT * FROM '@out/x.csv'", denied},
		{"SELECT * FROM read_csv('@out/x.csv')", denied},
		{"SELECT * FROM read_text('@in/../" + "x')", denied},
		{"SELECT * FROM read_blob('/etc/passwd')", denied},
		{"SELECT * FROM glob('/etc/*')", denied},
		{"COPY (SELECT 1) TO '@out/y.parquet'", denied},
		{"COPY big FROM '@out/x.csv'", denied},
		{"ATTACH '@out/other.duckdb' AS other", denied},
		{"ATTACH '@data/catalog.duckdb' AS c", denied},
		{"SELECT * FROM read_blob('@data/catalog.duckdb')", denied},
		{"COPY (SELECT 1) TO '@data/blobs/x'", denied},
		{"EXPORT DATABASE '@out/dump'", denied},
		{"IMPORT DATABASE '@out/dump'", denied},
		{"SELECT * FROM read_blob('@in/link.gguf')", denied},
		{"CREATE MODEL b FROM '@out/m.gguf'", denied},
		{"CREATE MODEL b FROM '@in/link.gguf'", denied},
		{"CREATE MODEL b FROM '@in/../nowhere'", denied},
		{"CREATE ADAPTER b FOR MODEL a FROM '@out/m.gguf'", denied},
		{"INSTALL httpfs", denied},
		{"LOAD '@in/x.duckdb_extension'", denied},
		{"SET enable_external_access = true", denied},
		{"SET allowed_directories = ['/']", denied},
		{"SET lock_configuration = false", denied},
		{"SET memory_limit = '1TB'", denied},
		{"SET threads = 1", denied},
		{"SET temp_directory = '/tmp/x'", denied},
		{"SET file_search_path = '/'", denied},
		{"SET home_directory = '/'", denied},
		{"SET log_query_path = '/tmp/q'", denied},
		{"SET profiling_output = '/tmp/q'", denied},
		{"SET custom_user_agent = 'x'", denied},
		{"RESET lock_configuration", denied},
		{"RESET enable_external_access", denied},
		{"PRAGMA enable_external_access = true", denied},
		{"CALL enable_logging(storage := 'file', storage_path := '@out/log')", errs.NotFound},
		{"FROM system.main.enable_logging()", errs.NotFound},
		{"CALL enable_profiling(format := 'json', save_location := '@out/p.json')", errs.NotFound},
		{"PRAGMA enable_profiling", errs.NotFound},
		{"FROM arrow_scan(NULL, NULL, NULL)", errs.NotFound},
		{"SELECT getenv('HOME')", errs.NotFound},
		{"CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')", "any"},
		{"SELECT * FROM 'https://example.invalid/x.csv'", "any"},
		{"FROM query('SELECT * FROM read_text(''@out/x.csv'')')", denied},
		{"FROM generate_rows('a', 'SELECT content AS prompt FROM read_text(''@out/x.csv'')')", denied},
		{"FROM generate_rows('a', 'SELECT getenv(''HOME'') AS prompt')", errs.NotFound},
	} {
		sql := strings.NewReplacer("@in", in, "@out", out, "@data", s.db.cfg.Dir).Replace(c.sql)
		r, err := s.Query(t.Context(), sql)
		if err == nil {
			for r.Next() {
			}
			err = r.Err()
			r.Close()
		}
		if got := errs.CodeOf(err); got != c.code && (c.code != "any" || err == nil) {
			t.Errorf("%s: %s %v", c.sql, got, err)
		}
	}
	// Work that does not fit into memory goes to DuckDB's own directory.
	if got := sql(t, s, "SELECT count(*) FROM (SELECT i, s FROM big ORDER BY s)"); got != "100000" {
		t.Error(got)
	}
}

// The data directory stays closed also below an allowed directory.
func TestDataDirIsGuarded(t *testing.T) {
	parent := t.TempDir()
	db, err := Open(t.Context(), Config{Dir: filepath.Join(parent, "data"), AllowDirs: []string{parent}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s, err := db.Session(t.Context(), SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(parent, "data"), filepath.Join(parent, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(parent, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(parent)
	for _, c := range []string{
		"ATTACH '@/catalog.duckdb' AS c",
		"ATTACH '@/new.duckdb' AS c",
		"ATTACH '@/hyprstream.duckdb.x' AS c (READ_ONLY)",
		"COPY (SELECT 1) TO '@/hyprstream.duckdb'",
		"COPY (SELECT 1) TO '@/catalog.duckdb.wal'",
		"COPY (SELECT 1) TO '@/blobs/x.csv'",
		"SELECT * FROM read_blob('@/catalog.duckdb')",
		"SELECT * FROM read_blob('@/*')",
		"EXPORT DATABASE '@/dump'",
	} {
		for _, at := range []string{filepath.Join(parent, "data"), "data", parent + "/./x/../data", filepath.Join(parent, "link"), "file://" + parent + "/data", "file:" + parent + "/data"} {
			text := strings.ReplaceAll(c, "@", at)
			if _, err := s.Exec(t.Context(), text); errs.CodeOf(err) != errs.PermissionDenied {
				t.Errorf("%s: %s %v", text, errs.CodeOf(err), err)
			}
		}
	}
	sql(t, s, "CREATE TABLE big AS SELECT range AS i, md5(range::VARCHAR) AS s FROM range(200000); CHECKPOINT; INSERT INTO big SELECT * FROM big; CHECKPOINT")
	if got := sql(t, s, "COPY big TO '"+parent+"/big.parquet'; SELECT count(*) FROM '"+parent+"/*.parquet'"); got != "400000" {
		t.Error(got)
	}
}

func TestEmbeddedIsOpen(t *testing.T) {
	s := open(t)
	dir := t.TempDir()
	if got := sql(t, s, "COPY (SELECT 1 AS a) TO '"+dir+"/x.csv'; SELECT * FROM '"+dir+"/x.csv'"); got != "1" {
		t.Error(got)
	}
	sql(t, s, "SET threads = 1")
}

func TestDirLock(t *testing.T) {
	s := open(t)
	_, err := Open(t.Context(), Config{Dir: s.db.cfg.Dir})
	if errs.CodeOf(err) != errs.EngineUnavailable || !strings.Contains(err.Error(), "process "+pid()) {
		t.Error(err)
	}
}
