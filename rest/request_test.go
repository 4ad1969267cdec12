package rest

import (
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"hyprstream/errs"
)

const hello = `"messages": [{"role": "user", "content": "hi"}]`

func parseChat(body string) (chatRequest, error) {
	var req chatRequest
	r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(body))
	err := readJSON(r, &req)
	if err == nil {
		err = req.check()
	}
	return req, err
}

func TestBadChatRequests(t *testing.T) {
	for _, c := range []struct {
		body  string
		code  errs.Code
		param string
	}{
		{`{` + hello + `, "temperature": "hot"}`, errs.InvalidArgument, "temperature"},
		{`{` + hello + `, "temperature": -1}`, errs.InvalidArgument, "temperature"},
		{`{` + hello + `, "top_p": 0}`, errs.InvalidArgument, "top_p"},
		{`{` + hello + `, "n": 0}`, errs.InvalidArgument, "n"},
		{`{` + hello + `, "n": 1.5}`, errs.InvalidArgument, "n"},
		{`{` + hello + `, "max_tokens": 0}`, errs.InvalidArgument, "max_tokens"},
		{`{` + hello + `, "max_completion_tokens": -1}`, errs.InvalidArgument, "max_completion_tokens"},
		{`{` + hello + `, "stream": "yes"}`, errs.InvalidArgument, "stream"},
		{`{` + hello + `, "stream_options": {"include_usage": 1}}`, errs.InvalidArgument, "stream_options.include_usage"},
		{`{` + hello + `, "model": 7}`, errs.InvalidArgument, "model"},
		{`{` + hello + `, "stop": {}}`, errs.InvalidArgument, "stop"},
		{`{` + hello + `, "tools": [{}]}`, errs.Unsupported, "tools"},
		{`{` + hello + `, "logprobs": true}`, errs.Unsupported, "logprobs"},
		{`{` + hello + `, "response_format": {"type": "json_schema"}}`, errs.InvalidArgument, "response_format"},
		{`{` + hello + `, "response_format": {"type": "xml"}}`, errs.Unsupported, "response_format"},
		{`{}`, errs.InvalidArgument, "messages"},
		{`{"messages": []}`, errs.InvalidArgument, "messages"},
		{`{"messages": "hi"}`, errs.InvalidArgument, "messages"},
		{`{"messages": [{"role": "robot", "content": "hi"}]}`, errs.InvalidArgument, "messages[0].role"},
		{`{"messages": [{"role": "user", "content": 7}]}`, errs.InvalidArgument, "messages.content"},
		{`{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}`, errs.InvalidArgument, "messages.content"},
		{`{"messages": `, errs.InvalidArgument, ""},
		{`{} {}`, errs.InvalidArgument, ""},
		{`null`, errs.InvalidArgument, "messages"},
	} {
		_, err := parseChat(c.body)
		var pe *paramError
		param := ""
		if errors.As(err, &pe) {
			param = pe.param
		}
		if errs.CodeOf(err) != c.code || param != c.param {
			t.Errorf("%s: %v (%s, param %q), want %s, param %q", c.body, err, errs.CodeOf(err), param, c.code, c.param)
		}
	}
}

func TestChatStatement(t *testing.T) {
	for _, c := range []struct {
		body, sql string
		args      []any
	}{
		{`{` + hello + `, "unknown": {"x": 1}, "temperature": null, "stop": null, "model": null}`,
			"SELECT 0 AS request, " + choiceColumns + " FROM generate(NULL::VARCHAR, NULL::VARCHAR, messages := $1)",
			[]any{`[{"role":"user","content":"hi"}]`}},
		{`{"model": "g'); DROP TABLE t; --", "messages": [{"role": "developer", "content": "be brief"}, {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
			"n": 2, "max_tokens": 5, "max_completion_tokens": 6, "temperature": 0.5, "top_p": 0.9, "seed": -3, "stop": ["x", "y"], "adapter": "polite:0.5", "top_k": 40}`,
			"SELECT 0 AS request, " + choiceColumns + " FROM generate($1, NULL::VARCHAR, messages := $2, n := $3, max_tokens := $4, temperature := $5, top_p := $6, top_k := $7, seed := $8, stop := [$9, $10], adapter := [$11])",
			[]any{"g'); DROP TABLE t; --", `[{"role":"system","content":"be brief"},{"role":"user","content":"ab"}]`, int64(2), int64(6), 0.5, 0.9, int64(40), int64(-3), "x", "y", "polite:0.5"}},
	} {
		req, err := parseChat(c.body)
		if err != nil {
			t.Error(err)
			continue
		}
		st, err := chatStatement(&req)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := st.sql.String(); got != c.sql || !reflect.DeepEqual(st.args, c.args) {
			t.Errorf("%s:\n got %s %#v\nwant %s %#v", c.body, got, st.args, c.sql, c.args)
		}
	}
}

func TestCompletionStatement(t *testing.T) {
	var req completionRequest
	r := httptest.NewRequest("POST", "/v1/completions", strings.NewReader(`{"prompt": ["a", ""], "stop": "z"}`))
	if err := readJSON(r, &req); err != nil {
		t.Fatal(err)
	}
	if err := req.check(); err != nil {
		t.Fatal(err)
	}
	st := completionStatement(&req)
	want := "SELECT 0 AS request, " + choiceColumns + " FROM generate(NULL::VARCHAR, $1, raw := true, stop := [$2])" +
		" UNION ALL SELECT 1 AS request, " + choiceColumns + " FROM generate(NULL::VARCHAR, $3, raw := true, stop := [$4])"
	if got := st.sql.String(); got != want || !reflect.DeepEqual(st.args, []any{"a", "z", "", "z"}) {
		t.Errorf("got %s %q", got, st.args)
	}
}

// FuzzChatRequest: whatever a client sends is a statement or an error with a code of its own.
func FuzzChatRequest(f *testing.F) {
	f.Add(`{` + hello + `, "stop": ["a"], "n": 2}`)
	f.Add(`{"messages": [{"role": "user", "content": [{"type": "text", "text": "é"}]}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		req, err := parseChat(body)
		if err != nil {
			if errs.CodeOf(err) == errs.Internal || statusOf(err) >= 500 {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		if _, err := chatStatement(&req); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	})
}
