package database

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestEstimateIsWhatIsPaid: what ai_estimate counts is what ai.usage says afterwards,
// where the model keeps no beginnings of prompts yet. Of the shared tokens the
// loop takes those that are worth a stop: it leaves less than 8 for each row.
func TestEstimateIsWhatIsPaid(t *testing.T) {
	s := open(t)
	file, err := filepath.Abs("../.deps/models/gemma-3-270m-q4_k_m.gguf")
	if err != nil {
		t.Fatal(err)
	}
	const instruction = "'Read the review below, of a product that was bought in the shop of group ' || range % 3 || ', and say in one word whether its writer would buy the product once more, " +
		"or would rather have the money that was paid for it back from the seller, as the law of the country allows. Review ' || range || ': it '"
	for _, c := range []struct{ with, options string }{
		{"", ", max_tokens := 3"},
		{"", ", max_tokens := 3, raw := true, system := 'x'"},
		{" WITH (chat_template = '{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n')", ", max_tokens := 3"},
	} {
		sql(t, s, "CREATE OR REPLACE MODEL gemma FROM '"+file+"'"+strings.Replace(c.with, " WITH (", " WITH (slots = 8, ", 1))
		ask := "SELECT count(generate('gemma', " + instruction + c.options + ")) FROM range(40)"
		const counts = "rows, distinct_rows, cached_rows, prompt_tokens"
		estimate := sql(t, s, "CREATE OR REPLACE TEMP TABLE told AS SELECT * FROM ai_estimate('"+strings.ReplaceAll(ask, "'", "''")+"'); "+
			"SELECT \"function\", model, adapter, max_completion_tokens, seconds, complete, "+counts+" FROM told")
		if got := sql(t, s, "SELECT sum(completion_tokens), sum(prompt_tokens) FROM ai.engines"); got != "0|0" {
			t.Errorf("the estimate computed %s tokens", got)
		}
		sql(t, s, ask)
		usage := sql(t, s, "SELECT "+counts+" FROM ai.usage ORDER BY started_at DESC LIMIT 1")
		if want := "generate|gemma|(null)|120|(null)|true|" + usage; estimate != want || !strings.HasPrefix(usage, "40|40|0|") {
			t.Errorf("told %s\npaid %s", estimate, want)
		}
		if got := sql(t, s, "SELECT told.shared_tokens - u.shared_tokens BETWEEN 0 AND 8 * 40, u.shared_tokens > 40 * 40, u.completion_tokens <= 120 FROM told, (FROM ai.usage ORDER BY started_at DESC LIMIT 1) u"); got != "true|true|true" {
			t.Errorf("%s: %s", got, sql(t, s, "SELECT told.shared_tokens, u.shared_tokens FROM told, (FROM ai.usage ORDER BY started_at DESC LIMIT 1) u"))
		}
		// Now answers and speed are measured.
		if got := sql(t, s, "SELECT seconds > 0, note FROM ai_estimate('"+strings.ReplaceAll(ask, "'", "''")+"')"); got != "true|(null)" {
			t.Error(got)
		}
		if got := sql(t, s, "EXPLAIN "+ask); !strings.Contains(got, "model gemma") || !strings.Contains(got, "tokens in all") || strings.Contains(got, "not measured") {
			t.Error(got)
		}
		sql(t, s, "DROP MODEL gemma")
	}
	tiny(t, s)
	const texts = "SELECT embed('tiny', 'word ' || range) FROM range(9)"
	told := sql(t, s, "SELECT rows, distinct_rows, prompt_tokens, shared_tokens FROM ai_estimate('"+strings.ReplaceAll(texts, "'", "''")+"')")
	sql(t, s, texts)
	if paid := sql(t, s, "SELECT rows, distinct_rows, prompt_tokens, shared_tokens FROM ai.usage ORDER BY started_at DESC LIMIT 1"); paid != told {
		t.Errorf("told %s, paid %s", told, paid)
	}
}
