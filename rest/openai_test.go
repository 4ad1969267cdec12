package rest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyprstream/runtime/worker"
)

// TestMain lets the test binary be the worker process of a model.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		os.Exit(worker.Main())
	}
	os.Exit(m.Run())
}

// newModelServer serves a data directory with the tiny model in it.
func newModelServer(t *testing.T) *httptest.Server {
	t.Helper()
	srv := newServer(t, Options{})
	loadTiny(t, srv)
	return srv
}

func loadTiny(t *testing.T, srv *httptest.Server) {
	t.Helper()
	path, err := filepath.Abs("../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	status, _, text := call(t, srv, "POST", "/v1/sql", `{"sql": "CREATE MODEL tiny FROM '`+path+`' WITH (slots = 4)"}`)
	if status != 200 {
		t.Fatal(status, text)
	}
}

// whole is a chat or text completion as a client decodes it.
type whole struct {
	ID, Object, Model string
	Choices           []struct {
		Index        int
		Text         string
		Message      struct{ Role, Content string }
		Delta        struct{ Role, Content string }
		FinishReason *string `json:"finish_reason"`
	}
	Usage *usage
	Error *errorBody
}

func decode(t *testing.T, text string) whole {
	t.Helper()
	var w whole
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return w
}

// events splits an SSE body; the last one must be [DONE].
func events(t *testing.T, text string) []whole {
	t.Helper()
	var all []whole
	done := false
	for line := range strings.SplitSeq(text, "\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		switch {
		case line == "":
		case !ok || done:
			t.Fatalf("unexpected line %q in %q", line, text)
		case data == "[DONE]":
			done = true
		default:
			all = append(all, decode(t, data))
		}
	}
	if !done || len(all) == 0 {
		t.Fatalf("no end: %q", text)
	}
	return all
}

func TestNoModel(t *testing.T) {
	srv := newServer(t, Options{})
	for _, stream := range []string{"false", "true"} {
		status, _, text := call(t, srv, "POST", "/v1/chat/completions", `{`+hello+`, "stream": `+stream+`}`)
		wantError(t, status, text, 404, "MODEL_NOT_FOUND", "model")
		if !strings.Contains(text, "hyprstream model load") {
			t.Error(text)
		}
	}
	if status, _, text := call(t, srv, "GET", "/v1/models", ""); status != 200 || strings.TrimSpace(text) != `{"data":[],"object":"list"}` {
		t.Error(status, text)
	}
}

func TestChat(t *testing.T) {
	srv := newModelServer(t)
	_, header, text := call(t, srv, "POST", "/v1/chat/completions", `{`+hello+`, "max_tokens": 6, "future_field": [1]}`)
	w := decode(t, text)
	if len(w.Choices) != 1 || w.Choices[0].Message.Role != "assistant" || w.Choices[0].FinishReason == nil || w.Object != "chat.completion" || w.Model != "tiny" {
		t.Fatal(text)
	}
	if u := w.Usage; u == nil || u.PromptTokens == 0 || u.CompletionTokens == 0 || u.CompletionTokens > 6 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Error(text)
	}
	id := header.Get(queryHeader)
	if id == "" || w.ID != "chatcmpl-"+strings.ReplaceAll(id, "-", "") {
		t.Error(id, w.ID)
	}
	_, _, rows := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT function, model, completion_tokens FROM ai.usage WHERE query = ?", "params": ["`+id+`"]}`)
	if !strings.Contains(rows, `"tiny"`) {
		t.Error("the header must name a row of ai.usage:", rows)
	}
}

func TestStreamEqualsWhole(t *testing.T) {
	srv := newModelServer(t)
	for _, c := range []struct{ path, body string }{
		{"/v1/chat/completions", `{` + hello + `, "max_tokens": 12`},
		{"/v1/completions", `{"prompt": "hello", "max_tokens": 12`},
		{"/v1/completions", `{"prompt": "hello", "max_tokens": 12, "temperature": 1, "seed": 5`},
	} {
		_, _, text := call(t, srv, "POST", c.path, c.body+`}`)
		want := decode(t, text)
		status, header, stream := call(t, srv, "POST", c.path, c.body+`, "stream": true, "stream_options": {"include_usage": true}}`)
		if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/event-stream") {
			t.Fatal(status, header, stream)
		}
		all := events(t, stream)
		var got strings.Builder
		var finish string
		for i, e := range all[:len(all)-1] {
			if len(e.Choices) != 1 || e.ID != all[0].ID || e.Usage != nil || finish != "" {
				t.Errorf("event %d: %+v", i, e)
				continue
			}
			got.WriteString(e.Choices[0].Delta.Content + e.Choices[0].Text)
			finish = deref(e.Choices[0].FinishReason, "")
		}
		if got.String() != want.Choices[0].Message.Content+want.Choices[0].Text || finish != deref(want.Choices[0].FinishReason, "") {
			t.Errorf("%s: %q %s, want %+v", c.body, got.String(), finish, want.Choices)
		}
		if last := all[len(all)-1]; len(last.Choices) != 0 || last.Usage == nil || *last.Usage != *want.Usage {
			t.Errorf("usage %+v, want %+v", last.Usage, want.Usage)
		}
	}
}

func TestChoicesAndPrompts(t *testing.T) {
	srv := newModelServer(t)
	body := `{"prompt": ["hello", "world"], "n": 2, "max_tokens": 4, "temperature": 1, "seed": 1`
	_, _, text := call(t, srv, "POST", "/v1/completions", body+`}`)
	w := decode(t, text)
	seen := map[int]string{}
	for _, c := range w.Choices {
		seen[c.Index] = c.Text
	}
	if len(w.Choices) != 4 || len(seen) != 4 {
		t.Fatal(text)
	}
	_, _, text = call(t, srv, "POST", "/v1/completions", body+`, "stream": true}`)
	streamed := map[int]string{}
	for _, e := range events(t, text) {
		streamed[e.Choices[0].Index] += e.Choices[0].Text
	}
	for i, want := range seen {
		if streamed[i] != want {
			t.Errorf("choice %d: %q, want %q", i, streamed[i], want)
		}
	}
}

func TestStop(t *testing.T) {
	srv := newModelServer(t)
	_, _, text := call(t, srv, "POST", "/v1/completions", `{"prompt": "hello", "max_tokens": 12}`)
	full := decode(t, text).Choices[0].Text
	runes := []rune(full)
	if len(runes) < 4 {
		t.Fatalf("the tiny model says only %q", full)
	}
	stop, _ := json.Marshal([]string{string(runes[2:4])})
	_, _, text = call(t, srv, "POST", "/v1/completions", `{"prompt": "hello", "max_tokens": 12, "stop": `+string(stop)+`}`)
	c := decode(t, text).Choices[0]
	if want := full[:strings.Index(full, string(runes[2:4]))]; c.Text != want || deref(c.FinishReason, "") != "stop" {
		t.Errorf("%q, want %q", c.Text, want)
	}
}

func TestModelErrors(t *testing.T) {
	srv := newModelServer(t)
	for _, c := range []struct {
		path, body string
		status     int
		code       string
		param      string
	}{
		{"/v1/chat/completions", `{"model": "nosuch", ` + hello + `}`, 404, "MODEL_NOT_FOUND", "model"},
		{"/v1/chat/completions", `{"model": "nosuch", ` + hello + `, "stream": true}`, 404, "MODEL_NOT_FOUND", "model"},
		{"/v1/completions", `{"model": "nosuch", "prompt": "x"}`, 404, "MODEL_NOT_FOUND", "model"},
		{"/v1/chat/completions", `{` + hello + `, "adapter": "nosuch"}`, 404, "ADAPTER_NOT_FOUND", ""},
		{"/v1/chat/completions", `{` + hello + `, "stop": ""}`, 400, "INVALID_ARGUMENT", ""},
		{"/v1/completions", `{"prompt": "` + strings.Repeat("word ", 50000) + `"}`, 400, "CONTEXT_OVERFLOW", ""},
		{"/v1/completions", `{"prompt": "` + strings.Repeat("word ", 50000) + `", "stream": true}`, 400, "CONTEXT_OVERFLOW", ""},
		{"/v1/completions", `{"prompt": [1, 2]}`, 400, "INVALID_ARGUMENT", "prompt"},
		{"/v1/completions", `{"prompt": "x", "echo": true}`, 400, "UNSUPPORTED", "echo"},
	} {
		status, _, text := call(t, srv, "POST", c.path, c.body)
		wantError(t, status, text, c.status, c.code, c.param)
	}
	status, _, text := call(t, srv, "GET", "/v1/models/nosuch", "")
	wantError(t, status, text, 404, "MODEL_NOT_FOUND", "model")
}

func TestModels(t *testing.T) {
	srv := newModelServer(t)
	_, _, text := call(t, srv, "GET", "/v1/models", "")
	var list struct{ Data []modelBody }
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Data) != 1 {
		t.Fatal(text)
	}
	if m := list.Data[0]; m.ID != "tiny" || m.Object != "model" || m.Architecture != "llama" || !m.IsDefault || time.Since(time.Unix(m.Created, 0)).Abs() > time.Hour {
		t.Error(text)
	}
	if status, _, text := call(t, srv, "GET", "/v1/models/tiny", ""); status != 200 || !strings.Contains(text, `"id":"tiny"`) {
		t.Error(status, text)
	}
}

// A client that leaves in mid-stream stops the decoding.
func TestStreamAbandoned(t *testing.T) {
	srv := newModelServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "POST", srv.URL+"/v1/completions",
		strings.NewReader(`{"prompt": "hello", "max_tokens": 100000, "temperature": 1, "stream": true}`))
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: ") {
		t.Fatal(line, err)
	}
	cancel()
	_, _ = io.Copy(io.Discard, resp.Body)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, _, text := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT sum(busy)::INTEGER FROM ai.engines"}`)
		if strings.Contains(text, "[[0]") || strings.Contains(text, "[0]\n]") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(text)
		}
	}
}
