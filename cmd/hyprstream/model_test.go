package main

import "testing"

func TestModelName(t *testing.T) {
	for path, want := range map[string]string{
		"/models/gemma-3-270m-q4_k_m.gguf":   "gemma-3-270m",
		"Gemma 3-270m-Q4_K_M.gguf":           "gemma-3-270m",
		"Qwen2.5-0.5B-Instruct-IQ3_XXS.GGUF": "qwen2.5-0.5b-instruct",
		"llama.Q8_0.gguf":                    "llama",
		"tiny.gguf":                          "tiny",
		"model-f16.gguf":                     "model",
		"q4_0.gguf":                          "q4_0",
		"a (copy) of 'it'.gguf":              "a-copy-of-it",
		"no-ending":                          "no-ending",
		"v1.5":                               "v1.5",
	} {
		if got := modelName(path); got != want {
			t.Errorf("modelName(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestWithClause(t *testing.T) {
	got, err := withClause([]string{"slots=8", "scale=-1.5", "chat_template=it's"})
	if err != nil || got != " WITH (slots = 8, scale = -1.5, chat_template = 'it''s')" {
		t.Error(got, err)
	}
	for _, bad := range []string{"slots", "SLOTS=1", "a b=1", "=1"} {
		if _, err := withClause([]string{bad}); err == nil {
			t.Errorf("%q must be refused", bad)
		}
	}
}

func TestShort(t *testing.T) {
	for n, want := range map[any]string{"268098176": "268M", int64(7241732096): "7.24B", "512": "512", nil: "unknown"} {
		if got := short(n); got != want {
			t.Errorf("short(%v) = %s, want %s", n, got, want)
		}
	}
}
