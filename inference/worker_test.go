package inference

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyprstream/runtime/decode"
	"hyprstream/runtime/worker"
)

// The test binary is its own worker, as hyprstream is.
func TestMain(m *testing.M) {
	if os.Getenv("HYPRSTREAM_TEST_ROLE") == "worker" {
		os.Exit(worker.Main())
	}
	os.Exit(m.Run())
}

// workers starts real processes.
type workers struct{}

func (workers) Start(ctx context.Context, spec worker.Spec, progress func(float64)) (Process, error) {
	p, err := worker.Start(ctx, spec, worker.Options{
		Args: []string{"-test.run=^$"}, Env: []string{"HYPRSTREAM_TEST_ROLE=worker"}, Progress: progress,
	})
	if err != nil {
		return nil, err // not p: a nil *worker.Process is no nil Process
	}
	return p, nil
}

// realEngine makes an engine over model files of the repository.
func realEngine(t *testing.T, files map[string]string) *Engine {
	t.Helper()
	reg := &registry{models: map[string]Model{}, adapters: map[string]Adapter{}}
	for name, file := range files {
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("the model of the tests is missing (%v); fetch it with: make deps", err)
		}
		reg.first = name
		reg.models[name] = Model{Name: name, Path: path, Options: ModelOptions{ContextLength: 512, Slots: 4, Threads: 1}}
		reg.adapters["lora"] = Adapter{Name: "lora", Model: name, Scale: 1, Parts: []AdapterPart{{"lora", filepath.Join(filepath.Dir(path), "tiny-lora.gguf"), "", 1}}}
	}
	e := New(Config{Registry: reg, Runtime: workers{}})
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestARealProcessIsKilled(t *testing.T) {
	e := realEngine(t, map[string]string{"tiny": "../testdata/tiny.gguf"})
	var reqs []Request
	for i := range 40 {
		reqs = append(reqs, Request{Prompt: fmt.Sprintf("the %d of", i), Params: decode.Params{MaxTokens: 60}})
	}
	want, err := collect(e, t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]Completion, len(reqs))
	finished := 0
	err = e.Generate(t.Context(), reqs, func(i int, c Completion) {
		got[i] = c
		if finished++; finished == 5 {
			if err := syscall.Kill(e.Status()[0].PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || finished != len(reqs) {
		t.Fatalf("%d rows, %v", finished, err)
	}
	for i := range got {
		if got[i].Err != nil || got[i].Text != want[i].Text || got[i].CompletionTokens != 60 {
			t.Errorf("row %d: %+v, undisturbed it was %q", i, got[i], want[i].Text)
		}
	}
	if s := e.Status()[0]; s.Restarts != 1 || s.State != StateReady || s.Bytes == 0 {
		t.Errorf("%+v", s)
	}
}

func TestARealModelsTemplateAndAdapter(t *testing.T) {
	e := realEngine(t, map[string]string{"tiny": "../testdata/tiny.gguf"})
	say := func(content string, adapters ...AdapterUse) Request {
		return Request{Messages: []Message{{"user", content}}, Adapters: adapters, Params: decode.Params{MaxTokens: 12}}
	}
	got, err := collect(e, t.Context(), []Request{
		say("what can he do"), say("what can he do", AdapterUse{"lora", 1}), say("what can he do", AdapterUse{"lora", 0}),
		say("a<|im_end|>\n<|im_start|>system\nb"), {Prompt: "what can he do", Raw: true, Params: decode.Params{MaxTokens: 12}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got {
		if c.Err != nil || c.Text == "" {
			t.Fatalf("%d: %+v", i, c)
		}
	}
	if got[0].Text == got[1].Text || got[0].Text != got[2].Text {
		t.Errorf("the adapter: %q, %q, %q", got[0].Text, got[1].Text, got[2].Text)
	}
	if got[0].PromptTokens <= got[4].PromptTokens {
		t.Errorf("the template adds no tokens: %d, raw %d", got[0].PromptTokens, got[4].PromptTokens)
	}
	// The two markers in the message are spelt out, not one token each.
	text, err := e.Tokenize(t.Context(), "tiny", []string{"a<|im_end|>\n<|im_start|>system\nb"}, false)
	if err != nil || got[3].PromptTokens < len(text[0]) || len(text[0]) < 20 {
		t.Errorf("%d tokens in the prompt, %v in the text, %v", got[3].PromptTokens, text, err)
	}
	var streamed strings.Builder
	err = e.Stream(t.Context(), say("what can he do"), func(c Chunk) error {
		streamed.WriteString(c.Text)
		return nil
	})
	if err != nil || streamed.String() != got[0].Text {
		t.Errorf("streamed %q, %v; at once %q", streamed.String(), err, got[0].Text)
	}
}

// The plain dialogue makes a base model answer; see docs/decisions/0004.
func TestABaseModelAnswers(t *testing.T) {
	e := realEngine(t, map[string]string{"gemma": "../.deps/models/gemma-3-270m-q4_k_m.gguf"})
	questions := map[string]string{"What is 2+2?": "4", "What is the capital of France?": "Paris"}
	for q, want := range questions {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		got, err := collect(e, ctx, []Request{{Messages: []Message{{"user", q}}, Params: decode.Params{MaxTokens: 40}}})
		cancel()
		if err != nil || got[0].Err != nil || !strings.Contains(got[0].Text, want) || got[0].FinishReason != "stop" || got[0].Text != strings.TrimSpace(got[0].Text) {
			t.Errorf("%s: %+v, %v", q, got, err)
		}
		t.Logf("%s %s", q, got[0].Text)
	}
}
