package peft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/peft/pefttest"
)

func anywhere(p string) (string, error) { return p, nil }

func tinyBase(t *testing.T) storage.Base {
	t.Helper()
	b, err := storage.ReadBase("../../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func convert(t *testing.T, dir string, base storage.Base) ([]byte, error) {
	t.Helper()
	d, err := Find(dir, anywhere)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = d.Convert(t.Context(), base, &out, nil)
	return out.Bytes(), err
}

const layer0 = "base_model.model.model.layers.0."

// The file that comes out is a sound one, the same each time, and fits its model.
func TestConvert(t *testing.T) {
	base := tinyBase(t)
	dir := pefttest.Save(t, pefttest.Config(4, 8, map[string]any{"base_sha256": strings.Repeat("ab", 32)}), pefttest.Tiny(1))
	one, err := convert(t, dir, base)
	if err != nil {
		t.Fatal(err)
	}
	two, err := convert(t, dir, base)
	if err != nil || !bytes.Equal(one, two) {
		t.Error("another file", err)
	}
	path := filepath.Join(t.TempDir(), "a.gguf")
	if err := os.WriteFile(path, one, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := storage.Inspect(path)
	if err != nil || info.Kind != storage.KindAdapter || info.Rank != 4 || info.Alpha != 8 || info.Architecture != "llama" ||
		!slices.Equal(info.Targets, []string{"attn_k", "attn_q", "attn_v"}) || info.Parameters != 2*(3*4*64+4*(64+32+32)) {
		t.Errorf("%+v %v", info, err)
	}
	if err := storage.CheckAdapter(path, base, strings.Repeat("AB", 32)); err != nil {
		t.Error(err)
	}
	if err := storage.CheckAdapter(path, base, strings.Repeat("cd", 32)); errs.CodeOf(err) != errs.InvalidArgument || !strings.Contains(err.Error(), "abababababab") {
		t.Error(err)
	}
	// The values lie last: of blk.1.attn_v.weight.lora_b here.
	want := pefttest.Tiny(1)["base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"].Data
	tail := one[len(one)-4*len(want):]
	for i, v := range want {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(tail[4*i:])); got != v {
			t.Fatalf("value %d is %v, not %v", i, got, v)
		}
	}
}

func TestDescribe(t *testing.T) {
	dir := pefttest.Save(t, pefttest.Config(4, 8, map[string]any{"use_rslora": true}), pefttest.Tiny(1))
	d, err := Find(dir, anywhere)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Describe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var done, total int64
	if err := d.Convert(t.Context(), tinyBase(t), &out, func(n, of int64) { done, total = n, of }); err != nil {
		t.Fatal(err)
	}
	if got.BaseModel != "tiny" || got.Rank != 4 || !slices.Equal(got.Ranks, []int{4}) || got.Alpha != 8 || !got.RankStable || got.Tensors != 12 ||
		!slices.Equal(got.Types, []storage.TypeShare{{Type: "F32", Tensors: 12, Bytes: 4 * 2 * (3*4*64 + 4*(64+32+32))}}) || !slices.Equal(got.Targets, []string{"attn_k", "attn_q", "attn_v"}) || got.Parameters != 2*(3*4*64+4*(64+32+32)) {
		t.Errorf("%+v", got)
	}
	if done != total || total != got.ConvertedBytes {
		t.Errorf("progress ended at %d of %d, %d expected", done, total, got.ConvertedBytes)
	}
	if head := int64(out.Len()) - got.ConvertedBytes; head < 100 || head > 2000 {
		t.Errorf("%d bytes converted, %d expected", out.Len(), got.ConvertedBytes)
	}
	if err := d.Check(tinyBase(t)); err != nil {
		t.Error(err)
	}
	other := tinyBase(t)
	delete(other.Tensors, "blk.1.attn_q.weight")
	if err := d.Check(other); errs.CodeOf(err) != errs.InvalidArgument || !strings.Contains(err.Error(), "blk.1.attn_q.weight") {
		t.Error(err)
	}
}

// Factors: alpha, its patterns, ranks' patterns, the root of the rank.
func TestScales(t *testing.T) {
	const text = `{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "rank_pattern": {"q_proj": 4, "layers.1.self_attn.q_proj": 2, "^model.layers.0.mlp.up_proj": 16, "layers\\.[12]\\.mlp\\..*": 1},
		"alpha_pattern": {"v_proj": 4, "down_proj": 0.5}, "use_rslora": false}`
	for name, want := range map[string]struct {
		rank  int
		scale float64
	}{
		"model.layers.0.self_attn.k_proj": {8, 2}, "model.layers.0.self_attn.q_proj": {4, 4},
		"model.layers.1.self_attn.q_proj": {4, 4}, // the first that matches
		"model.layers.0.self_attn.v_proj": {8, 0.5}, "model.layers.0.mlp.up_proj": {16, 1},
		"model.layers.2.mlp.down_proj": {1, 0.5}, "model.layers.12.mlp.up_proj": {8, 2}, "model.layers.0.self_attn.xq_proj": {8, 2},
	} {
		for _, stable := range []bool{false, true} {
			doc := text
			if stable {
				doc = strings.Replace(text, "false", "true", 1)
				want.scale *= math.Sqrt(float64(want.rank))
			}
			c, err := readConfig("c", []byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			if rank, scale := c.of(name); rank != want.rank || math.Abs(scale-want.scale) > 1e-12 {
				t.Errorf("%s: rank %d, scale %v", name, rank, scale)
			}
		}
	}
}

// What cannot be carried over is refused, and why is said.
func TestRefused(t *testing.T) {
	base := tinyBase(t)
	with := func(name string, x pefttest.Tensor) map[string]pefttest.Tensor {
		all := pefttest.Tiny(1)
		all[name] = x
		return all
	}
	vector := pefttest.Tensor{Shape: []int{2}, Data: []float32{1, 2}}
	matrix := func(rows, columns int) pefttest.Tensor {
		return pefttest.Tensor{Shape: []int{rows, columns}, Data: make([]float32, rows*columns)}
	}
	nan := matrix(4, 64)
	nan.Data[5] = float32(math.NaN())
	pair := func(module string, in, out int) map[string]pefttest.Tensor {
		all := with(module+".lora_A.weight", matrix(4, in))
		all[module+".lora_B.weight"] = matrix(out, 4)
		return all
	}
	lacking := pefttest.Tiny(1)
	delete(lacking, layer0+"self_attn.q_proj.lora_B.weight")
	for name, c := range map[string]struct {
		change  map[string]any
		tensors map[string]pefttest.Tensor
		code    errs.Code
		want    string
	}{
		"dora":          {map[string]any{"use_dora": true}, nil, errs.Unsupported, "use_dora"},
		"saved modules": {map[string]any{"modules_to_save": []string{"lm_head"}}, nil, errs.Unsupported, "modules_to_save"},
		"bias":          {map[string]any{"bias": "all"}, nil, errs.Unsupported, `bias is "all"`},
		"pissa":         {map[string]any{"init_lora_weights": "pissa_niter_16"}, nil, errs.Unsupported, "init_lora_weights"},
		"transposed":    {map[string]any{"fan_in_fan_out": true}, nil, errs.Unsupported, "Conv1D"},
		"other method":  {map[string]any{"peft_type": "IA3"}, nil, errs.Unsupported, `"IA3"`},
		"no alpha":      {map[string]any{"lora_alpha": nil}, nil, errs.InvalidModelFile, "lora_alpha"},
		"no rank":       {map[string]any{"r": 0}, nil, errs.InvalidModelFile, "r is 0"},
		"rank of text":  {map[string]any{"r": "x"}, nil, errs.InvalidModelFile, "not a PEFT configuration"},
		"bad pattern":   {map[string]any{"rank_pattern": map[string]any{"(": 1}}, nil, errs.InvalidModelFile, "missing closing"},
		"other rank":    {map[string]any{"r": 8}, nil, errs.InvalidModelFile, "rank 4, and adapter_config.json says 8"},
		"unknown":       {nil, pair(layer0+"self_attn.qkv_proj", 64, 64), errs.Unsupported, `"model.layers.0.self_attn.qkv_proj" is not known; those of a block that are: mlp.down_proj`},
		"saved tensor":  {nil, with("base_model.model.lm_head.weight", vector), errs.Unsupported, "base_model.model.lm_head.weight"},
		"embedding":     {nil, with("base_model.model.model.embed_tokens.lora_embedding_A", vector), errs.Unsupported, "embed_tokens.lora_embedding_A"},
		"magnitudes":    {nil, with(layer0+"mlp.up_proj.lora_magnitude_vector", vector), errs.Unsupported, "DoRA"},
		"vector":        {nil, pairOf(pair(layer0+"mlp.up_proj", 64, 160), layer0+"mlp.up_proj.lora_A.weight", vector), errs.InvalidModelFile, "a matrix was expected"},
		"half":          {nil, lacking, errs.InvalidModelFile, "it lacks \"" + layer0 + "self_attn.q_proj.lora_B.weight"},
		"twice":         {nil, pair("base_model.model.layers.0.self_attn.q_proj", 64, 64), errs.InvalidModelFile, "are both for blk.0.attn_q.weight"},
		"other model":   {nil, pair(layer0+"mlp.up_proj", 96, 160), errs.InvalidArgument, layer0 + "mlp.up_proj has A [4, 96] and B [160, 4] and the model's blk.0.ffn_up.weight is [160, 64]"},
		"no such layer": {nil, pair("base_model.model.model.layers.2.mlp.up_proj", 64, 160), errs.InvalidArgument, "blk.2.ffn_up.weight, which the model does not have"},
		"not a number":  {nil, with(layer0+"self_attn.q_proj.lora_A.weight", nan), errs.InvalidModelFile, "has the value NaN"},
		"no tensors":    {nil, map[string]pefttest.Tensor{}, errs.InvalidModelFile, "no tensors"},
	} {
		if c.tensors == nil {
			c.tensors = pefttest.Tiny(1)
		}
		_, err := convert(t, pefttest.Save(t, pefttest.Config(4, 8, c.change), c.tensors), base)
		if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v %v", name, errs.CodeOf(err), err)
		}
	}
}

func pairOf(all map[string]pefttest.Tensor, name string, x pefttest.Tensor) map[string]pefttest.Tensor {
	all[name] = x
	return all
}

func TestOtherModels(t *testing.T) {
	dir := pefttest.Save(t, pefttest.Config(4, 8, nil), pefttest.Tiny(1))
	base := tinyBase(t)
	base.Architecture = "bert"
	if _, err := convert(t, dir, base); errs.CodeOf(err) != errs.Unsupported || !strings.Contains(err.Error(), `"bert"`) {
		t.Error(err)
	}
	base.Architecture, base.Heads = "llama", 0
	if _, err := convert(t, dir, base); errs.CodeOf(err) != errs.Unsupported {
		t.Error(err)
	}
	base.Architecture = "qwen3" // nothing is reordered
	if _, err := convert(t, dir, base); err != nil {
		t.Error(err)
	}
	base = tinyBase(t)
	delete(base.Tensors, "output.weight")
	all := map[string]pefttest.Tensor{"base_model.model.lm_head.lora_A.weight": {Shape: []int{4, 64}, Data: make([]float32, 256)},
		"base_model.model.lm_head.lora_B.weight": {Shape: []int{512, 4}, Data: make([]float32, 2048)}}
	if _, err := convert(t, pefttest.Save(t, pefttest.Config(4, 8, nil), all), base); errs.CodeOf(err) != errs.Unsupported || !strings.Contains(err.Error(), "lm_head") {
		t.Error(err)
	}
}

func TestFind(t *testing.T) {
	dir := pefttest.Save(t, pefttest.Config(4, 8, nil), pefttest.Tiny(1))
	denied := errs.New(errs.PermissionDenied, "", "no")
	if _, err := Find(dir, func(p string) (string, error) {
		if strings.HasSuffix(p, ".safetensors") {
			return "", denied
		}
		return p, nil
	}); !errors.Is(err, denied) {
		t.Error(err)
	}
	weights := filepath.Join(dir, tensorsName)
	if err := os.Rename(weights, filepath.Join(dir, pickleName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir, anywhere); errs.CodeOf(err) != errs.Unsupported || !strings.Contains(err.Error(), "pickle") {
		t.Error(err)
	}
	if _, err := Find(t.TempDir(), anywhere); errs.CodeOf(err) != errs.InvalidModelFile || !strings.Contains(err.Error(), "lacks adapter_config.json") {
		t.Error(err)
	}
}

// Rows of queries and keys: what a head has in halves comes out in pairs.
func TestReorder(t *testing.T) {
	got := reorder([]float32{0, 1, 2, 3, 4, 5, 6, 7}, 1, 2)
	if want := []float32{0, 2, 1, 3, 4, 6, 5, 7}; !slices.Equal(got, want) {
		t.Error(got)
	}
	if got := reorder([]float32{0, 0, 1, 1, 2, 2, 3, 3}, 2, 1); !slices.Equal(got, []float32{0, 0, 2, 2, 1, 1, 3, 3}) {
		t.Error(got)
	}
}

// A damaged file, and one that changes meanwhile, become no adapter.
func TestDamaged(t *testing.T) {
	base := tinyBase(t)
	dir := pefttest.Save(t, pefttest.Config(4, 8, nil), pefttest.Tiny(1))
	path := filepath.Join(dir, tensorsName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Find(dir, anywhere)
	if err != nil {
		t.Fatal(err)
	}
	wrote := writes(func([]byte) {
		if err := os.WriteFile(path, whole[:len(whole)-1], 0o600); err != nil {
			t.Error(err)
		}
	})
	if err := d.Convert(t.Context(), base, wrote, nil); errs.CodeOf(err) != errs.InvalidModelFile || !strings.Contains(err.Error(), "ends at byte") && !strings.Contains(err.Error(), "changed while") {
		t.Error("changed meanwhile:", err)
	}
	if err := d.Convert(t.Context(), base, io.Discard, nil); errs.CodeOf(err) != errs.InvalidModelFile || !strings.Contains(err.Error(), path+" is not usable: it is truncated") {
		t.Error("cut off:", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Convert(t.Context(), base, io.Discard, nil); errs.CodeOf(err) != errs.InvalidModelFile || !strings.Contains(err.Error(), "not a regular file") {
		t.Error("a pipe:", err)
	}
}

type writes func(p []byte)

func (w writes) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}
