package worker

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hyprstream/runtime/decode"
)

// The test binary is its own worker, as hyprstream is.
func TestMain(m *testing.M) {
	switch os.Getenv("HYPRSTREAM_TEST_ROLE") {
	case "worker":
		os.Exit(Main())
	case "parent":
		os.Exit(parentThatWaits())
	}
	os.Exit(m.Run())
}

// model is the real model that make deps fetches. Its absence is a failure:
// without it these tests would prove nothing.
func model(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../.deps/models/gemma-3-270m-q4_k_m.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the model of the tests is missing (%v); fetch it with: make deps", err)
	}
	return path
}

func options() Options {
	return Options{Args: []string{"-test.run=^$"}, Env: []string{"HYPRSTREAM_TEST_ROLE=worker"}}
}

// start runs a worker for the test's duration.
func start(t *testing.T, spec Spec) *Process {
	t.Helper()
	p, err := Start(t.Context(), spec, options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func prompt(text string, tokens int) decode.Request {
	return decode.Request{
		Prompt: []decode.Segment{{Text: text}}, AddBOS: true, Tokens: true,
		Params: decode.Params{MaxTokens: tokens},
	}
}

// results runs requests and returns their results by index; nil where none came.
func results(ctx context.Context, p *Process, reqs []decode.Request) ([]*decode.Result, error) {
	out := make([]*decode.Result, len(reqs))
	err := p.Submit(ctx, reqs, func(e decode.Event) {
		if e.Result != nil {
			out[e.Index] = e.Result
		}
	})
	return out, err
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, d)
		}
	}
}
