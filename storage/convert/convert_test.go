package convert

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert/converttest"
	"hyprstream/storage/gguf"
)

func TestConvert(t *testing.T) {
	dir := converttest.New().Write(t, nil)
	p, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.gguf")
	var last, total int64
	var a, b bytes.Buffer
	if err := p.Write(t.Context(), &a, func(d, n int64) { last, total = d, n }); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, a.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := storage.Inspect(out)
	if err != nil {
		t.Fatal(err)
	}
	if info.Bytes != p.Bytes() || last != total || total != p.Bytes() || int64(info.Parameters) != p.Parameters() {
		t.Errorf("%d bytes, %d planned, progress ended at %d of %d; %d parameters, %d planned", info.Bytes, p.Bytes(), last, total, info.Parameters, p.Parameters())
	}
	if before, err := p.Info(Quantisation{}); err != nil || !reflect.DeepEqual(before, info) {
		t.Errorf("before it was made: %+v, %v", before, err)
	}
	if before, err := p.Info(Quantisations[2]); err != nil || before.Quantisation != "Q8_0" || before.Bytes >= info.Bytes || before.WeightBytes < 500 {
		t.Errorf("in Q8_0: %+v, %v", before, err)
	}
	if info.Architecture != "llama" || info.Quantisation != "F32" || info.ContextLength != 64 || info.VocabSize != converttest.Tokens || info.ChatTemplate != "{{ messages }}" {
		t.Errorf("%+v", info)
	}
	if err := p.Write(t.Context(), &b, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("converting again makes another file")
	}
}

func TestRowsAreReordered(t *testing.T) {
	var got []int64
	for i := range int64(8) {
		got = append(got, gguf.RotaryRow(i, 4))
	}
	for i, want := range []int64{0, 2, 1, 3, 4, 6, 5, 7} {
		if got[i] != want {
			t.Fatalf("two heads of four rows: %v", got)
		}
	}
}

func TestWiden(t *testing.T) {
	for _, c := range []struct {
		kind gguf.Type
		bits uint16
		want float32
	}{
		{gguf.F16, 0x3c00, 1}, {gguf.F16, 0xc500, -5}, {gguf.F16, 0x0001, 5.9604645e-8}, {gguf.F16, 0x8000, float32(math.Copysign(0, -1))},
		{gguf.F16, 0x7bff, 65504}, {gguf.F16, 0xfc00, float32(math.Inf(-1))}, {gguf.BF16, 0x3f80, 1}, {gguf.BF16, 0xc0a0, -5},
	} {
		out := make([]byte, 4)
		widen(out, binary.LittleEndian.AppendUint16(nil, c.bits), c.kind)
		if got := binary.LittleEndian.Uint32(out); got != math.Float32bits(c.want) {
			t.Errorf("%04x: %v, want %v", c.bits, math.Float32frombits(got), c.want)
		}
	}
}

func TestWriteStops(t *testing.T) {
	dir := converttest.New().Write(t, nil)
	p, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = p.Write(ctx, io.Discard, func(done, _ int64) {
		if done > 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := p.Write(t.Context(), full{}, nil); !errors.Is(err, errFull) {
		t.Errorf("full: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), converttest.New().Shard()[:900], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Write(t.Context(), io.Discard, nil); errs.CodeOf(err) != errs.InvalidModelFile || !strings.Contains(err.Error(), "changed while it was converted") {
		t.Errorf("changed: %v", err)
	}
}

type full struct{}

var errFull = errs.New(errs.DiskFull, "", "full")

func (full) Write([]byte) (int, error) { return 0, errFull }

// Another directory, and another configuration of one, are another conversion.
func TestKey(t *testing.T) {
	keys := map[string]bool{}
	for _, theta := range []float64{10000, 20000} {
		s := converttest.New()
		s.Config["rope_theta"] = theta
		dir := s.Write(t, nil)
		for range 2 {
			p, err := Open(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			keys[string(p.Key())] = true
		}
	}
	if len(keys) != 2 {
		t.Errorf("%d keys", len(keys))
	}
}

func TestFilesOutsideAreAskedFor(t *testing.T) {
	dir := converttest.New().Write(t, nil)
	_, err := Open(dir, func(path string) (string, error) {
		if strings.HasSuffix(path, "model.safetensors") {
			return "", errs.New(errs.PermissionDenied, "", "not %s", path)
		}
		return path, nil
	})
	if errs.CodeOf(err) != errs.PermissionDenied {
		t.Error(err)
	}
}

// TestBadDirectories spoils a sound directory in one way each.
func TestBadDirectories(t *testing.T) {
	set := func(f func(s *converttest.Sample)) func(*converttest.Sample) map[string][]byte {
		return func(s *converttest.Sample) map[string][]byte { f(s); return nil }
	}
	files := func(m map[string][]byte) func(*converttest.Sample) map[string][]byte {
		return func(*converttest.Sample) map[string][]byte { return m }
	}
	index := `{"weight_map":{"model.norm.weight":"a.safetensors"}}`
	for name, c := range map[string]struct {
		spoil func(*converttest.Sample) map[string][]byte
		code  errs.Code
		want  []string
	}{
		"nothing":       {files(map[string][]byte{"model.safetensors": nil}), errs.InvalidModelFile, []string{"holds no model"}},
		"pickle only":   {files(map[string][]byte{"model.safetensors": nil, "pytorch_model.bin": {0x80}}), errs.Unsupported, []string{"pytorch_model.bin", "runs whatever code"}},
		"checkpoint":    {files(map[string][]byte{"model.safetensors": nil, "x.ckpt": {0x80}}), errs.Unsupported, []string{"x.ckpt", "pickle"}},
		"GGUF only":     {files(map[string][]byte{"model.safetensors": nil, "x.gguf": {1}}), errs.InvalidArgument, []string{"x.gguf", "name the file"}},
		"no config":     {files(map[string][]byte{"config.json": nil}), errs.NotFound, []string{"lacks config.json"}},
		"config text":   {files(map[string][]byte{"config.json": []byte("<html>")}), errs.InvalidModelFile, []string{"config.json"}},
		"no tokenizer":  {files(map[string][]byte{"tokenizer.json": nil}), errs.InvalidModelFile, []string{"no tokenizer"}},
		"pieces":        {files(map[string][]byte{"tokenizer.model": []byte("\xff\xff\xff")}), errs.InvalidModelFile, []string{"tokenizer.model"}},
		"truncated":     {files(map[string][]byte{"model.safetensors": converttest.New().Shard()[:900]}), errs.InvalidModelFile, []string{"model.safetensors", "truncated"}},
		"missing shard": {files(map[string][]byte{"model.safetensors.index.json": []byte(index)}), errs.InvalidModelFile, []string{"a.safetensors", "incomplete"}},
		"shard lacks": {files(map[string][]byte{"model.safetensors.index.json": []byte(index), "a.safetensors": converttest.New().Shard("lm_head.weight")}),
			errs.InvalidModelFile, []string{"a.safetensors", "model.norm.weight"}},
		"shard elsewhere": {files(map[string][]byte{"model.safetensors.index.json": []byte(`{"weight_map":{"a":"../a.safetensors"}}`)}), errs.InvalidModelFile, []string{"../a.safetensors"}},
		"family":          {set(func(s *converttest.Sample) { s.Config["architectures"] = []string{"MambaForCausalLM"} }), errs.Unsupported, []string{"MambaForCausalLM", "BERT", "Llama", "Qwen3"}},
		"no family":       {set(func(s *converttest.Sample) { delete(s.Config, "architectures") }), errs.InvalidModelFile, []string{"does not name"}},
		"sizes":           {set(func(s *converttest.Sample) { s.Config["num_hidden_layers"] = 1 << 30 }), errs.InvalidModelFile, []string{"num_hidden_layers"}},
		"heads":           {set(func(s *converttest.Sample) { s.Config["num_attention_heads"] = 3 }), errs.InvalidModelFile, []string{"num_attention_heads 3"}},
		"quantised":       {set(func(s *converttest.Sample) { s.Config["quantization_config"] = map[string]any{"bits": 4} }), errs.Unsupported, []string{"quantised already"}},
		"rope":            {set(func(s *converttest.Sample) { s.Config["rope_scaling"] = map[string]any{"type": "dynamic"} }), errs.Unsupported, []string{"dynamic"}},
		"activation":      {set(func(s *converttest.Sample) { s.Config["hidden_act"] = "relu" }), errs.Unsupported, []string{"relu"}},
		"shape": {set(func(s *converttest.Sample) {
			s.Tensors["model.layers.0.mlp.up_proj.weight"] = []int{converttest.FFN, converttest.Width + 1}
		}), errs.InvalidModelFile, []string{"up_proj", "[12 9]", "[12 8]"}},
		"missing tensor": {set(func(s *converttest.Sample) { delete(s.Tensors, "model.layers.0.mlp.up_proj.weight") }), errs.InvalidModelFile, []string{"lacks tensor model.layers.0.mlp.up_proj.weight"}},
		"more tensors":   {set(func(s *converttest.Sample) { s.Tensors["model.layers.0.self_attn.q_norm.weight"] = []int{4} }), errs.Unsupported, []string{"q_norm", "no place"}},
		"dtype":          {set(func(s *converttest.Sample) { s.Dtype = "I16" }), errs.Unsupported, []string{"I16", "BF16"}},
		"pre-tokenizer":  {set(func(s *converttest.Sample) { s.Tokenizer["pre_tokenizer"] = map[string]any{"type": "Metaspace"} }), errs.Unsupported, []string{"Metaspace"}},
		"unigram": {set(func(s *converttest.Sample) {
			s.Tokenizer["model"] = map[string]any{"type": "Unigram", "vocab": []any{}}
		}), errs.Unsupported, []string{"Unigram"}},
		"merge": {set(func(s *converttest.Sample) { s.Tokenizer["model"].(map[string]any)["merges"] = []string{"abc"} }), errs.InvalidModelFile, []string{"merge 0"}},
		"token id": {set(func(s *converttest.Sample) {
			s.Tokenizer["model"].(map[string]any)["vocab"].(map[string]any)["a"] = 999
		}), errs.InvalidModelFile, []string{`"a"`, "999"}},
		"same id":       {set(func(s *converttest.Sample) { s.Tokenizer["model"].(map[string]any)["vocab"].(map[string]any)["a"] = 1 }), errs.InvalidModelFile, []string{"same id 1"}},
		"special token": {set(func(s *converttest.Sample) { s.Settings["eos_token"] = "<end>" }), errs.InvalidModelFile, []string{"<end>"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := converttest.New()
			more := c.spoil(s)
			_, err := Open(s.Write(t, more), nil)
			if errs.CodeOf(err) != c.code {
				t.Fatalf("%v: %v, want %v", errs.CodeOf(err), err, c.code)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

// Kinds of tokenizer.model that llama.cpp would read otherwise: a sound one with
// fields put behind it, of which the last counts.
func TestPieces(t *testing.T) {
	sound, err := os.ReadFile("../../testdata/pieces/llama.model")
	if err != nil {
		t.Fatal(err)
	}
	field := func(part, n protowire.Number, value uint64) []byte {
		inner := protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), value)
		return protowire.AppendBytes(protowire.AppendTag(nil, part, protowire.BytesType), inner)
	}
	table := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), []byte{1, 2, 3})
	piece := func(text string, kind uint64) []byte {
		inner := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), text)
		inner = protowire.AppendVarint(protowire.AppendTag(inner, 3, protowire.VarintType), kind)
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
	}
	for name, c := range map[string]struct {
		more []byte
		code errs.Code
		want string
	}{
		"sound":         {nil, "", ""},
		"unigram":       {field(2, 3, 1), errs.Unsupported, "SentencePiece model of type 1"},
		"table":         {protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), table), errs.Unsupported, "it normalises texts"},
		"squeezed":      {field(3, 4, 1), errs.Unsupported, "remove_extra_whitespaces"},
		"not escaped":   {field(3, 5, 0), errs.Unsupported, "U+2581"},
		"suffix":        {field(2, 24, 1), errs.Unsupported, "U+2581"},
		"a byte more":   {piece("<0x41>", 6), errs.Unsupported, "257 tokens of bytes"},
		"found whole":   {piece("<|turn|>", 4), errs.Unsupported, `"<|turn|>"`},
		"without space": {append(field(3, 3, 0), piece("<|turn|>", 4)...), "", ""},
		"strange piece": {piece("x", 9), errs.InvalidModelFile, "makes no sense"},
		"no end":        {[]byte{0x0a, 0x7f}, errs.InvalidModelFile, "tokenizer.model"},
	} {
		s := converttest.New()
		s.Config["vocab_size"] = 400
		s.Tensors["model.embed_tokens.weight"][0], s.Tensors["lm_head.weight"][0] = 400, 400
		p, err := Open(s.Write(t, map[string][]byte{"tokenizer.model": append(bytes.Clone(sound), c.more...), "tokenizer_config.json": nil}), nil)
		if errs.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && !bytes.Contains(p.header(), []byte("tokenizer.ggml.bos_token_id\x04\x00\x00\x00\x01\x00\x00\x00")) {
			t.Errorf("%s: the file's own bos token is not taken", name)
		}
	}
}

// FuzzPieces: what is read of a tokenizer.model is no more than is in it.
func FuzzPieces(f *testing.F) {
	for _, name := range []string{"llama", "gemma"} {
		sound, err := os.ReadFile("../../testdata/pieces/" + name + ".model")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sound)
		f.Add(sound[:200])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, _, err := parsePieces(raw)
		if err != nil {
			return
		}
		if n := len(v.tokens); n == 0 || n != len(v.types) || n != len(v.scores) || 2*n > len(raw) {
			t.Fatalf("%d tokens, %d types, %d scores of %d bytes", n, len(v.types), len(v.scores), len(raw))
		}
		for i, kind := range v.types {
			if kind < tokenNormal || kind > tokenByte {
				t.Fatalf("token %d is of type %d", i, kind)
			}
		}
	})
}
