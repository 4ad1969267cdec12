package llama

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	tiny     = "../../testdata/tiny.gguf"
	tinyLora = "../../testdata/tiny-lora.gguf"
)

func load(t *testing.T) *Model {
	t.Helper()
	m, err := Load(tiny, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func context(t *testing.T, m *Model, o ContextOptions) *Context {
	t.Helper()
	c, err := m.NewContext(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func tokens(t *testing.T, m *Model, text string) []int32 {
	t.Helper()
	ids, err := m.Tokenize(text, false, false)
	if err != nil {
		t.Fatal(err)
	}
	return append([]int32{m.BOS()}, ids...)
}

// generate continues a prompt in a sequence that is empty.
func generate(t *testing.T, m *Model, c *Context, seq int32, prompt string, o SamplerOptions, n int) []int32 {
	t.Helper()
	ids := tokens(t, m, prompt)
	s, err := m.NewSampler(o, ids)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out []int32
	at := int32(0)
	for len(out) < n {
		if at > 0 {
			ids = out[len(out)-1:]
		}
		pos, seqs, outs := make([]int32, len(ids)), make([]int32, len(ids)), make([]int8, len(ids))
		for i := range ids {
			pos[i], seqs[i] = at+int32(i), seq
		}
		outs[len(ids)-1] = 1
		if err := c.Decode(ids, pos, seqs, outs); err != nil {
			t.Fatal(err)
		}
		at += int32(len(ids))
		token, lp, err := s.Sample(c, len(ids)-1, true)
		if err != nil {
			t.Fatal(err)
		}
		if best, logits, ok := c.Top2(len(ids) - 1); o == (SamplerOptions{}) && (!ok || best[0] != token || logits[1] > logits[0]) {
			t.Fatalf("greedy chose %d, the best two are %v %v", token, best, logits)
		}
		if lp > 0 || math.IsNaN(lp) {
			t.Fatalf("log probability %v", lp)
		}
		out = append(out, token)
	}
	c.Remove(int(seq))
	return out
}

func TestModelTellsAboutItself(t *testing.T) {
	var seen []float64
	m, err := Load(tiny, LoadOptions{Progress: func(f float64) bool { seen = append(seen, f); return true }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if len(seen) == 0 || !slices.IsSorted(seen) || seen[len(seen)-1] != 1 {
		t.Errorf("progress %v", seen)
	}
	if m.Size() != 512 || m.Embedding() != 64 || m.TrainedContext() != 2048 || m.Parameters() == 0 || m.WeightBytes() == 0 ||
		!strings.Contains(m.ChatTemplate(), "im_start") || m.Meta("general.architecture") != "llama" || m.Meta("no.such") != "" {
		t.Errorf("%d tokens, width %d, context %d, template %q", m.Size(), m.Embedding(), m.TrainedContext(), m.ChatTemplate())
	}
	if _, err := Load(tiny, LoadOptions{Progress: func(float64) bool { return false }}); !errors.Is(err, ErrCancelled) {
		t.Errorf("stopped: %v", err)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	whole, err := os.ReadFile(tiny)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"magic": []byte("no GGUF at all"), "bounds": whole[:len(whole)/2]} {
		path := filepath.Join(t.TempDir(), "x.gguf")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, LoadOptions{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Load(tinyLora, LoadOptions{}); err == nil {
		t.Error("an adapter loads as a model")
	}
}

func TestTextToTokensAndBack(t *testing.T) {
	m := load(t)
	for _, text := range []string{"the people said that", "Grüße 中文 😀", "a\x00b", "", " two  spaces ", "x\ny"} {
		ids, err := m.Tokenize(text, false, true)
		if err != nil {
			t.Fatal(err)
		}
		var back []byte
		for _, id := range ids {
			back = m.AppendPiece(back, id, false)
		}
		if string(back) != text {
			t.Errorf("%q came back as %q from %v", text, back, ids)
		}
	}
	plain, err := m.Tokenize("<|im_start|>", false, true)
	if err != nil {
		t.Fatal(err)
	}
	special, err := m.Tokenize("<|im_start|>", true, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(special) != 1 || !m.Control(special[0]) || len(plain) < 2 || slices.ContainsFunc(plain, m.Control) {
		t.Errorf("special %v, plain %v", special, plain)
	}
	if got := m.AppendPiece(nil, special[0], false); len(got) != 0 {
		t.Errorf("a control token's text is %q", got)
	}
	if m.EndsGeneration(-1) || m.Control(1<<20) || len(m.AppendPiece(nil, 1<<20, true)) != 0 || !m.EndsGeneration(m.EOS()) {
		t.Error("token ids out of range, or EOS")
	}
}

func TestWhatWouldAbortIsAnError(t *testing.T) {
	m := load(t)
	for _, o := range []ContextOptions{
		{Length: 64, Slots: 0, Batch: 8, Threads: 1}, {Length: 64, Slots: 1000, Batch: 2000, Threads: 1},
		{Length: 0, Slots: 1, Batch: 8, Threads: 1}, {Length: 1 << 31, Slots: 2, Batch: 8, Threads: 1},
		{Length: 64, Slots: 4, Batch: 2, Threads: 1}, {Length: 64, Slots: 1, Batch: 8, Threads: 0},
	} {
		if c, err := m.NewContext(o); err == nil {
			c.Close()
			t.Errorf("%+v is taken", o)
		}
	}
	c := context(t, m, ContextOptions{Length: 256, Slots: 2, Batch: 8, Threads: 1})
	type batch struct {
		token, pos, seq []int32
		out             []int8
	}
	nine := make([]int32, 9)
	for name, b := range map[string]batch{
		"empty":            {},
		"uneven":           {[]int32{1, 2}, []int32{0}, []int32{0}, []int8{1}},
		"too large":        {nine, nine, nine, make([]int8, 9)},
		"token too high":   {[]int32{512}, []int32{0}, []int32{0}, []int8{1}},
		"token negative":   {[]int32{-1}, []int32{0}, []int32{0}, []int8{1}},
		"no such sequence": {[]int32{1}, []int32{0}, []int32{2}, []int8{1}},
		"gap in positions": {[]int32{1, 1}, []int32{0, 5}, []int32{0, 0}, []int8{0, 1}},
		"too many outputs": {[]int32{1, 1, 1}, []int32{0, 1, 2}, []int32{0, 0, 0}, []int8{1, 1, 1}},
	} {
		if err := c.Decode(b.token, b.pos, b.seq, b.out); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	s, err := m.NewSampler(SamplerOptions{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := c.Decode([]int32{1, 2}, []int32{0, 1}, []int32{0, 0}, []int8{0, 1}); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{-1, 0, 2} {
		if _, _, err := s.Sample(c, i, false); err == nil {
			t.Errorf("entry %d has no output and is sampled", i)
		}
	}
	if c.Remove(2) || c.Remove(-2) {
		t.Error("sequences that are not there")
	}
	for _, seq := range []int{2, -1} {
		if _, err := c.Save(seq); err == nil {
			t.Errorf("sequence %d is not there and is saved", seq)
		}
	}
	saved, err := c.Save(0)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Free()
	if c.Restore(2, saved) == nil || c.Restore(-1, saved) == nil {
		t.Error("a sequence that is not there is restored")
	}
	small := context(t, m, ContextOptions{Length: 256, Slots: 3, Batch: 16, Threads: 1})
	if small.Restore(0, saved) == nil {
		t.Error("a snapshot of another shape of context is restored")
	}
	for _, g := range []string{`root ::= (`, `start ::= "a"`, `root ::= other`, `root ::= root "a"`, "root ::= \"\\x", "\x00"} {
		if s, err := m.NewSampler(SamplerOptions{Grammar: g}, nil); err == nil {
			s.Close()
			t.Errorf("grammar %q is taken", g)
		}
	}
}

func TestSamplersAreRepeatable(t *testing.T) {
	m := load(t)
	c := context(t, m, ContextOptions{Length: 256, Slots: 2, Batch: 64, Threads: 1})
	for name, o := range map[string]SamplerOptions{
		"greedy":           {},
		"greedy penalised": {RepeatPenalty: 1.5},
		"temperature":      {Temperature: 2, Seed: 7},
		"all":              {Temperature: 2, Seed: 7, TopK: 40, TopP: 0.9, MinP: 0.01, RepeatPenalty: 1.2},
		"seed of all ones": {Temperature: 2, Seed: math.MaxUint32},
		"grammar":          {Grammar: `root ::= [a-z ]+`},
		"ignore end":       {IgnoreEOG: true},
	} {
		a, b := generate(t, m, c, 0, "the people", o, 24), generate(t, m, c, 1, "the people", o, 24)
		if !slices.Equal(a, b) {
			t.Errorf("%s: %v and %v", name, a, b)
		}
		o.Seed++
		if other := generate(t, m, c, 0, "the people", o, 24); o.Temperature > 0 != !slices.Equal(a, other) {
			t.Errorf("%s: another seed gives %v after %v", name, other, a)
		}
	}
}

func TestGrammarBindsTheText(t *testing.T) {
	m := load(t)
	c := context(t, m, ContextOptions{Length: 256, Slots: 1, Batch: 64, Threads: 1})
	for _, temperature := range []float32{0, 1.5} {
		out := generate(t, m, c, 0, "the", SamplerOptions{Temperature: temperature, TopK: 3, Grammar: `root ::= "yes" | "no"`}, 1)
		for len(out) < 8 && !m.EndsGeneration(out[len(out)-1]) {
			out = generate(t, m, c, 0, "the", SamplerOptions{Temperature: temperature, TopK: 3, Grammar: `root ::= "yes" | "no"`}, len(out)+1)
		}
		var text []byte
		for _, id := range out {
			text = m.AppendPiece(text, id, false)
		}
		if s := string(text); s != "yes" && s != "no" {
			t.Errorf("temperature %v: %q from %v", temperature, s, out)
		}
	}
}

func TestAdaptersChangeWhatIsSaidAndGoAgain(t *testing.T) {
	m := load(t)
	c := context(t, m, ContextOptions{Length: 256, Slots: 1, Batch: 64, Threads: 1})
	a, err := m.LoadAdapter(tinyLora)
	if err != nil {
		t.Fatal(err)
	}
	say := func(adapters []*Adapter, scales []float32) []int32 {
		if err := c.SetAdapters(adapters, scales); err != nil {
			t.Fatal(err)
		}
		return generate(t, m, c, 0, "the people", SamplerOptions{}, 16)
	}
	base := say(nil, nil)
	with := say([]*Adapter{a}, []float32{1})
	if slices.Equal(base, with) {
		t.Error("the adapter changes nothing")
	}
	if got := say([]*Adapter{a}, []float32{0}); !slices.Equal(got, base) {
		t.Error("scale 0 changes something")
	}
	if got := say(nil, nil); !slices.Equal(got, base) {
		t.Error("the adapter stays")
	}
	if err := c.SetAdapters([]*Adapter{a}, nil); err == nil {
		t.Error("an adapter without a scale is taken")
	}
	for _, path := range []string{tiny, "../../testdata/none.gguf", "llama_test.go"} {
		if _, err := m.LoadAdapter(path); err == nil {
			t.Errorf("%s loads as an adapter", path)
		}
	}
}

// A restored sequence goes on as the original does, also when that has gone on
// or is no more, and a snapshot serves more than once.
func TestRestoredSequence(t *testing.T) {
	m := load(t)
	c := context(t, m, ContextOptions{Length: 256, Slots: 3, Batch: 64, Threads: 1})
	ids := tokens(t, m, "the people said that it was")
	n := len(ids)
	pos, seq, out := make([]int32, n), make([]int32, n), make([]int8, n)
	for i := range pos {
		pos[i] = int32(i)
	}
	if err := c.Decode(ids, pos, seq, out); err != nil {
		t.Fatal(err)
	}
	next := func(seq int32) (logits [2]float32) {
		if err := c.Decode([]int32{300}, []int32{int32(n)}, []int32{seq}, []int8{1}); err != nil {
			t.Fatal(err)
		}
		_, logits, _ = c.Top2(0)
		return logits
	}
	saved, err := c.Save(0)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Free()
	if empty, err := c.Save(1); err != nil || saved.Bytes() <= empty.Bytes() {
		t.Errorf("%d bytes; an empty sequence: %+v, %v", saved.Bytes(), empty, err)
	} else {
		empty.Free()
	}
	want := next(0)
	c.Remove(0)
	for _, seq := range []int{2, 0, 2} { // the last in place of what is there
		if err := c.Restore(seq, saved); err != nil {
			t.Fatal(err)
		}
		if got := next(int32(seq)); got != want {
			t.Errorf("sequence %d: logits %v, want %v", seq, got, want)
		}
	}
}
