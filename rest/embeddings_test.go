package rest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
)

type embeddings struct {
	Object, Model string
	Data          []struct {
		Object    string
		Index     int
		Embedding json.RawMessage
	}
	Usage embeddingUsage
}

func embed(t *testing.T, text string) embeddings {
	t.Helper()
	var e embeddings
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return e
}

func TestEmbeddings(t *testing.T) {
	srv := newModelServer(t)
	status, header, text := call(t, srv, "POST", "/v1/embeddings", `{"input": ["the time", "", "the time", "people"]}`)
	e := embed(t, text)
	if status != 200 || e.Object != "list" || e.Model != "tiny" || len(e.Data) != 4 || e.Usage.PromptTokens < 6 || e.Usage.TotalTokens != e.Usage.PromptTokens {
		t.Fatal(status, text)
	}
	var vectors [4][]float32
	for i, d := range e.Data {
		if err := json.Unmarshal(d.Embedding, &vectors[i]); err != nil {
			t.Fatal(err)
		}
		var sum float64
		for _, x := range vectors[i] {
			sum += float64(x) * float64(x)
		}
		if d.Index != i || d.Object != "embedding" || len(vectors[i]) != 64 || math.Abs(sum-1) > 1e-5 {
			t.Errorf("%d: %s %d, %d wide, length %v", i, d.Object, d.Index, len(vectors[i]), sum)
		}
	}
	if string(e.Data[0].Embedding) != string(e.Data[2].Embedding) || string(e.Data[0].Embedding) == string(e.Data[3].Embedding) {
		t.Error("equal texts differ, or different ones are equal")
	}
	_, _, rows := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT rows, distinct_rows, prompt_tokens > 0 FROM ai.usage WHERE function = 'embed' AND query = ?", "params": ["`+header.Get(queryHeader)+`"]}`)
	if !strings.Contains(rows, "[4,3,true]") {
		t.Error(rows)
	}

	_, _, text = call(t, srv, "POST", "/v1/embeddings", `{"model": "tiny", "input": "the time", "encoding_format": "base64"}`)
	e = embed(t, text)
	var coded string
	if err := json.Unmarshal(e.Data[0].Embedding, &coded); err != nil {
		t.Fatal(err, text)
	}
	raw, err := base64.StdEncoding.DecodeString(coded)
	if err != nil || len(raw) != 4*64 || e.Model != "tiny" {
		t.Fatal(err, text)
	}
	for i := range vectors[0] {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); math.Abs(float64(got-vectors[0][i])) > 1e-3 {
			t.Errorf("component %d: %v, %v in numbers", i, got, vectors[0][i])
		}
	}
}

func TestEmbeddingErrors(t *testing.T) {
	srv := newModelServer(t)
	many := strings.Repeat(`"x",`, maxInputs) + `"x"`
	for _, c := range []struct {
		body   string
		status int
		code   string
		param  string
	}{
		{`{}`, 400, "INVALID_ARGUMENT", "input"},
		{`{"input": []}`, 400, "INVALID_ARGUMENT", "input"},
		{`{"input": [1, 2]}`, 400, "INVALID_ARGUMENT", "input"},
		{`{"input": [` + many + `]}`, 400, "INVALID_ARGUMENT", "input"},
		{`{"input": "x", "encoding_format": "int8"}`, 400, "INVALID_ARGUMENT", "encoding_format"},
		{`{"input": "x", "dimensions": 8}`, 400, "UNSUPPORTED", "dimensions"},
		{`{"input": "x", "model": "none"}`, 404, "MODEL_NOT_FOUND", "model"},
		{fmt.Sprintf(`{"input": ["x", %q]}`, strings.Repeat("time ", 5000)), 400, "CONTEXT_OVERFLOW", ""},
	} {
		status, _, text := call(t, srv, "POST", "/v1/embeddings", c.body)
		wantError(t, status, text, c.status, c.code, c.param)
	}
}
