package convert

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// sample is a Llama directory that tests spoil before they write it.
type sample struct {
	config, tokenizer, settings map[string]any
	tensors                     map[string][]int // shapes
	dtype                       string
}

const (
	width  = 8
	ffn    = 12
	tokens = 20
)

func newSample() *sample {
	vocab := map[string]any{}
	for i := range tokens - 2 {
		vocab[string(rune('a'+i))] = i
	}
	s := &sample{
		config: map[string]any{"architectures": []string{"LlamaForCausalLM"}, "hidden_act": "silu", "hidden_size": width, "intermediate_size": ffn,
			"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": tokens, "max_position_embeddings": 64, "rms_norm_eps": 1e-5},
		tokenizer: map[string]any{
			"added_tokens":  []any{map[string]any{"id": tokens - 2, "content": "<s>", "special": true}, map[string]any{"id": tokens - 1, "content": "</s>", "special": true}},
			"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false},
			"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": []any{"a b", []string{"b", "c"}}}},
		settings: map[string]any{"bos_token": "<s>", "eos_token": map[string]any{"content": "</s>"}, "chat_template": "{{ messages }}"},
		tensors: map[string][]int{"model.embed_tokens.weight": {tokens, width}, "model.norm.weight": {width}, "lm_head.weight": {tokens, width},
			"model.layers.0.self_attn.rotary_emb.inv_freq": {2}},
		dtype: "F32",
	}
	for name, shape := range map[string][]int{"input_layernorm": {width}, "post_attention_layernorm": {width}, "self_attn.q_proj": {width, width},
		"self_attn.k_proj": {width / 2, width}, "self_attn.v_proj": {width / 2, width}, "self_attn.o_proj": {width, width},
		"mlp.gate_proj": {ffn, width}, "mlp.up_proj": {ffn, width}, "mlp.down_proj": {width, ffn}} {
		s.tensors["model.layers.0."+name+".weight"] = shape
	}
	return s
}

// shard is a SafeTensors file; value i of a tensor is i.
func (s *sample) shard(names ...string) []byte {
	if names == nil {
		names = sorted(s.tensors)
	}
	header, data := map[string]any{}, []byte{}
	for _, name := range names {
		n := 1
		for _, d := range s.tensors[name] {
			n *= d
		}
		begin := len(data)
		for i := range n {
			if s.dtype == "F32" {
				data = binary.LittleEndian.AppendUint32(data, uint32(i))
			} else {
				data = binary.LittleEndian.AppendUint16(data, uint16(i))
			}
		}
		header[name] = map[string]any{"dtype": s.dtype, "shape": s.tensors[name], "data_offsets": []int{begin, len(data)}}
	}
	text, _ := json.Marshal(header)
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data...)
}

// write makes the directory; a file of files with nil content is left out.
func (s *sample) write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string][]byte{"model.safetensors": s.shard()}
	for name, v := range map[string]any{"config.json": s.config, "tokenizer.json": s.tokenizer, "tokenizer_config.json": s.settings} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = text
	}
	for name, content := range files {
		all[name] = content
	}
	for name, content := range all {
		if content == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
