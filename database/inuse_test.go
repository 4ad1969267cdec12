package database

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An adapter and a model are removed, or replaced by another file, while a
// statement works with them: it ends with every row that it would have had, and
// what was removed is gone.
func TestRemovedInUse(t *testing.T) {
	for name, remove := range map[string][]string{
		"dropped":  {"DROP ADAPTER odd", "DROP MODEL tiny"},
		"replaced": {"CREATE OR REPLACE MODEL tiny FROM '{dir}/tiny-notemplate.gguf' WITH (slots = 4, threads = 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			tiny(t, s)
			other, err := s.db.Session(t.Context(), SessionOptions{Client: "other"})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			const work = `SELECT md5(string_agg(generate('tiny', 'word ' || range, max_tokens := 20, ignore_eos := true, adapter := 'odd', on_error := 'fail', cache := 'off'), ',' ORDER BY range)) FROM range(200)`
			want := sql(t, s, work)
			done := make(chan string, 1)
			go func() {
				r, err := s.Query(t.Context(), work)
				if err == nil && r.Next() {
					done <- strings.Clone(r.RecordBatch().Column(0).ValueStr(0)) // the batch's memory is DuckDB's
					r.Close()
					return
				}
				if err == nil {
					err = r.Err()
					r.Close()
				}
				done <- fmt.Sprint(err)
			}()
			for sql(t, other, "SELECT coalesce(sum(busy), 0) > 0 FROM ai.engines") != "true" {
				time.Sleep(time.Millisecond)
			}
			dir, err := filepath.Abs("../testdata")
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range remove {
				sql(t, other, strings.ReplaceAll(q, "{dir}", dir))
			}
			if got := <-done; got != want {
				t.Errorf("have %s, want %s", got, want)
			}
			left, err := filepath.Glob(filepath.Join(s.db.cfg.Dir, "blobs", "sha256-*"))
			if err != nil {
				t.Fatal(err)
			}
			if name == "dropped" && len(left) != 0 || name == "replaced" && len(left) != 2 {
				t.Errorf("%d files are left", len(left))
			}
		})
	}
}
