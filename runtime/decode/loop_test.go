package decode_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

// newLoop runs a loop over m for the test's duration and afterwards checks that
// it kept its promises to the backend.
func newLoop(t *testing.T, m *fake.Model, opt decode.Options) *decode.Loop {
	t.Helper()
	if opt.Info.Slots == 0 {
		opt.Info.Slots = 4
	}
	if opt.Info.ContextLength == 0 {
		opt.Info.ContextLength = 1000
	}
	if opt.BatchSize == 0 {
		opt.BatchSize = 16
	}
	l := decode.NewLoop(m, m, opt)
	t.Cleanup(func() {
		l.Close()
		faults, batches, _ := m.Seen()
		for _, f := range faults {
			t.Errorf("the backend complains: %s", f)
		}
		for _, b := range batches {
			if len(b) > opt.BatchSize {
				t.Errorf("a batch of %d entries", len(b))
			}
			outputs := 0
			for _, e := range b {
				if e.Output {
					outputs++
				}
			}
			if outputs > opt.Info.Slots+opt.Spare {
				t.Errorf("a batch with %d outputs for %d slots", outputs, opt.Info.Slots+opt.Spare)
			}
		}
		if n := m.Snapshots(); n > 0 {
			t.Errorf("%d snapshots were not freed", n)
		}
		if n := m.Used(); n > 0 {
			t.Errorf("%d slots still have tokens", n)
		}
		if s := l.Stats(); s.Busy != 0 || s.Queued != 0 {
			t.Errorf("stats after Close: %+v", s)
		}
	})
	return l
}

// idle waits until the last step is counted, which comes after its requests' last events.
func idle(l *decode.Loop) decode.Stats {
	s := l.Stats()
	for end := time.Now().Add(10 * time.Second); s.IdleSince.IsZero() && time.Now().Before(end); s = l.Stats() {
		time.Sleep(time.Millisecond)
	}
	return s
}

func req(text string, change ...func(*decode.Request)) decode.Request {
	r := decode.Request{Prompt: []decode.Segment{{Text: text}}, AddBOS: true, Params: decode.Params{MaxTokens: 100}}
	for _, c := range change {
		c(&r)
	}
	return r
}

// collector gathers events by request and checks their order.
type collector struct {
	mu     sync.Mutex
	events [][]decode.Event
}

func (c *collector) sink(e decode.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.events) <= e.Index {
		c.events = append(c.events, nil)
	}
	c.events[e.Index] = append(c.events[e.Index], e)
}

func (c *collector) result(t *testing.T, i int) *decode.Result {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if i >= len(c.events) || len(c.events[i]) == 0 {
		t.Fatalf("request %d has no event", i)
	}
	var text strings.Builder
	for n, e := range c.events[i] {
		if e.Seq != n || (e.Result != nil) != (n == len(c.events[i])-1) {
			t.Fatalf("request %d, event %d: %+v", i, n, e)
		}
		if !utf8.ValidString(e.Text) {
			t.Fatalf("request %d, event %d: %q is not UTF-8", i, n, e.Text)
		}
		text.WriteString(e.Text)
	}
	r := c.events[i][len(c.events[i])-1].Result
	if text.String() != r.Text {
		t.Fatalf("request %d: the pieces give %q, the result %q", i, text.String(), r.Text)
	}
	return r
}

func says(reply string) *fake.Model {
	return &fake.Model{Reply: func(string, []decode.Adapter) string { return reply }}
}

func stops(s ...string) func(*decode.Request) {
	return func(r *decode.Request) { r.Params.Stop = s }
}
func maxTokens(n int) func(*decode.Request) {
	return func(r *decode.Request) { r.Params.MaxTokens = n }
}
func stream(r *decode.Request) { r.Stream = true }

func TestEndsOfARequest(t *testing.T) {
	long := strings.Repeat("x", 30)
	tests := []struct {
		name   string
		reply  string
		req    decode.Request
		text   string
		why    decode.FinishReason
		tokens int
		code   errs.Code
	}{
		{"end token", "hello", req("p"), "hello", decode.FinishStop, 5, ""},
		{"nothing to say", "", req("p"), "", decode.FinishStop, 0, ""},
		{"max_tokens", "hello", req("p", maxTokens(3)), "hel", decode.FinishLength, 3, ""},
		{"stop string across tokens", "Paris.\nUser: more", req("p", stops("\nUser:")), "Paris.", decode.FinishStop, 12, ""},
		{"stop string begun at max_tokens", "ab\nUs", req("p", stops("\nUser:"), maxTokens(4)), "ab\nU", decode.FinishLength, 4, ""},
		{"several stops", "abcdef", req("p", stops("zz", "de", "cd")), "ab", decode.FinishStop, 4, ""},
		{"control token as stop", "hi\x01there", req("p", stops("<end_of_turn>")), "hi", decode.FinishStop, 2, ""},
		{"control token is no text", "hi\x01you", req("p"), "hiyou", decode.FinishStop, 6, ""},
		{"emoji", "a😀b", req("p"), "a😀b", decode.FinishStop, 6, ""},
		{"emoji cut by max_tokens", "a😀b", req("p", maxTokens(3)), "a\uFFFD", decode.FinishLength, 3, ""},
		{"bytes that are no text", "\xff\xfeA", req("p"), "\uFFFD\uFFFDA", decode.FinishStop, 3, ""},
		{"ignore_eos", "hi", req("p", maxTokens(5), func(r *decode.Request) { r.Params.IgnoreEOS = true }), "hi...", decode.FinishLength, 5, ""},
		{"context end", strings.Repeat("y", 99), req(long), strings.Repeat("y", 10), decode.FinishLength, 10, ""},
		{"prompt fills all but one", "yz", req(strings.Repeat("x", 38)), "yz", decode.FinishLength, 2, ""},
		{"prompt too long", "y", req(strings.Repeat("x", 40)), "", "", 0, errs.ContextOverflow},
		{"prompt absurdly long", "y", req(strings.Repeat("x", 40000)), "", "", 0, errs.ContextOverflow},
		{"empty prompt", "ok", decode.Request{Params: decode.Params{MaxTokens: 9}}, "ok", decode.FinishStop, 2, ""},
		{"no max_tokens", "ok", req("p", maxTokens(0)), "", "", 0, errs.InvalidArgument},
		{"grammar that does not parse", "ok", req("p", func(r *decode.Request) { r.Params.Grammar = "bad" }), "", "", 0, errs.InvalidArgument},
		{"deadline passed", "ok", req("p", func(r *decode.Request) { r.Deadline = time.Now().Add(-time.Second) }), "", "", 0, errs.Timeout},
	}
	for _, tt := range tests {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/stream=%v", tt.name, streamed), func(t *testing.T) {
				l := newLoop(t, says(tt.reply), decode.Options{Info: decode.Info{ContextLength: 40}})
				r := tt.req
				r.Stream = streamed
				var c collector
				if err := l.Submit(t.Context(), []decode.Request{r}, c.sink); err != nil {
					t.Fatal(err)
				}
				got := c.result(t, 0)
				if got.Text != tt.text || got.FinishReason != tt.why || got.CompletionTokens != tt.tokens || code(got.Err) != tt.code {
					t.Errorf("got %q, %q, %d tokens, error %v", got.Text, got.FinishReason, got.CompletionTokens, got.Err)
				}
				if !streamed && len(c.events[0]) != 1 {
					t.Errorf("%d events without Stream", len(c.events[0]))
				}
			})
		}
	}
}

func code(e *errs.Error) errs.Code {
	if e == nil {
		return ""
	}
	return e.Code
}

func TestOverflowNamesTokensAndRemedy(t *testing.T) {
	l := newLoop(t, says("x"), decode.Options{Info: decode.Info{ContextLength: 40}})
	var c collector
	if err := l.Submit(t.Context(), []decode.Request{req(strings.Repeat("x", 50))}, c.sink); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"51 tokens", "40", "context_length"} {
		if msg := c.result(t, 0).Err.Msg; !strings.Contains(msg, part) {
			t.Errorf("%q does not say %q", msg, part)
		}
	}
}

func TestStreamSendsPiecesAndWhatIsAskedFor(t *testing.T) {
	l := newLoop(t, says("a€b"), decode.Options{})
	var c collector
	r := req("p", stream, func(r *decode.Request) { r.Logprobs, r.Tokens = true, true })
	if err := l.Submit(t.Context(), []decode.Request{r}, c.sink); err != nil {
		t.Fatal(err)
	}
	got := c.result(t, 0)
	if want := []decode.Token{'a', 0xe2, 0x82, 0xac, 'b'}; !slices.Equal(got.Tokens, want) || got.Logprob != -2.5 {
		t.Errorf("tokens %v, logprob %v", got.Tokens, got.Logprob)
	}
	var texts []string
	for _, e := range c.events[0] {
		texts = append(texts, fmt.Sprintf("%s:%d", e.Text, e.Token))
	}
	if want := []string{"a:97", "€:172", "b:98", ":-1"}; !slices.Equal(texts, want) {
		t.Errorf("events %v, want %v", texts, want)
	}
}

// Long prompts are computed in chunks beside what is being written, and many
// more requests than slots all get their own answer.
func TestManyRequestsLongAndShort(t *testing.T) {
	m := &fake.Model{}
	l := newLoop(t, m, decode.Options{BatchSize: 16})
	var reqs []decode.Request
	var want []string
	for i := range 200 {
		text := fmt.Sprintf("request %d ", i)
		if i%7 == 0 {
			text = strings.Repeat(text, 20)
		}
		reqs = append(reqs, req(text, maxTokens(500)))
		want = append(want, strings.ToUpper(text))
	}
	var c collector
	if err := l.Submit(t.Context(), reqs, c.sink); err != nil {
		t.Fatal(err)
	}
	for i := range reqs {
		r := c.result(t, i)
		if r.Text != want[i] || r.PromptTokens != len(want[i])+1 || r.SharedTokens != 0 {
			t.Errorf("request %d: %q, %d prompt tokens", i, r.Text, r.PromptTokens)
		}
	}
	_, batches, _ := m.Seen()
	mixed := 0
	for _, b := range batches {
		chunk, single := false, false
		for i, e := range b {
			alone := (i == 0 || b[i-1].Slot != e.Slot) && (i == len(b)-1 || b[i+1].Slot != e.Slot)
			chunk, single = chunk || !alone, single || alone && e.Output
		}
		if chunk && single {
			mixed++
		}
	}
	if mixed == 0 {
		t.Error("no batch held a chunk of a prompt beside a running sequence")
	}
	s := idle(l)
	if s.CompletionTokens == 0 || s.PromptTokens == 0 || s.Steps != uint64(len(batches)) || s.IdleSince.IsZero() {
		t.Errorf("stats %+v after %d batches", s, len(batches))
	}
}

func TestAdmissionIsInOrder(t *testing.T) {
	l := newLoop(t, &fake.Model{}, decode.Options{Info: decode.Info{Slots: 2}})
	var order []int
	reqs := slices.Repeat([]decode.Request{req("same")}, 10)
	if err := l.Submit(t.Context(), reqs, func(e decode.Event) { order = append(order, e.Index) }); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(order) {
		t.Errorf("equal requests finished in the order %v", order)
	}
}

func TestSeedDecidesSampledText(t *testing.T) {
	l := newLoop(t, &fake.Model{}, decode.Options{})
	with := func(seed uint32) decode.Request {
		return req("p", maxTokens(20), func(r *decode.Request) { r.Params.Temperature, r.Params.Seed = 1, seed })
	}
	var c collector
	if err := l.Submit(t.Context(), []decode.Request{with(1), with(2), with(1)}, c.sink); err != nil {
		t.Fatal(err)
	}
	if a, b, again := c.result(t, 0).Text, c.result(t, 1).Text, c.result(t, 2).Text; a == b || a != again {
		t.Errorf("seed 1: %q and %q, seed 2: %q", a, again, b)
	}
}

func TestRefusedParameters(t *testing.T) {
	nan := float32(0)
	nan /= nan
	for name, change := range map[string]func(*decode.Params){
		"temperature":    func(p *decode.Params) { p.Temperature = -1 },
		"nan":            func(p *decode.Params) { p.Temperature = nan },
		"top_p":          func(p *decode.Params) { p.TopP = 1.5 },
		"top_k":          func(p *decode.Params) { p.TopK = -1 },
		"min_p":          func(p *decode.Params) { p.MinP = -0.1 },
		"repeat_penalty": func(p *decode.Params) { p.RepeatPenalty = -2 },
		"ignore_eos":     func(p *decode.Params) { p.Grammar, p.IgnoreEOS = "root ::= [a-z]", true },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t, &fake.Model{}, decode.Options{})
			r := req("p")
			change(&r.Params)
			var c collector
			if err := l.Submit(t.Context(), []decode.Request{r, req("fine")}, c.sink); err != nil {
				t.Fatal(err)
			}
			if got := c.result(t, 0).Err; code(got) != errs.InvalidArgument {
				t.Errorf("error %v", got)
			}
			if got := c.result(t, 1); got.Text != "FINE" {
				t.Errorf("its neighbour: %+v", got)
			}
		})
	}
}

func TestFailingBatchFailsItsRowsOnly(t *testing.T) {
	var once sync.Once
	m := &fake.Model{}
	m.BeforeDecode = func([]decode.Entry) (err error) {
		once.Do(func() { err = errors.New("broken") })
		return err
	}
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 2}})
	var c collector
	if err := l.Submit(t.Context(), slices.Repeat([]decode.Request{req("abc")}, 5), c.sink); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		r := c.result(t, i)
		if failed := i < 2; failed != (code(r.Err) == errs.Internal) || !failed && r.Text != "ABC" {
			t.Errorf("request %d: %+v", i, r)
		}
	}
}

func TestFullCacheIsNoFailure(t *testing.T) {
	m := &fake.Model{Cells: 60}
	l := newLoop(t, m, decode.Options{Info: decode.Info{Slots: 3}})
	var c collector
	long := req(strings.Repeat("x", 25), maxTokens(100))
	if err := l.Submit(t.Context(), []decode.Request{long, req("ab"), long, req("cd")}, c.sink); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if r := c.result(t, i); r.Err != nil && r.Err.Code != errs.ContextOverflow || r.Err == nil && r.Text == "" {
			t.Errorf("request %d: %+v", i, r)
		}
	}
	if got := c.result(t, 1).Text; got != "AB" {
		t.Errorf("the short one said %q", got)
	}
}

func TestDetokenizeGivesWholeText(t *testing.T) {
	l := newLoop(t, &fake.Model{}, decode.Options{})
	text := "Grüße 😀"
	tokens, err := l.Tokenize([]decode.Segment{{Text: text}}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Detokenize(tokens, false); got != text {
		t.Errorf("got %q", got)
	}
	if got := l.Detokenize(tokens[:4], false); got != "Gr\uFFFD" {
		t.Errorf("cut: %q", got)
	}
	control := []decode.Token{'a', fake.EndOfTurn, 'b'}
	if without, with := l.Detokenize(control, false), l.Detokenize(control, true); without != "ab" || with != "a<end_of_turn>b" {
		t.Errorf("%q, %q", without, with)
	}
}

func TestCloseEndsWhatRuns(t *testing.T) {
	m := &fake.Model{BeforeDecode: fake.Delay(time.Millisecond)}
	l := newLoop(t, m, decode.Options{Info: decode.Info{ContextLength: 1 << 30}})
	done := make(chan error)
	first := make(chan struct{}, 1)
	endless := req("p", stream, maxTokens(1<<30), func(r *decode.Request) { r.Params.IgnoreEOS = true })
	go func() {
		done <- l.Submit(context.Background(), slices.Repeat([]decode.Request{endless}, 100), func(decode.Event) {
			select {
			case first <- struct{}{}:
			default:
			}
		})
	}()
	<-first
	l.Close()
	if err := <-done; errs.CodeOf(err) != errs.EngineUnavailable {
		t.Errorf("Submit: %v", err)
	}
	if err := l.Submit(context.Background(), []decode.Request{req("p")}, func(decode.Event) {}); errs.CodeOf(err) != errs.EngineUnavailable {
		t.Errorf("Submit after Close: %v", err)
	}
}
