package inference

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"hyprstream/runtime/decode"
)

// memory is a Cache that forgets nothing until the test ends.
type memory struct {
	mu      sync.Mutex
	entries map[CacheKey][]byte
	asked   []int // keys per Get
}

func (m *memory) Get(keys []CacheKey) [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, len(keys))
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = m.entries[k]
	}
	return out
}

func (m *memory) Put(k CacheKey, v []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[k] = v
}

func withCache(m *memory) func(*Config) { return func(c *Config) { c.Cache = m } }

// persistent are prompts for model a that use the cache.
func persistent(texts ...string) []Request {
	reqs := prompts("a", texts...)
	for i := range reqs {
		reqs[i].Cache = CachePersistent
	}
	return reqs
}

func TestCacheSkipsTheProcess(t *testing.T) {
	h, m := &host{}, &memory{entries: map[CacheKey][]byte{}}
	e, _ := engine(t, h, withCache(m))
	first, err := collect(e, t.Context(), persistent("one", "two", "one"))
	if err != nil {
		t.Fatal(err)
	}
	if first[0].Cached || first[1].Cached || !first[2].Cached || len(h.seen()) != 2 {
		t.Errorf("%+v; %d computed", first, len(h.seen()))
	}
	again, err := collect(e, t.Context(), persistent("two", "one", "three"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"TWO", "ONE", "THREE"} {
		c := again[i]
		if c.Text != want || c.Cached != (i < 2) || c.Model != "a" || c.FinishReason != "stop" || c.CompletionTokens != 1 || c.PromptTokens != len(want) {
			t.Errorf("%d: %+v", i, c)
		}
	}
	if n := len(h.seen()); n != 3 {
		t.Errorf("%d requests were computed, want 3", n)
	}
	if fmt.Sprint(m.asked) != "[2 3]" {
		t.Errorf("lookups of %v keys: one per batch is meant", m.asked)
	}
	// All of them known: the process gets nothing.
	if _, err := collect(e, t.Context(), persistent("one", "two", "three")); err != nil || len(h.seen()) != 3 {
		t.Errorf("%v; %d computed", err, len(h.seen()))
	}
}

func TestCacheIsNotUsed(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"query":       func(r *Request) { r.Cache = CacheQuery },
		"off":         func(r *Request) { r.Cache = CacheOff },
		"temperature": func(r *Request) { r.Params.Temperature = 1 },
		"no digest":   func(r *Request) { r.Adapters = []AdapterUse{{"unknown", 1}} },
	} {
		h, m := &host{}, &memory{entries: map[CacheKey][]byte{}}
		e, reg := engine(t, h, withCache(m))
		reg.adapters["unknown"] = Adapter{Name: "unknown", Model: "a", Scale: 1, Parts: []AdapterPart{{"unknown", "/adapters/unknown", "", 1}}}
		reqs := persistent("x", "x")
		change(&reqs[0])
		change(&reqs[1])
		for range 2 {
			got, err := collect(e, t.Context(), reqs)
			if err != nil || got[0].Text != "X" || got[0].Cached {
				t.Errorf("%s: %+v %v", name, got, err)
			}
		}
		want := 2
		if name == "off" || name == "temperature" {
			want = 4
		}
		if n := len(h.seen()); n != want || len(m.entries) != 0 || len(m.asked) != 0 {
			t.Errorf("%s: %d computed, want %d; %d kept, asked %v", name, n, want, len(m.entries), m.asked)
		}
	}
}

// Nothing but whole answers is kept, and what cannot be read is computed.
func TestCacheKeepsSuccesses(t *testing.T) {
	h, m := &host{}, &memory{entries: map[CacheKey][]byte{}}
	e, _ := engine(t, h, withCache(m))
	bad := persistent("x")
	bad[0].Params.TopP = 2
	if got, err := collect(e, t.Context(), bad); err != nil || got[0].Err == nil || len(m.entries) != 0 {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := collect(e, t.Context(), persistent("x")); err != nil || len(m.entries) != 1 {
		t.Error(err, len(m.entries))
	}
	for k := range m.entries {
		m.entries[k] = []byte("{half")
	}
	if got, err := collect(e, t.Context(), persistent("x")); err != nil || got[0].Text != "X" || got[0].Cached || len(h.seen()) != 2 {
		t.Errorf("%+v %v", got, err)
	}
}

// A statement that ends half way leaves what it had.
func TestCacheKeepsHalfABatch(t *testing.T) {
	h, m := &host{}, &memory{entries: map[CacheKey][]byte{}}
	h.reply = func(r decode.Request) string {
		if r.Prompt[0].Text == "three" {
			return "†"
		}
		return r.Prompt[0].Text
	}
	e, _ := engine(t, h, withCache(m))
	if _, err := collect(e, t.Context(), persistent("one", "two", "three", "four")); err != nil {
		t.Fatal(err)
	}
	// one and two by the first process, three and four by the second.
	if len(m.entries) != 4 || fmt.Sprint(h.batches) != "[4 2]" {
		t.Errorf("%d kept, batches %v", len(m.entries), h.batches)
	}
}

// TestCacheKey: requests that differ in anything that counts have different
// keys, those that do not have one.
func TestCacheKey(t *testing.T) {
	base := func() (Model, decode.Info, Request, decode.Request, bool) {
		return Model{SHA256: "m"}, decode.Info{Build: "b1", ContextLength: 512},
			Request{Cache: CachePersistent},
			decode.Request{Prompt: []decode.Segment{{Text: "ab", Special: true}, {Text: "c"}}, AddBOS: true,
				Params: decode.Params{MaxTokens: 256, Stop: []string{"x", "y"}}}, false
	}
	g := &group{adapters: map[AdapterUse]resolved{}}
	for _, a := range []struct {
		name, sha string
		scale     float32
	}{{"p", "sha-p", 2}, {"again", "sha-p", 1}, {"t", "sha-t", 1}} {
		for _, s := range []float32{0, 0.5, 1} {
			g.adapters[AdapterUse{a.name, s}] = resolved{files: []adapterFile{{path: a.sha, sha256: a.sha, scale: a.scale * s}}}
		}
	}
	key := func(change func(*Model, *decode.Info, *Request, *decode.Request, *bool)) CacheKey {
		m, info, req, d, plain := base()
		change(&m, &info, &req, &d, &plain)
		k := g.key(&live{model: m, info: info}, &row{req: &req, plain: plain}, &d)
		if k == nil {
			t.Fatal("no key")
		}
		return *k
	}
	type (
		M = *Model
		I = *decode.Info
		R = *Request
		D = *decode.Request
		B = *bool
	)
	same := key(func(M, I, R, D, B) {})
	differ := map[string]func(M, I, R, D, B){
		"model":          func(m M, _ I, _ R, _ D, _ B) { m.SHA256 = "n" },
		"engine":         func(_ M, i I, _ R, _ D, _ B) { i.Build = "b2" },
		"context length": func(_ M, i I, _ R, _ D, _ B) { i.ContextLength = 1024 },
		"text":           func(_ M, _ I, _ R, d D, _ B) { d.Prompt[1].Text = "d" },
		"split":          func(_ M, _ I, _ R, d D, _ B) { d.Prompt[0].Text, d.Prompt[1].Text = "a", "bc" },
		"special":        func(_ M, _ I, _ R, d D, _ B) { d.Prompt[1].Special = true },
		"one segment":    func(_ M, _ I, _ R, d D, _ B) { d.Prompt = d.Prompt[:1] },
		"bos":            func(_ M, _ I, _ R, d D, _ B) { d.AddBOS = false },
		"plain":          func(_ M, _ I, _ R, _ D, b B) { *b = true },
		"logprobs":       func(_ M, _ I, _ R, d D, _ B) { d.Logprobs = true },
		"max_tokens":     func(_ M, _ I, _ R, d D, _ B) { d.Params.MaxTokens = 255 },
		"top_p":          func(_ M, _ I, _ R, d D, _ B) { d.Params.TopP = 0.5 },
		"top_k":          func(_ M, _ I, _ R, d D, _ B) { d.Params.TopK = 3 },
		"min_p":          func(_ M, _ I, _ R, d D, _ B) { d.Params.MinP = 0.5 },
		"repeat_penalty": func(_ M, _ I, _ R, d D, _ B) { d.Params.RepeatPenalty = 0.5 },
		"stop":           func(_ M, _ I, _ R, d D, _ B) { d.Params.Stop = []string{"x", "z"} },
		"stops joined":   func(_ M, _ I, _ R, d D, _ B) { d.Params.Stop = []string{"xy"} },
		"no stop":        func(_ M, _ I, _ R, d D, _ B) { d.Params.Stop = nil },
		"stop grammar":   func(_ M, _ I, _ R, d D, _ B) { d.Params.Stop, d.Params.Grammar = []string{"x"}, "y" },
		"grammar":        func(_ M, _ I, _ R, d D, _ B) { d.Params.Grammar = "root ::= \"a\"" },
		"continuations":  func(_ M, _ I, _ R, d D, _ B) { d.Continuations = []string{"ab"} },
		"more of them":   func(_ M, _ I, _ R, d D, _ B) { d.Continuations = []string{"a", "b"} },
		"ignore_eos":     func(_ M, _ I, _ R, d D, _ B) { d.Params.IgnoreEOS = true },
		"adapter":        func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"p", 1}} },
		"other adapter":  func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"t", 1}} },
		"scale":          func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"p", 0.5}} },
		"two adapters":   func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"p", 1}, {"t", 0.5}} },
		"scales swapped": func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"p", 0.5}, {"t", 1}} },
	}
	seen := map[CacheKey]string{same: "the request itself"}
	for name, change := range differ {
		k := key(change)
		if other, taken := seen[k]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		seen[k] = name
	}
	equal := map[string][2]func(M, I, R, D, B){
		"seed": {func(M, I, R, D, B) {}, func(_ M, _ I, _ R, d D, _ B) { d.Params.Seed = 7 }},
		"order of adapters": {func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"p", 1}, {"t", 1}} },
			func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"t", 1}, {"p", 1}} }},
		"scale 0": {func(M, I, R, D, B) {}, func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"p", 0}} }},
		"one file by two names": {func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"p", 1}} },
			func(_ M, _ I, r R, _ D, _ B) { r.Adapters = []AdapterUse{{"p", 0.5}, {"again", 1}} }},
		"name and path of the model": {func(M, I, R, D, B) {}, func(m M, _ I, _ R, _ D, _ B) { m.Name, m.Path = "other", "elsewhere" }},
	}
	for name, pair := range equal {
		if key(pair[0]) != key(pair[1]) {
			t.Errorf("%s changes the key", name)
		}
	}
	if len(seen) != len(differ)+1 {
		t.Errorf("%d keys of %d requests", len(seen), len(differ)+1)
	}
}

// What JSON cannot say is not kept.
func TestCacheLeavesOutInfinity(t *testing.T) {
	m := &memory{entries: map[CacheKey][]byte{}}
	g := &group{e: &Engine{cfg: Config{Cache: m}}}
	g.keep(&row{key: &CacheKey{}}, &Completion{Logprob: math.Inf(-1)})
	if len(m.entries) != 0 {
		t.Error("kept")
	}
}
