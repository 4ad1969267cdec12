package worker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat") // an unreaped zombie is not alive
	return err != nil || !bytes.Contains(b, []byte(") Z "))
}

// A worker's whole life with the real model: information, text, sampling,
// stops, tokens, cancel.
func TestWorkerServesTheRealModel(t *testing.T) {
	path := model(t)
	var progress []float64
	o := options()
	o.Progress = func(f float64) { progress = append(progress, f) }
	p, err := Start(t.Context(), Spec{Path: path, SHA256: digest(t, path), ContextLength: 1024, Slots: 8}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		pid := p.PID()
		if err := p.Close(); err != nil || alive(pid) {
			t.Errorf("Close: %v, alive %v", err, alive(pid))
		}
		if err := p.Err(); errs.CodeOf(err) != errs.EngineUnavailable {
			t.Errorf("Err after Close: %v", err)
		}
	}()
	if n := len(progress); n < 2 || progress[n-1] != 1 || !slices.IsSorted(progress) {
		t.Errorf("progress %v", progress)
	}
	info := p.Info()
	if info.ContextLength != 1024 || info.Slots != 8 || info.Vocabulary != 262144 || info.BOS != "<bos>" || info.EOS != "<eos>" ||
		!info.AddsBOS || info.ChatTemplate != "" || info.Parameters < 200e6 || info.Embedding != 640 || !strings.HasPrefix(info.Build, "llama.cpp ") {
		t.Errorf("info %+v", info)
	}
	if rss := p.ResidentBytes(); rss < 100<<20 {
		t.Errorf("resident %d bytes", rss)
	}
	t.Run("dialogue", func(t *testing.T) { testDialogue(t, p) })
	t.Run("sampling", func(t *testing.T) { testSampling(t, p) })
	t.Run("grammar", func(t *testing.T) { testGrammar(t, p) })
	t.Run("overflow", func(t *testing.T) { testOverflow(t, p) })
	t.Run("cancel", func(t *testing.T) { testCancel(t, p) })
	t.Run("tokens", func(t *testing.T) { testTokens(t, p) })
	within(t, 5*time.Second, "idle after what was cancelled", func() bool { // told of before its slot is free
		stats, err := p.Stats(t.Context())
		return err == nil && stats.CompletionTokens > 0 && stats.Busy == 0 && stats.Queued == 0 && !stats.IdleSince.IsZero()
	})
}

func digest(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func dialogue(question string) decode.Request {
	r := prompt("The following is a conversation between a user and a helpful assistant.\n\nUser: "+question+"\nAssistant:", 64)
	r.Params.Stop = []string{"\nUser:"}
	return r
}

func testDialogue(t *testing.T, p *Process) {
	var pieces strings.Builder
	events := 0
	r := dialogue("What is the capital of France?")
	r.Stream, r.Logprobs = true, true
	var got *decode.Result
	err := p.Submit(t.Context(), []decode.Request{r}, func(e decode.Event) {
		pieces.WriteString(e.Text)
		events++
		got = e.Result
	})
	if err != nil || got == nil || got.Err != nil {
		t.Fatal(err, got)
	}
	if !strings.Contains(got.Text, "Paris") || strings.Contains(got.Text, "User:") || got.FinishReason != decode.FinishStop {
		t.Errorf("answer %q, %s", got.Text, got.FinishReason)
	}
	if pieces.String() != got.Text || events < 3 || got.Logprob >= 0 || got.Prefill <= 0 || got.Decode <= 0 {
		t.Errorf("%d pieces %q, result %+v", events, pieces.String(), got)
	}
	rs, err := results(t.Context(), p, []decode.Request{dialogue("What is 2+2?")})
	if err != nil || !strings.Contains(rs[0].Text, "4") {
		t.Errorf("2+2: %v, %+v", err, rs[0])
	}
}

func testSampling(t *testing.T, p *Process) {
	with := func(seed uint32) decode.Request {
		r := prompt("My favourite animal is", 16)
		r.Params.Temperature, r.Params.Seed, r.Params.TopK, r.Params.TopP, r.Params.MinP = 1.2, seed, 100, 0.95, 0.01
		r.Params.RepeatPenalty = 1.1
		return r
	}
	one := func(seed uint32) string {
		rs, err := results(t.Context(), p, []decode.Request{with(seed)})
		if err != nil || rs[0].Err != nil {
			t.Fatal(err, rs[0])
		}
		return rs[0].Text
	}
	if a, b, again := one(1), one(2), one(1); a != again || a == b {
		t.Errorf("seed 1: %q and %q, seed 2: %q", a, again, b)
	}
	r := prompt("The end.", 12)
	r.Params.IgnoreEOS = true
	if rs, err := results(t.Context(), p, []decode.Request{r}); err != nil || rs[0].CompletionTokens != 12 || rs[0].FinishReason != decode.FinishLength {
		t.Errorf("ignore_eos: %v, %+v", err, rs[0])
	}
}

func testGrammar(t *testing.T, p *Process) {
	good, bad, odd := prompt("Is water wet? Answer:", 20), prompt("x", 4), prompt("x", 4)
	good.Params.Grammar = `root ::= " " ("yes" | "no") "!"`
	bad.Params.Grammar = `root ::= (`
	odd.Params.Grammar = `start ::= "a"` // no root
	warm := good
	warm.Params.Temperature = 1
	rs, err := results(t.Context(), p, []decode.Request{good, bad, odd, warm})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 3} {
		if got := rs[i].Text; got != " yes!" && got != " no!" || rs[i].FinishReason != decode.FinishStop {
			t.Errorf("%q, %s, %v", got, rs[i].FinishReason, rs[i].Err)
		}
	}
	for _, i := range []int{1, 2} {
		if e := rs[i].Err; e == nil || e.Code != errs.InvalidArgument || !strings.Contains(e.Msg, "grammar") {
			t.Errorf("grammar %d: %v", i, e)
		}
	}
}

func testOverflow(t *testing.T, p *Process) {
	reqs := []decode.Request{
		prompt(strings.Repeat("word ", 2000), 4),
		prompt(strings.Repeat("word ", 1000)+"and", 100),
		prompt("\x00\xff\xfe invalid \xc3", 4),
		{Params: decode.Params{MaxTokens: 4}},
	}
	rs, err := results(t.Context(), p, reqs)
	if err != nil {
		t.Fatal(err)
	}
	if e := rs[0].Err; e == nil || e.Code != errs.ContextOverflow || !strings.Contains(e.Msg, "1024") {
		t.Errorf("too long: %v", e)
	}
	if r := rs[1]; r.Err != nil || r.FinishReason != decode.FinishLength || r.PromptTokens+r.CompletionTokens != 1025 && r.CompletionTokens != 100 {
		t.Errorf("to the end: %+v", r)
	}
	for _, r := range rs[2:] {
		if r.Err != nil {
			t.Errorf("odd prompts: %v", r.Err)
		}
	}
}

func testCancel(t *testing.T, p *Process) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	endless := prompt("Once upon a time", 1000)
	endless.Stream, endless.Params.IgnoreEOS = true, true
	var finished atomic.Int32
	err := p.Submit(ctx, slices.Repeat([]decode.Request{endless}, 600), func(e decode.Event) {
		cancel()
		if e.Result != nil && e.Result.Err != nil && e.Result.Err.Code == errs.Cancelled {
			finished.Add(1)
		}
	})
	if errs.CodeOf(err) != errs.Cancelled || finished.Load() != 600 {
		t.Errorf("%v, %d of 600 were told", err, finished.Load())
	}
	within(t, 5*time.Second, "slots free after cancel", func() bool {
		s, err := p.Stats(t.Context())
		return err == nil && s.Busy == 0 && s.Queued == 0
	})
	late, cancelLate := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancelLate()
	if rs, err := results(late, p, []decode.Request{endless}); errs.CodeOf(err) != errs.Timeout || rs[0].Err.Code != errs.Timeout {
		t.Errorf("timeout: %v, %+v", err, rs[0])
	}
}

// Text of control tokens becomes one only where it is allowed to; tokenizing
// goes on while the model decodes.
func testTokens(t *testing.T, p *Process) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	endless := prompt("Once upon a time", 1000)
	endless.Params.IgnoreEOS = true
	decoding := make(chan error, 1)
	go func() { decoding <- p.Submit(ctx, []decode.Request{endless}, func(decode.Event) {}) }()
	text := "<start_of_turn>user\nGrüße 😀<end_of_turn>"
	got, err := p.Tokenize(t.Context(), [][]decode.Segment{
		{{Text: text, Special: true}}, {{Text: text}}, {{Text: "ab "}, {Text: "cd"}}, {{Text: "ab cd"}}, nil,
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(got[0]) >= len(got[1]) || got[0][0] != 105 || slices.Contains(got[1], 105) {
		t.Errorf("special %v, plain %v", got[0], got[1])
	}
	if !slices.Equal(got[2], got[3]) || len(got[4]) != 0 {
		t.Errorf("in two segments %v, in one %v; of nothing %v", got[2], got[3], got[4])
	}
	back, err := p.Detokenize(t.Context(), [][]decode.Token{got[1], got[0], nil})
	if err != nil || !slices.Equal(back, []string{text, text, ""}) {
		t.Errorf("back %q, %v", back, err)
	}
	if back, err := p.Detokenize(t.Context(), nil); err != nil || len(back) != 0 {
		t.Errorf("nothing: %q, %v", back, err)
	}
	cancel()
	if err := <-decoding; errs.CodeOf(err) != errs.Cancelled {
		t.Error(err)
	}
}

// kill -9 in the middle of a batch: every caller is told, and nothing else
// happens to the parent.
func TestKilledWorkerFailsAllPending(t *testing.T) {
	p := start(t, Spec{Path: model(t), ContextLength: 512, Slots: 8})
	endless := prompt("Once upon a time", 400)
	endless.Stream, endless.Params.IgnoreEOS = true, true
	failed := make(chan error, 3)
	var once atomic.Bool
	for range cap(failed) {
		go func() {
			failed <- p.Submit(t.Context(), slices.Repeat([]decode.Request{endless}, 33), func(decode.Event) {
				if !once.Swap(true) {
					if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
						t.Error(err)
					}
				}
			})
		}()
	}
	for range cap(failed) {
		err := <-failed
		if errs.CodeOf(err) != errs.EngineDied || !strings.Contains(err.Error(), "gemma-3-270m-q4_k_m.gguf") || !strings.Contains(err.Error(), "killed") {
			t.Errorf("Submit: %v", err)
		}
	}
	<-p.Done()
	if errs.CodeOf(p.Err()) != errs.EngineDied {
		t.Errorf("Err: %v", p.Err())
	}
	if _, err := p.Stats(t.Context()); errs.CodeOf(err) != errs.EngineDied {
		t.Errorf("Stats: %v", err)
	}
}

// The child ends with its parent, even when the parent is killed.
func TestWorkerEndsWithItsParent(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "HYPRSTREAM_TEST_ROLE=parent", "HYPRSTREAM_TEST_MODEL="+model(t))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !alive(pid) {
		t.Fatalf("child %q: %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the parent ended well")
	}
	within(t, 5*time.Second, "child gone after its parent", func() bool { return !alive(pid) })
}

func TestLoadingFailures(t *testing.T) {
	path := model(t)
	dir := t.TempDir()
	cut, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	tests := []struct {
		name string
		spec Spec
		code errs.Code
		says string
	}{
		{"no such file", Spec{Path: filepath.Join(dir, "none.gguf")}, errs.InvalidModelFile, "none.gguf"},
		{"a directory", Spec{Path: dir}, errs.InvalidModelFile, "regular file"},
		{"empty", Spec{Path: file("empty.gguf", nil)}, errs.InvalidModelFile, "empty.gguf"},
		{"not GGUF", Spec{Path: file("text.gguf", bytes.Repeat([]byte("no model "), 1000))}, errs.InvalidModelFile, "magic"},
		{"cut in the metadata", Spec{Path: file("head.gguf", cut[:100_000])}, errs.InvalidModelFile, "head.gguf"},
		{"cut in the weights", Spec{Path: file("half.gguf", cut[:len(cut)/2])}, errs.InvalidModelFile, "half.gguf"},
		{"another digest", Spec{Path: path, SHA256: strings.Repeat("ab", 32)}, errs.DigestMismatch, "import it again"},
		{"too many slots", Spec{Path: path, Slots: 1000, ContextLength: 256}, errs.InvalidArgument, "256"},
		{"context beyond the memory", Spec{Path: path, Slots: 128, ContextLength: 100_000}, errs.OutOfMemory, "context_length"},
		{"absurd context", Spec{Path: path, Slots: 256, ContextLength: 8_000_000}, errs.OutOfMemory, "context_length"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Start(t.Context(), tt.spec, options())
			if err == nil {
				p.Close()
				t.Fatal("it loads")
			}
			if errs.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s: %v", errs.CodeOf(err), err)
			}
			t.Log(err)
		})
	}
}

func TestStartThatIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := options()
	o.Progress = func(float64) { cancel() }
	if p, err := Start(ctx, Spec{Path: model(t), SHA256: strings.Repeat("0", 64)}, o); errs.CodeOf(err) != errs.Cancelled {
		t.Errorf("%v, %v", p, err)
	}
	o.Exe = "/no/such/program"
	if _, err := Start(t.Context(), Spec{Path: "x.gguf"}, o); errs.CodeOf(err) != errs.EngineUnavailable {
		t.Error(err)
	}
	o = options()
	o.Exe, o.Args = "/bin/false", []string{}
	if _, err := Start(t.Context(), Spec{Path: "x.gguf"}, o); errs.CodeOf(err) != errs.EngineUnavailable || !strings.Contains(err.Error(), "exit status 1") {
		t.Error(err)
	}
}
