package database

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const lastUsage = "SELECT rows, distinct_rows, cached_rows, prompt_tokens > 0, completion_tokens > 0 FROM ai.usage ORDER BY finished_at DESC LIMIT 1"

func TestPersistentCache(t *testing.T) {
	s := open(t)
	tiny(t, s)
	ask := func(rows, options string) string {
		return "SELECT string_agg(g, '|' ORDER BY range) FROM (SELECT range, generate('tiny', 'word ' || range, max_tokens := 4, ignore_eos := true" +
			options + ") AS g FROM range(" + rows + "))"
	}
	spent := func() string { return sql(t, s, "SELECT prompt_tokens, completion_tokens FROM ai.engines") }
	first := sql(t, s, ask("20", ", cache := 'persistent'"))
	if got := sql(t, s, lastUsage); got != "20|20|0|true|true" {
		t.Error(got)
	}
	before := spent()
	if again := sql(t, s, ask("20", ", cache := 'persistent'")); again != first {
		t.Errorf("%q, then %q", first, again)
	}
	if got := sql(t, s, lastUsage); got != "20|20|20|false|false" || spent() != before {
		t.Error(got, before, spent())
	}
	for _, c := range []struct{ query, usage string }{
		{ask("25", ", cache := 'persistent'"), "25|25|20|true|true"},
		{ask("25", ", cache := 'persistent', adapter := 'odd'"), "25|25|0|true|true"},
		{ask("25", ", cache := 'persistent', adapter := 'odd:0'"), "25|25|25|false|false"},
		{ask("25", ", cache := 'persistent', temperature := 1"), "25|25|0|true|true"},
		{ask("25", ", cache := 'persistent', temperature := 1"), "25|25|0|true|true"},
		{ask("25", ""), "25|25|0|true|true"},
		{ask("25", ", cache := 'off'"), "25|25|0|true|true"},
		{"SELECT count(*) FROM (SELECT generate('tiny', 'word 1', max_tokens := 4, ignore_eos := true, cache := 'persistent') AS g FROM range(9)) WHERE g = 'x'", "9|1|9|false|false"},
		{"SELECT text, logprob FROM generate('tiny', 'hello', n := 3, max_tokens := 4, ignore_eos := true, cache := 'persistent')", "3|3|2|true|true"},
		{"SELECT text, logprob FROM generate('tiny', 'hello', n := 3, max_tokens := 4, ignore_eos := true, cache := 'persistent')", "3|3|3|false|false"},
		{"SELECT logprob('tiny', 'hello ' || range, ' you', cache := 'persistent') FROM range(5)", "5|5|0|true|false"},
		{"SELECT logprob('tiny', 'hello ' || range, ' you', cache := 'persistent') FROM range(6)", "6|6|5|true|false"},
		{"SELECT ai_classify('hello ' || range, ['a', 'b'], cache := 'persistent') FROM range(5)", "5|5|0|true|false"},
		{"SELECT ai_classify_probs('hello ' || range, ['b', 'a'], cache := 'persistent') FROM range(5)", "5|5|5|false|false"},
	} {
		sql(t, s, c.query)
		if got := sql(t, s, lastUsage); got != c.usage {
			t.Errorf("%s: %s, want %s", c.query, got, c.usage)
		}
	}
	if got := sql(t, s, "SELECT budget, hits > 0, misses > 0 FROM ai.cache"); got != "1000000000|true|true" {
		t.Error(got)
	}
	if got := sql(t, s, "CLEAR CACHE"); got != "the cache is empty" {
		t.Error(got)
	}
	sql(t, s, ask("20", ", cache := 'persistent'"))
	if got := sql(t, s, lastUsage); got != "20|20|0|true|true" {
		t.Error(got)
	}
}

// The cache outlives its server; a damaged one is no obstacle, and none is fine.
func TestCacheOverRestarts(t *testing.T) {
	dir, log := t.TempDir(), &bytes.Buffer{}
	run := func(cacheSize int64) string {
		db, err := Open(t.Context(), Config{Dir: dir, CacheSize: cacheSize, Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		s, err := db.Session(t.Context(), SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if sql(t, s, "SELECT count(*) FROM ai.models") == "0" {
			tiny(t, s)
		}
		sql(t, s, "SELECT generate('tiny', 'word ' || range, max_tokens := 4, cache := 'persistent') FROM range(20)")
		return sql(t, s, "SELECT cached_rows, (SELECT count(*) FROM ai.cache) FROM ai.usage ORDER BY finished_at DESC LIMIT 1")
	}
	path := filepath.Join(dir, cacheFile)
	for i, want := range []string{"0|1", "20|1", "0|1", "20|1"} {
		if i == 2 {
			if err := os.WriteFile(path, []byte(strings.Repeat("damage ", 10000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := run(0); got != want {
			t.Errorf("start %d: %s, want %s", i, got, want)
		}
		if said := strings.Contains(log.String(), "the cache is damaged"); said != (i >= 2) {
			t.Errorf("start %d: damage is said: %v", i, said)
		}
	}
	if got := run(-1); got != "0|0" {
		t.Error("without a cache: ", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // it cannot be opened
		t.Fatal(err)
	}
	if got := run(0); got != "0|0" || !strings.Contains(log.String(), "there is no cache") {
		t.Error("with a folder in its place: ", got)
	}
}
