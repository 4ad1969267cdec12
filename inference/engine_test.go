package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/worker"
)

func TestGenerate(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	reqs := append(prompts("a", "one", "two"), prompts("b", "three")...)
	reqs = append(reqs, Request{Prompt: "four"}) // the default model
	got, err := collect(e, t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"a ONE", "a TWO", "b THREE", "a FOUR"} {
		if s := got[i].Model + " " + got[i].Text; s != want || got[i].FinishReason != "stop" || got[i].CompletionTokens != 1 {
			t.Errorf("%d: %+v, want %q", i, got[i], want)
		}
	}
	if n := h.starts.Load(); n != 2 {
		t.Errorf("%d processes for two models", n)
	}
	if got, err := collect(e, t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no requests gave %v, %v", got, err)
	}
}

func TestGenerateDefaults(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	before := time.Now()
	_, err := collect(e, t.Context(), []Request{{Prompt: "x", Timeout: time.Minute, Logprobs: true}})
	if err != nil {
		t.Fatal(err)
	}
	r := h.seen()[0]
	if r.Params.MaxTokens != 256 || !r.Logprobs || r.Stream || !r.AddBOS || r.Deadline.Before(before.Add(time.Minute)) || r.Prompt[0].Special {
		t.Errorf("%+v", r)
	}
}

func TestUnknownModelFailsTheStatement(t *testing.T) {
	e, _ := engine(t, &host{})
	_, err := collect(e, t.Context(), prompts("gema", "x"))
	if errs.CodeOf(err) != errs.ModelNotFound || !strings.Contains(err.Error(), `nearest is "a"`) {
		t.Errorf("%v", err)
	}
}

func TestEqualGreedyRequestsAreComputedOnce(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	warm := Request{Prompt: "x", Params: decode.Params{Temperature: 1}}
	other := Request{Prompt: "x", Params: decode.Params{MaxTokens: 3}}
	reqs := []Request{{Prompt: "x"}, {Model: "a", Prompt: "x"}, {Prompt: "y"}, warm, warm, other, {Model: "b", Prompt: "x"},
		{Prompt: "x", Params: decode.Params{MaxTokens: 256}}, {Prompt: "x", Raw: true}, {Messages: []Message{{"user", "x"}}}}
	got, err := collect(e, t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got[:9] {
		if want := strings.ToUpper(reqs[i].Prompt); c.Text != want {
			t.Errorf("%d: %q, want %q", i, c.Text, want)
		}
	}
	// x (three equal), y, warm twice, other, b's, raw, messages.
	if n := len(h.seen()); n != 8 {
		t.Errorf("%d requests reached processes, want 8", n)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	nan := float32(math.NaN())
	cases := map[string]struct {
		req  Request
		want string
	}{
		"max_tokens":          {Request{Params: decode.Params{MaxTokens: -1}}, "max_tokens is -1"},
		"temperature":         {Request{Params: decode.Params{Temperature: -1}}, "temperature is -1"},
		"temperature NaN":     {Request{Params: decode.Params{Temperature: nan}}, "temperature is NaN"},
		"temperature inf":     {Request{Params: decode.Params{Temperature: float32(math.Inf(1))}}, "temperature is +Inf"},
		"top_p":               {Request{Params: decode.Params{TopP: 1.5}}, "top_p is 1.5"},
		"top_p NaN":           {Request{Params: decode.Params{TopP: nan}}, "top_p is NaN"},
		"top_k":               {Request{Params: decode.Params{TopK: -3}}, "top_k is -3"},
		"min_p":               {Request{Params: decode.Params{MinP: 2}}, "min_p is 2"},
		"repeat_penalty":      {Request{Params: decode.Params{RepeatPenalty: -1}}, "repeat_penalty is -1"},
		"timeout":             {Request{Timeout: -time.Second}, "timeout_ms is -1000"},
		"empty stop":          {Request{Params: decode.Params{Stop: []string{"a", ""}}}, "stop string 2 is empty"},
		"long stop":           {Request{Params: decode.Params{Stop: []string{strings.Repeat("a", 5000)}}}, "5000 bytes"},
		"many stops":          {Request{Params: decode.Params{Stop: make([]string, 1001)}}, "1001 strings"},
		"role":                {Request{Messages: []Message{{"robot", "x"}}}, `role "robot"`},
		"no messages":         {Request{Messages: []Message{}}, "no turn"},
		"system alone":        {Request{Messages: []Message{{"system", "x"}}}, "no turn"},
		"adapter scale":       {Request{Adapters: []AdapterUse{{"polite", nan}}}, "scale NaN"},
		"no continuation":     {Request{Continuations: []string{}}, "nothing to score"},
		"no answer":           {Request{Choice: &Choice{Text: "x"}}, "nothing to score"},
		"adapter named twice": {Request{Adapters: []AdapterUse{{"polite", 1}, {"polite", 0.5}}}, "named twice"},
	}
	e, _ := engine(t, &host{})
	reqs := []Request{{Prompt: "sound", Params: decode.Params{Stop: strings.Split(strings.Repeat("x", 1000), "")}}}
	names := []string{"sound"}
	for name, c := range cases {
		names = append(names, name)
		reqs = append(reqs, c.req)
	}
	got, err := collect(e, t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got {
		if i == 0 {
			if c.Err != nil || c.Text != "SOUND" {
				t.Errorf("a row beside bad ones: %+v", c)
			}
			continue
		}
		if c.Err == nil || c.Err.Code != errs.InvalidArgument || !strings.Contains(c.Err.Msg, cases[names[i]].want) {
			t.Errorf("%s: %v, want %q", names[i], c.Err, cases[names[i]].want)
		}
	}
}

func TestAdapters(t *testing.T) {
	h := &host{}
	var mu sync.Mutex
	var verified []string
	e, _ := engine(t, h, func(c *Config) {
		c.Verify = func(_ context.Context, sha string) error {
			mu.Lock()
			defer mu.Unlock()
			verified = append(verified, sha)
			return nil
		}
	})
	use := func(u ...AdapterUse) Request { return Request{Prompt: fmt.Sprint(u), Adapters: u} }
	got, err := collect(e, t.Context(), []Request{
		use(AdapterUse{"terse", 1}, AdapterUse{"polite", 0.5}),
		use(AdapterUse{"polite", 0.5}, AdapterUse{"terse", 1}),
		use(AdapterUse{"rude", 1}),
		{Model: "b", Prompt: "x", Adapters: []AdapterUse{{"polite", 1}}},
		use(AdapterUse{"polite", 0}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if s := fmt.Sprint(h.seen()[i].Adapters); s != "[{/adapters/polite 1} {/adapters/terse 1}]" {
			t.Errorf("request %d has %s", i, s)
		}
	}
	for i := 2; i < 4; i++ {
		if got[i].Err == nil || got[i].Err.Code != errs.AdapterNotFound {
			t.Errorf("row %d: %v", i, got[i].Err)
		}
	}
	if a := h.seen()[2].Adapters; len(a) != 0 {
		t.Errorf("an adapter of scale 0 is applied: %v", a)
	}
	count := map[string]int{}
	for _, sha := range verified {
		count[sha]++
	}
	if count["p"] != 2 || count["t"] != 1 || count["a"] != 1 { // an adapter for each scale that it is used with
		t.Errorf("verified %v", verified)
	}
	if h.specs[0].SHA256 != "" {
		t.Error("the process is asked to check what has been checked")
	}
	if h.specs[0].PrefixBytes != worker.DefaultPrefixBytes {
		t.Errorf("%d bytes of prefixes", h.specs[0].PrefixBytes)
	}
}

func TestEngineDiesOnce(t *testing.T) {
	h := &host{answering: func(_ context.Context, n, i int, _ decode.Request) bool { return n == 1 && i == 3 }}
	e, _ := engine(t, h)
	got, err := collect(e, t.Context(), prompts("a", "1", "2", "3", "4", "5"))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got {
		if c.Text != fmt.Sprint(i+1) || c.Err != nil {
			t.Errorf("%d: %+v", i, c)
		}
	}
	if fmt.Sprint(h.batches) != "[5 3]" {
		t.Errorf("batches %v: finished rows must not be computed again", h.batches)
	}
	s := e.Status()
	if len(s) != 1 || s[0].Restarts != 1 || s[0].State != StateReady || !strings.Contains(s[0].LastError, "killed") {
		t.Errorf("%+v", s)
	}
}

func TestEngineDiesTwice(t *testing.T) {
	h := &host{answering: func(_ context.Context, n, i int, r decode.Request) bool { return r.Prompt[0].Text == "poison" }}
	e, _ := engine(t, h)
	_, err := collect(e, t.Context(), prompts("a", "1", "poison", "3"))
	if errs.CodeOf(err) != errs.EngineDied || !strings.Contains(err.Error(), `model "a" died`) {
		t.Errorf("%v", err)
	}
	got, err := collect(e, t.Context(), prompts("a", "again"))
	if err != nil || got[0].Text != "AGAIN" {
		t.Errorf("the engine does not live on: %v", err)
	}
	if n := h.starts.Load(); n != 3 {
		t.Errorf("%d starts", n)
	}
}

func TestEngineDiesWhileIdle(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	if err := e.Load(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	h.last().die()
	eventually(t, "the death is noticed", func() bool { return e.Ready("a") == StateUnloaded })
	if _, err := collect(e, t.Context(), prompts("a", "x")); err != nil || h.starts.Load() != 2 {
		t.Errorf("%v after %d starts", err, h.starts.Load())
	}
}

func TestOneLoadForAll(t *testing.T) {
	gate := make(chan struct{})
	h := &host{starting: func(ctx context.Context, _ int, _ worker.Spec, progress func(float64)) error {
		progress(0.5)
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	e, _ := engine(t, h)
	var wg sync.WaitGroup
	impatient, leave := context.WithCancel(t.Context())
	var left error
	var heard atomic.Int32
	for i := range 9 {
		ctx := t.Context()
		if i == 0 {
			ctx = impatient
		}
		wg.Go(func() {
			err := e.Load(ctx, "a", func(f float64) {
				if f == 0.5 {
					heard.Add(1)
				}
			})
			if i == 0 {
				left = err
			} else if err != nil {
				t.Errorf("waiter %d: %v", i, err)
			}
		})
	}
	eventually(t, "all wait for the load", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		r := e.residents["a"]
		return r != nil && r.load != nil && r.load.waiters == 9 && heard.Load() > 0
	})
	leave()
	time.Sleep(10 * time.Millisecond)
	close(gate)
	wg.Wait()
	if errs.CodeOf(left) != errs.Cancelled || h.starts.Load() != 1 || e.Ready("a") != StateReady {
		t.Errorf("who left got %v, %d starts, %s", left, h.starts.Load(), e.Ready("a"))
	}
}

func TestALoadNobodyWaitsForIsGivenUp(t *testing.T) {
	stopped := make(chan struct{})
	h := &host{starting: func(ctx context.Context, n int, _ worker.Spec, _ func(float64)) error {
		if n > 1 {
			return nil
		}
		<-ctx.Done()
		close(stopped)
		return ctx.Err()
	}}
	e, _ := engine(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := e.Load(ctx, "a", nil); errs.CodeOf(err) != errs.Timeout {
		t.Errorf("%v", err)
	}
	<-stopped
	if _, err := collect(e, t.Context(), prompts("a", "x")); err != nil {
		t.Errorf("the next use fails: %v", err)
	}
	if s := e.Status(); s[0].LastError != "" {
		t.Errorf("a load that was given up counts as failed: %+v", s)
	}
}

func TestFailedLoad(t *testing.T) {
	h := &host{starting: func(_ context.Context, n int, spec worker.Spec, _ func(float64)) error {
		if n == 1 {
			return errs.New(errs.InvalidModelFile, "load", "%s is damaged", spec.Path)
		}
		return nil
	}}
	e, _ := engine(t, h, func(c *Config) { c.MemoryBudget = 100 << 20 })
	_, err := collect(e, t.Context(), prompts("a", "x"))
	if errs.CodeOf(err) != errs.InvalidModelFile || !strings.Contains(err.Error(), `model "a"`) || !strings.Contains(err.Error(), "/models/a is damaged") {
		t.Errorf("%v", err)
	}
	if e.Ready("a") != StateFailed {
		t.Errorf("state %s", e.Ready("a"))
	}
	if _, err := collect(e, t.Context(), prompts("a", "x")); err != nil || e.Ready("a") != StateReady {
		t.Errorf("%v, %s: the next use must try again, and memory be free", err, e.Ready("a"))
	}
}

func TestDigestIsCheckedAtLoad(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h, func(c *Config) {
		c.Verify = func(context.Context, string) error { return errs.New(errs.DigestMismatch, "test", "it has changed") }
	})
	_, err := collect(e, t.Context(), prompts("a", "x"))
	if errs.CodeOf(err) != errs.DigestMismatch || h.starts.Load() != 0 {
		t.Errorf("%v, %d starts", err, h.starts.Load())
	}
}

func TestRowsOfACancelledStatement(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := &host{answering: func(ctx context.Context, _, i int, _ decode.Request) bool {
		if i == 2 {
			cancel()
			<-ctx.Done()
		}
		return false
	}}
	e, _ := engine(t, h)
	got, err := collect(e, ctx, prompts("a", "1", "2", "3"))
	if errs.CodeOf(err) != errs.Cancelled || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", err, got)
	}
	if got, err := collect(e, t.Context(), prompts("a", "4")); err != nil || got[0].Text != "4" || h.starts.Load() != 1 {
		t.Errorf("the engine does not go on: %v", err)
	}
}

func TestTokens(t *testing.T) {
	h := &host{answering: func(_ context.Context, n, i int, _ decode.Request) bool { return n == 1 }}
	e, _ := engine(t, h) // the first process dies at the first question
	tokens, err := e.Tokenize(t.Context(), "a", []string{"", "abc", "é"}, false)
	if err != nil || fmt.Sprint(tokens) != "[[] [97 98 99] [195 169]]" {
		t.Errorf("%v, %v", tokens, err)
	}
	if none, err := e.Tokenize(t.Context(), "b", nil, false); err != nil || len(none) != 0 || h.starts.Load() != 2 {
		t.Errorf("no texts: %v, %v, %d starts", none, err, h.starts.Load())
	}
	if texts, err := e.Detokenize(t.Context(), "", tokens[:2]); err != nil || fmt.Sprintf("%q", texts) != `["" "abc"]` {
		t.Errorf("%q, %v", texts, err)
	}
	if _, err := e.Detokenize(t.Context(), "a", [][]int32{{1}, {5000}}); errs.CodeOf(err) != errs.InvalidArgument || !strings.Contains(err.Error(), "token 5000") {
		t.Errorf("an unknown token: %v", err)
	}
}

// A blend is its parts; a file that another adapter of the row has as well counts
// with the sum of the scales.
func TestBlend(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	reqs := []Request{
		{Prompt: "a", Lineage: true, Adapters: []AdapterUse{{"blend", 2}}},
		{Prompt: "b", Adapters: []AdapterUse{{"blend", 2}, {"polite", 0.25}}},
		{Prompt: "c", Adapters: []AdapterUse{{"blend", 2}, {"polite", -0.75}}},
		{Prompt: "d", Adapters: []AdapterUse{{"blend", 1}, {"blend", 2}}},
	}
	got, err := collect(e, t.Context(), reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"[{/adapters/old 1} {/adapters/polite 1.5}]", "[{/adapters/old 1} {/adapters/polite 2}]", "[{/adapters/old 1}]"} {
		if s := fmt.Sprint(h.seen()[i].Adapters); s != want {
			t.Errorf("request %d has %s", i, s)
		}
	}
	if s := fmt.Sprint(got[0].Lineage.Adapters); s != "[{blend/polite p 1.5} {blend/old o 1}]" {
		t.Error(s)
	}
	if got[3].Err == nil || !strings.Contains(got[3].Err.Msg, "named twice") {
		t.Error(got[3].Err)
	}
}
