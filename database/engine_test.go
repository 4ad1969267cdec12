package database

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"hyprstream/errs"
)

func pid() string { return strconv.Itoa(os.Getpid()) }

// tiny makes the models and the adapter of testdata known.
func tiny(t *testing.T, s *Session) {
	t.Helper()
	dir, err := filepath.Abs("../testdata")
	if err != nil {
		t.Fatal(err)
	}
	sql(t, s, "CREATE MODEL tiny FROM '"+dir+"/tiny.gguf' WITH (slots = 4, threads = 1)")
	sql(t, s, "CREATE ADAPTER odd FOR MODEL tiny FROM '"+dir+"/tiny-lora.gguf'")
}

func TestModels(t *testing.T) {
	s := open(t)
	tiny(t, s)
	if got := sql(t, s, "SELECT name, architecture, format, state, is_default, pinned FROM ai.models"); got != "tiny|llama|gguf|unloaded|true|false" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT name, model, kind, len(targets) > 0, parts, scale FROM ai.adapters"); got != "odd|tiny|lora|true|(null)|1" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT count(*) FROM ai.engines"); got != "0" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT count(*), count(generate('tiny', 'word ' || range, max_tokens := 4)) FROM range(20)"); got != "20|20" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT model, state, pid > 0 FROM ai.engines"); got != "tiny|ready|true" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT steps > 0, decoded_tokens > 80, slot_use > 0 AND slot_use <= 1, step_seconds > overhead_seconds, prefixes, prefix_bytes FROM ai.engines"); got != "true|true|true|true|0|0" {
		t.Error(got)
	}
	for _, adapter := range []string{"", ", adapter := 'odd:0.5'"} {
		if got := sql(t, s, "SELECT count(generate('tiny', repeat('the people ', 20) || range, max_tokens := 1"+adapter+")) FROM range(3)"); got != "3" {
			t.Error(got)
		}
	}
	if got := sql(t, s, `SELECT model, adapters, prefix LIKE '%the people the people%', length(prefix), tokens > 32, bytes > 0, hits, pinned,
		last_used_at <= now() FROM ai.prefixes ORDER BY 2`); got != "tiny|[]|true|80|true|true|2|false|true\ntiny|[\"odd:0.5\"]|true|80|true|true|2|false|true" {
		t.Error(got)
	}
	if got := sql(t, s, `SELECT "function", model, rows, distinct_rows, failed_rows, completion_tokens > 0, error FROM ai.usage WHERE rows = 20`); got != "generate|tiny|20|20|0|true|(null)" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT statement LIKE '%ai.queries%', client FROM ai.queries"); got != "true|test" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ai' ORDER BY 1"); got != "adapters\ncache\ncascades\nengines\nmessages\nmodels\nprefixes\nprompts\nqueries\nsessions\nusage" {
		t.Error(got)
	}
	if got := sql(t, s, "ALTER MODEL tiny UNLOAD; SELECT state FROM ai.models"); got != "unloaded" {
		t.Error(got)
	}
	for text, want := range map[string]errs.Code{
		"SELECT generate('timy', 'x')":                    errs.ModelNotFound,
		"SELECT generate('tiny', 'x', adapter := 'even')": errs.AdapterNotFound,
		"DROP MODEL tiny":                                 errs.InvalidArgument,
		"CREATE MODEL tiny FORM 'x'":                      errs.Syntax,
		"CREATE MODEL x FROM '/nowhere.gguf'":             errs.NotFound,
		"INSERT INTO ai.models VALUES (1)":                errs.NotFound,
	} {
		if _, err := s.Exec(t.Context(), text); errs.CodeOf(err) != want {
			t.Errorf("%s: %s %v", text, errs.CodeOf(err), err)
		}
	}
}

// Scores with a chat template, an adapter, and a row too long for the context.
func TestScores(t *testing.T) {
	s := open(t)
	tiny(t, s)
	const classify = `SELECT id, list_contains(['dog', 'man'], ai_classify(body, ['dog', 'man', 'dog'])), map_keys(ai_classify_probs(body, ['man', 'dog']))
		FROM (VALUES (1, 'he can'), (2, NULL), (3, repeat('of the ', 9000)), (4, 'he can')) v(id, body) ORDER BY id`
	if got := sql(t, s, "SET ai_max_error_ratio = 1; "+classify); got != `1|true|["dog","man"]`+"\n2|(null)|(null)\n3|(null)|(null)\n"+`4|true|["dog","man"]` {
		t.Error(got)
	}
	if got := sql(t, s, `SELECT "function", model, rows, distinct_rows, failed_rows, completion_tokens > 0 FROM ai.usage`); got != "ai_classify, ai_classify_probs|tiny|6|2|2|true" {
		t.Error(got)
	}
	if got := sql(t, s, `SELECT logprob('tiny', 'what', ' of the') < 0, logprob('tiny', 'what', ' of the') = logprob('tiny', 'what', ' of the', adapter := 'odd'),
		logprob('tiny', 'what', ' of the') = logprob('tiny', 'what', ' of the', raw := true), ai_filter_prob('what', 'it is') BETWEEN 0 AND 1`); got != "true|false|false|true" {
		t.Error(got)
	}
}

// A prepared statement of ours has the schema it will have, and runs when it is
// executed, not before.
func TestPrepareOwnStatement(t *testing.T) {
	s := open(t)
	st, err := s.Prepare(t.Context(), "CREATE MODEL m FROM '/nowhere.gguf'")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if !st.IsQuery() || st.Schema().NumFields() != 1 || st.Schema().Field(0).Name != "status" {
		t.Error(st.IsQuery(), st.Schema())
	}
	if _, err := st.Execute(t.Context(), nil); errs.CodeOf(err) != errs.NotFound {
		t.Error(err)
	}
}

// Cancelling reaches the engine: its slots are free again at once.
func TestCancelGenerate(t *testing.T) {
	s := open(t)
	tiny(t, s)
	sql(t, s, "ALTER MODEL tiny LOAD")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	start := time.Now()
	r, err := s.Query(ctx, "SELECT generate('tiny', 'word ' || range, max_tokens := 200, ignore_eos := true, temperature := 1.0) FROM range(5000)")
	if err == nil {
		for r.Next() {
		}
		err = r.Err()
		r.Close()
	}
	if d := time.Since(start); errs.CodeOf(err) != errs.Cancelled || d > 2*time.Second {
		t.Error(err, d)
	}
	for range 50 {
		if sql(t, s, "SELECT busy + queued FROM ai.engines") == "0" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the engine still works: ", sql(t, s, "SELECT busy, queued FROM ai.engines"))
}

// The first rows of a long statement come while the model still works.
func TestStreams(t *testing.T) {
	s := open(t)
	tiny(t, s)
	sql(t, s, "ALTER MODEL tiny LOAD")
	r, err := s.Query(t.Context(), "SELECT * FROM generate_stream('tiny', 'word', max_tokens := 200, ignore_eos := true)")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !r.Next() || r.RecordBatch().NumRows() > 150 {
		t.Error(r.Err(), r.RecordBatch())
	}
}

// An ordered scan by several threads with the small buffer comes to its end.
func TestSmallBufferEnds(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE TABLE big AS SELECT range AS i, md5(range::VARCHAR) AS s FROM range(1000000)")
	if got := sql(t, s, "SELECT count(*) FROM (SELECT 'generate', * FROM big)"); got != "1000000" {
		t.Error(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := s.Query(ctx, "SELECT 'generate', i, s FROM big")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := int64(0)
	for r.Next() {
		n += r.RecordBatch().NumRows()
	}
	if n != 1000000 || r.Err() != nil {
		t.Error(n, r.Err())
	}
}
