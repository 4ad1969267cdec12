package converttest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Sample is a Llama directory that tests spoil before they write it.
type Sample struct {
	Config, Tokenizer, Settings map[string]any
	Tensors                     map[string][]int // shapes
	Dtype                       string
}

// Sizes of New's models.
const (
	Width  = 8
	FFN    = 12
	Tokens = 20
)

// New is a sample of one small block.
func New() *Sample { return Sized(1, Width, FFN) }

// Sized is a sample of this many blocks, about (3*width+3*ffn)*width*4 bytes each.
func Sized(blocks, width, ffn int) *Sample {
	vocab := map[string]any{}
	for i := range Tokens - 2 {
		vocab[string(rune('a'+i))] = i
	}
	s := &Sample{
		Config: map[string]any{"architectures": []string{"LlamaForCausalLM"}, "hidden_act": "silu", "hidden_size": width, "intermediate_size": ffn,
			"num_hidden_layers": blocks, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": Tokens, "max_position_embeddings": 64, "rms_norm_eps": 1e-5},
		Tokenizer: map[string]any{
			"added_tokens":  []any{map[string]any{"id": Tokens - 2, "content": "<s>", "special": true}, map[string]any{"id": Tokens - 1, "content": "</s>", "special": true}},
			"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false},
			"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": []any{"a b", []string{"b", "c"}}}},
		Settings: map[string]any{"bos_token": "<s>", "eos_token": map[string]any{"content": "</s>"}, "chat_template": "{{ messages }}"},
		Tensors: map[string][]int{"model.embed_tokens.weight": {Tokens, width}, "model.norm.weight": {width}, "lm_head.weight": {Tokens, width},
			"model.layers.0.self_attn.rotary_emb.inv_freq": {2}},
		Dtype: "F32",
	}
	for block := range blocks {
		for name, shape := range map[string][]int{"input_layernorm": {width}, "post_attention_layernorm": {width}, "self_attn.q_proj": {width, width},
			"self_attn.k_proj": {width / 2, width}, "self_attn.v_proj": {width / 2, width}, "self_attn.o_proj": {width, width},
			"mlp.gate_proj": {ffn, width}, "mlp.up_proj": {ffn, width}, "mlp.down_proj": {width, ffn}} {
			s.Tensors[fmt.Sprintf("model.layers.%d.%s.weight", block, name)] = shape
		}
	}
	return s
}

// Shard is a SafeTensors file.
func (s *Sample) Shard(names ...string) []byte {
	if names == nil {
		names = slices.Sorted(maps.Keys(s.Tensors))
	}
	header, data := map[string]any{}, []byte{}
	for _, name := range names {
		n := 1
		for _, d := range s.Tensors[name] {
			n *= d
		}
		begin := len(data)
		for i := range n {
			if s.Dtype == "F32" {
				data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i%251)/251-0.5))
			} else {
				data = binary.LittleEndian.AppendUint16(data, uint16(0x3000+i%1000))
			}
		}
		header[name] = map[string]any{"dtype": s.Dtype, "shape": s.Tensors[name], "data_offsets": []int{begin, len(data)}}
	}
	text, _ := json.Marshal(header)
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data...)
}

// Write makes the directory; a file of files with nil content is left out.
func (s *Sample) Write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := s.Save(dir, files); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Save is Write into a directory that is there.
func (s *Sample) Save(dir string, files map[string][]byte) error {
	all := map[string][]byte{"model.safetensors": s.Shard()}
	for name, v := range map[string]any{"config.json": s.Config, "tokenizer.json": s.Tokenizer, "tokenizer_config.json": s.Settings} {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		all[name] = text
	}
	maps.Copy(all, files)
	for name, content := range all {
		if content == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
