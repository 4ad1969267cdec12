package rest

import "testing"

// TestBudget: a limit is an answer of its own, which clients do not retry.
func TestBudget(t *testing.T) {
	srv := newModelServer(t)
	if status, _, text := call(t, srv, "POST", "/v1/sql", `{"sql": "SET GLOBAL ai_max_rows = 1"}`); status != 200 {
		t.Fatal(status, text)
	}
	status, _, text := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT generate('tiny', range::VARCHAR, max_tokens := 2) FROM range(2)"}`)
	wantError(t, status, text, 402, "BUDGET_EXCEEDED", "")
	if status, _, text := call(t, srv, "POST", "/v1/completions", `{"model": "tiny", "prompt": "x", "max_tokens": 2}`); status != 200 {
		t.Error(status, text)
	}
}
