package convert

import "fmt"

// planBERT makes an encoder whose answers are pooled to one vector per text.
func planBERT(p *Plan) error {
	c := p.config
	switch {
	case c.Activation != "gelu":
		return p.source.unsupported(ConfigName, "hidden_act %.40q cannot be converted; BERT models with gelu can", c.Activation)
	case c.PositionKind != "" && c.PositionKind != "absolute":
		return p.source.unsupported(ConfigName, "position_embedding_type %.40q cannot be converted; absolute can", c.PositionKind)
	case c.TypeVocab < 1 || c.TypeVocab > 1<<16:
		return p.source.bad(ConfigName, "type_vocab_size is %d", c.TypeVocab)
	case c.HeadDim*c.Heads != c.Hidden || c.KVHeads != c.Heads:
		return p.source.bad(ConfigName, "its heads do not fit hidden_size %d", c.Hidden)
	}
	if err := p.source.positive("layer_norm_eps", c.NormEps); err != nil {
		return err
	}
	pooling, err := p.source.pooling()
	if err != nil {
		return err
	}
	if pooling == 0 {
		pooling = poolMean
	}
	p.common("bert")
	p.meta.Float32("bert.attention.layer_norm_epsilon", c.NormEps)
	p.meta.Bool("bert.attention.causal", false)
	p.meta.Uint32("bert.pooling_type", pooling)
	p.meta.Uint32("tokenizer.ggml.token_type_count", c.TypeVocab)

	p.findPrefix("embeddings.word_embeddings.weight", "bert.")
	l := p.layer("", "")
	l.need("embeddings.word_embeddings.weight", "token_embd.weight", c.Vocab, c.Hidden)
	l.need("embeddings.position_embeddings.weight", "position_embd.weight", c.Positions, c.Hidden)
	l.need("embeddings.token_type_embeddings.weight", "token_types.weight", c.TypeVocab, c.Hidden)
	l.norm("embeddings.LayerNorm", "token_embd_norm", c.Hidden)
	for i := 0; i < c.Layers && l.err == nil; i++ {
		l = p.layer(fmt.Sprintf("encoder.layer.%d.", i), fmt.Sprintf("blk.%d.", i))
		l.linear("attention.self.query", "attn_q", c.Hidden, c.Hidden)
		l.linear("attention.self.key", "attn_k", c.Hidden, c.Hidden)
		l.linear("attention.self.value", "attn_v", c.Hidden, c.Hidden)
		l.linear("attention.output.dense", "attn_output", c.Hidden, c.Hidden)
		l.norm("attention.output.LayerNorm", "attn_output_norm", c.Hidden)
		l.linear("intermediate.dense", "ffn_up", c.FFN, c.Hidden)
		l.linear("output.dense", "ffn_down", c.Hidden, c.FFN)
		l.norm("output.LayerNorm", "layer_output_norm", c.Hidden)
	}
	return l.err
}

func (l *layer) linear(from, out string, rows, columns int) {
	l.need(from+".weight", out+".weight", rows, columns)
	l.need(from+".bias", out+".bias", rows)
}

func (l *layer) norm(from, out string, width int) {
	l.need(from+".weight", out+".weight", width)
	l.need(from+".bias", out+".bias", width)
}

// Pooling types of GGUF.
const (
	poolMean = 1
	poolCLS  = 2
	poolLast = 3
)

// pooling is how sentence-transformers' files say that a text's vector is made,
// 0 when they are not there.
func (s *source) pooling() (int, error) {
	const name = "1_Pooling/config.json"
	if !s.has("1_Pooling") {
		return 0, nil
	}
	var v struct {
		Mean bool   `json:"pooling_mode_mean_tokens"`
		CLS  bool   `json:"pooling_mode_cls_token"`
		Last bool   `json:"pooling_mode_lasttoken"`
		Max  bool   `json:"pooling_mode_max_tokens"`
		Root bool   `json:"pooling_mode_mean_sqrt_len_tokens"`
		Mode string `json:"pooling_mode"`
	}
	if err := s.decode(name, &v); err != nil {
		return 0, err
	}
	one := map[[5]bool]int{{true}: poolMean, {false, true}: poolCLS, {false, false, true}: poolLast}[[5]bool{v.Mean, v.CLS, v.Last, v.Max, v.Root}]
	if one == 0 {
		one = map[string]int{"mean": poolMean, "cls": poolCLS, "lasttoken": poolLast}[v.Mode]
	}
	if one == 0 {
		return 0, s.unsupported(name, "its way of pooling cannot be converted; mean, cls or lasttoken alone can")
	}
	return one, nil
}
