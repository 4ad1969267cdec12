package convert

import (
	"fmt"
	"math"

	"hyprstream/storage/gguf"
)

// planLlama makes a decoder whose query and key rows llama.cpp wants reordered.
func planLlama(p *Plan) error { return planDecoder(p, "llama", true) }

// planQwen3 makes the same with norms of queries and keys, and rows as they are.
func planQwen3(p *Plan) error {
	if p.config.UseWindow {
		return p.source.unsupported(ConfigName, "use_sliding_window cannot be converted")
	}
	return planDecoder(p, "qwen3", false)
}

func planDecoder(p *Plan, arch string, reorder bool) error {
	c := p.config
	switch {
	case c.Activation != "silu":
		return p.source.unsupported(ConfigName, "hidden_act %.40q cannot be converted; silu can", c.Activation)
	case c.HeadDim%2 != 0:
		return p.source.bad(ConfigName, "head_dim %d is odd", c.HeadDim)
	}
	if err := p.source.positive("rms_norm_eps", c.RMSEps); err != nil {
		return err
	}
	pooling, err := p.source.pooling()
	if err != nil {
		return err
	}
	p.common(arch)
	if pooling != 0 {
		p.meta.Uint32(arch+".pooling_type", pooling)
	}
	p.meta.Uint32(arch+".attention.head_count_kv", c.KVHeads)
	p.meta.Uint32(arch+".attention.key_length", c.HeadDim)
	p.meta.Uint32(arch+".attention.value_length", c.HeadDim)
	p.meta.Float32(arch+".attention.layer_norm_rms_epsilon", c.RMSEps)
	p.meta.Uint32(arch+".vocab_size", c.Vocab)
	p.meta.Uint32(arch+".rope.dimension_count", c.HeadDim)
	if err := p.rope(arch); err != nil {
		return err
	}
	p.findPrefix("embed_tokens.weight", "model.")
	l := p.layer("", "")
	l.need("embed_tokens.weight", "token_embd.weight", c.Vocab, c.Hidden)
	l.need("norm.weight", "output_norm.weight", c.Hidden)
	for i := 0; i < c.Layers && l.err == nil; i++ {
		l = p.layer(fmt.Sprintf("layers.%d.", i), fmt.Sprintf("blk.%d.", i))
		l.decoder(arch, reorder)
	}
	if l.err != nil {
		return l.err
	}
	return p.head()
}

// decoder adds one block.
func (l *layer) decoder(arch string, reorder bool) {
	c := l.p.config
	l.need("input_layernorm.weight", "attn_norm.weight", c.Hidden)
	l.rotary("self_attn.q_proj", "attn_q", c.Heads, c.HeadDim, c.Hidden, reorder)
	l.rotary("self_attn.k_proj", "attn_k", c.KVHeads, c.HeadDim, c.Hidden, reorder)
	l.rotary("self_attn.v_proj", "attn_v", c.KVHeads, c.HeadDim, c.Hidden, false)
	l.need("self_attn.o_proj.weight", "attn_output.weight", c.Hidden, c.Heads*c.HeadDim)
	if arch == "qwen3" {
		l.need("self_attn.q_norm.weight", "attn_q_norm.weight", c.HeadDim)
		l.need("self_attn.k_norm.weight", "attn_k_norm.weight", c.HeadDim)
	} else { // llama.cpp knows no such biases of Qwen3: they stay unused, which is an error
		l.may("self_attn.o_proj.bias", "attn_output.bias", c.Hidden)
		l.may("mlp.gate_proj.bias", "ffn_gate.bias", c.FFN)
		l.may("mlp.up_proj.bias", "ffn_up.bias", c.FFN)
		l.may("mlp.down_proj.bias", "ffn_down.bias", c.Hidden)
	}
	l.need("post_attention_layernorm.weight", "ffn_norm.weight", c.Hidden)
	l.need("mlp.gate_proj.weight", "ffn_gate.weight", c.FFN, c.Hidden)
	l.need("mlp.up_proj.weight", "ffn_up.weight", c.FFN, c.Hidden)
	l.need("mlp.down_proj.weight", "ffn_down.weight", c.Hidden, c.FFN)
}

// head adds the output matrix, which tied models share with the embeddings. Some
// of these have it in their files all the same.
func (p *Plan) head() error {
	if p.config.Tied {
		p.weights.find("lm_head.weight")
		return nil
	}
	prefix := p.prefix
	p.prefix = "" // the head lies beside the model, not in it
	defer func() { p.prefix = prefix }()
	l := p.layer("", "")
	l.need("lm_head.weight", "output.weight", p.config.Vocab, p.config.Hidden)
	return l.err
}

// rope adds what is said of rotary positions.
func (p *Plan) rope(arch string) error {
	c := p.config
	r, theta := c.RopeScaling, c.RopeTheta
	if r == nil {
		r = c.RopeParameters
	}
	if r == nil {
		r = &rope{}
	}
	if theta == 0 {
		theta = r.Theta
	}
	if theta == 0 {
		theta = 10000
	}
	if err := p.source.positive("rope_theta", theta); err != nil {
		return err
	}
	p.meta.Float32(arch+".rope.freq_base", theta)
	kind := r.Type
	if kind == "" {
		kind = r.OldType
	}
	switch kind {
	case "", "default":
		return nil
	case "linear", "yarn":
		if err := p.source.positive("rope_scaling's factor", r.Factor); err != nil {
			return err
		}
		p.meta.String(arch+".rope.scaling.type", kind)
		p.meta.Float32(arch+".rope.scaling.factor", r.Factor)
		if kind == "yarn" {
			if r.Attention != nil || r.BetaFast != nil || r.BetaSlow != nil || r.Scale != nil {
				return p.source.unsupported(ConfigName, "rope_scaling of type yarn cannot be converted with attention_factor, beta_fast, beta_slow or mscale")
			}
			if r.Original < 1 || r.Original > 1<<28 {
				return p.source.bad(ConfigName, "rope_scaling's original_max_position_embeddings is %v", r.Original)
			}
			p.meta.Uint32(arch+".rope.scaling.original_context_length", int(r.Original))
		}
		return nil
	case "llama3":
		return p.llama3(r, theta)
	}
	return p.source.unsupported(ConfigName, "rope_scaling of type %.40q cannot be converted; linear, yarn and llama3 can", kind)
}

// llama3 adds the factors by which Llama 3.1 and later slow down the rotation of
// each pair of dimensions: those that turn slowly by the whole factor, those that
// turn fast by nothing, between them by a blend.
func (p *Plan) llama3(r *rope, theta float64) error {
	for key, v := range map[string]float64{"factor": r.Factor, "low_freq_factor": r.LowFactor,
		"high_freq_factor": r.HighFactor, "original_max_position_embeddings": r.Original} {
		if err := p.source.positive("rope_scaling's "+key, v); err != nil {
			return err
		}
	}
	if r.HighFactor <= r.LowFactor {
		return p.source.bad(ConfigName, "rope_scaling's high_freq_factor %v is not above low_freq_factor %v", r.HighFactor, r.LowFactor)
	}
	dim := p.config.HeadDim
	factors := make([]float32, dim/2)
	for i := range factors {
		wave := 2 * math.Pi * math.Pow(theta, float64(2*i)/float64(dim))
		turns := r.Original / wave // within the original context
		switch {
		case turns > r.HighFactor:
			factors[i] = 1
		case turns < r.LowFactor:
			factors[i] = float32(r.Factor)
		default:
			blend := (turns - r.LowFactor) / (r.HighFactor - r.LowFactor)
			factors[i] = float32(1 / ((1-blend)/r.Factor + blend))
		}
	}
	p.tensors = append(p.tensors, tensor{Tensor: gguf.Tensor{Name: "rope_freqs.weight", Shape: []uint64{uint64(dim / 2)}, Type: gguf.F32}, data: factors})
	return nil
}
