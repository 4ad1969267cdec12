package convert

import (
	"encoding/json"
	"math"
	"strings"
)

// ConfigName is the file by which a directory is known to hold a model.
const ConfigName = "config.json"

// config is config.json, as far as it is used. Sizes are checked by check.
type config struct {
	Architectures []string `json:"architectures"`
	Name          string   `json:"_name_or_path"`

	Hidden    int `json:"hidden_size"`
	FFN       int `json:"intermediate_size"`
	Layers    int `json:"num_hidden_layers"`
	Heads     int `json:"num_attention_heads"`
	KVHeads   int `json:"num_key_value_heads"` // 0: as Heads
	HeadDim   int `json:"head_dim"`            // 0: Hidden / Heads
	Vocab     int `json:"vocab_size"`
	Positions int `json:"max_position_embeddings"`
	TypeVocab int `json:"type_vocab_size"`

	Activation     string  `json:"hidden_act"`
	NormEps        float64 `json:"layer_norm_eps"`
	RMSEps         float64 `json:"rms_norm_eps"`
	PositionKind   string  `json:"position_embedding_type"`
	Tied           bool    `json:"tie_word_embeddings"`
	UseWindow      bool    `json:"use_sliding_window"`
	RopeTheta      float64 `json:"rope_theta"`
	RopeScaling    *rope   `json:"rope_scaling"`
	RopeParameters *rope   `json:"rope_parameters"` // newer files have both in one

	BOS       tokenIDs        `json:"bos_token_id"`
	EOS       tokenIDs        `json:"eos_token_id"`
	Pad       tokenIDs        `json:"pad_token_id"`
	Quantised json.RawMessage `json:"quantization_config"`
}

type rope struct {
	Type       string  `json:"rope_type"`
	OldType    string  `json:"type"`
	Theta      float64 `json:"rope_theta"`
	Factor     float64 `json:"factor"`
	LowFactor  float64 `json:"low_freq_factor"`
	HighFactor float64 `json:"high_freq_factor"`
	Original   float64 `json:"original_max_position_embeddings"`
	// Refinements of yarn that are refused.
	Attention *float64 `json:"attention_factor"`
	BetaFast  *float64 `json:"beta_fast"`
	BetaSlow  *float64 `json:"beta_slow"`
	Scale     *float64 `json:"mscale"`
}

// tokenIDs is a number, a list of them, or null.
type tokenIDs []int

func (t *tokenIDs) UnmarshalJSON(text []byte) error {
	if strings.HasPrefix(string(text), "[") {
		return json.Unmarshal(text, (*[]int)(t))
	}
	var one *int
	if err := json.Unmarshal(text, &one); err != nil || one == nil {
		return err
	}
	*t = []int{*one}
	return nil
}

// readConfig reads config.json, finds the family and checks the sizes.
func (s *source) readConfig() (*config, *family, error) {
	var c config
	if err := s.decode(ConfigName, &c); err != nil {
		return nil, nil, err
	}
	if len(c.Quantised) > 0 && string(c.Quantised) != "null" {
		return nil, nil, s.unsupported(ConfigName, "its weights are quantised already (quantization_config); take the model in F32, F16 or BF16, or a GGUF file of it")
	}
	fam, err := s.family(&c)
	if err != nil {
		return nil, nil, err
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	for _, n := range []struct {
		key      string
		value    int
		min, max int
	}{
		{"hidden_size", c.Hidden, 1, 1 << 18}, {"intermediate_size", c.FFN, 1, 1 << 20}, {"num_hidden_layers", c.Layers, 1, 1024},
		{"num_attention_heads", c.Heads, 1, 1 << 12}, {"num_key_value_heads", c.KVHeads, 1, c.Heads}, {"head_dim", c.HeadDim, 0, 1 << 12},
		{"vocab_size", c.Vocab, 1, 1 << 24}, {"max_position_embeddings", c.Positions, 1, 1 << 28},
	} {
		if n.value < n.min || n.value > n.max {
			return nil, nil, s.bad(ConfigName, "%s is %d; %d to %d make sense", n.key, n.value, n.min, n.max)
		}
	}
	if c.HeadDim == 0 {
		if c.Hidden%c.Heads != 0 {
			return nil, nil, s.bad(ConfigName, "hidden_size %d is no multiple of num_attention_heads %d", c.Hidden, c.Heads)
		}
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.Heads%c.KVHeads != 0 {
		return nil, nil, s.bad(ConfigName, "num_attention_heads %d is no multiple of num_key_value_heads %d", c.Heads, c.KVHeads)
	}
	return &c, fam, nil
}

// positive checks a number that must be above 0 and finite.
func (s *source) positive(key string, v float64) error {
	if !(v > 0) || math.IsInf(v, 0) || v > math.MaxFloat32 {
		return s.bad(ConfigName, "%s is %v; a number above 0 is expected", key, v)
	}
	return nil
}

func (c *config) isBERT() bool { return strings.HasPrefix(c.Architectures[0], "Bert") }
