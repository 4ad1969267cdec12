package peft

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"hyprstream/errs"
)

// config is adapter_config.json, as far as it decides what the adapter does.
type config struct {
	Type         string   `json:"peft_type"`
	Rank         int      `json:"r"`
	Alpha        float64  `json:"lora_alpha"`
	RankStable   bool     `json:"use_rslora"`
	RankPattern  patterns `json:"rank_pattern"`
	AlphaPattern patterns `json:"alpha_pattern"`
	Bias         string   `json:"bias"`
	BaseModel    string   `json:"base_model_name_or_path"`
	BaseSHA256   string   `json:"base_sha256"` // not PEFT's: the GGUF file it was trained on

	raw map[string]json.RawMessage
}

// refused are settings under which the tensors mean more than B times A.
var refused = []struct{ key, why string }{
	{"use_dora", "DoRA scales the model's own weights as well"},
	{"lora_bias", "biases cannot be added"},
	{"fan_in_fan_out", "its layers are stored transposed (Conv1D, as in GPT-2)"},
	{"modules_to_save", "it carries whole trained modules; merge it into its model and convert that"},
	{"trainable_token_indices", "it changes token embeddings"},
	{"target_parameters", "it changes parameters that are no layer's"},
	{"layer_replication", "it is for a model with replicated layers"},
	{"alora_invocation_tokens", "an activated LoRA works from a certain token on only"},
	{"use_qalora", "QALoRA pools its input"},
}

// readConfig reads and checks a config. Errors: InvalidModelFile, Unsupported.
func readConfig(path string, text []byte) (*config, error) {
	bad := func(code errs.Code, format string, args ...any) error {
		return errs.Wrap(errs.New(code, "", format, args...), code, op, "%s", path)
	}
	c := &config{Bias: "none"}
	if err := errors.Join(json.Unmarshal(text, c), json.Unmarshal(text, &c.raw)); err != nil {
		return nil, bad(errs.InvalidModelFile, "it is not a PEFT configuration: %v", err)
	}
	for _, r := range refused {
		if c.set(r.key) {
			return nil, bad(errs.Unsupported, "%s is set: %s", r.key, r.why)
		}
	}
	var init string
	_ = json.Unmarshal(c.raw["init_lora_weights"], &init) // true and false are fine
	init, _, _ = strings.Cut(strings.ToLower(init), "_")
	switch {
	case c.Type != "LORA":
		return nil, bad(errs.Unsupported, "peft_type is %q; only LORA can be used", c.Type)
	case c.Bias != "none":
		return nil, bad(errs.Unsupported, "bias is %q: biases cannot be added, train with bias \"none\"", c.Bias)
	case slices.Contains([]string{"pissa", "olora", "corda", "loftq"}, init):
		return nil, bad(errs.Unsupported, "init_lora_weights is %q: the adapter fits the weights that this changed, not the model's; save it converted to a plain LoRA (path_initial_model_for_weight_conversion)", init)
	case c.Rank < 1:
		return nil, bad(errs.InvalidModelFile, "r is %d; a rank is at least 1", c.Rank)
	case c.Alpha == 0 || math.Abs(c.Alpha) > 1e6:
		return nil, bad(errs.InvalidModelFile, "lora_alpha is %v: 0, or missing, it changes nothing, and over 1e6 nothing makes sense", c.Alpha)
	}
	return c, nil
}

// set says whether a setting is there and neither null, false nor empty.
func (c *config) set(key string) bool {
	v := string(bytes.TrimSpace(c.raw[key]))
	return !slices.Contains([]string{"", "null", "false", "[]", "{}", `""`}, v)
}

// of is a module's rank, and the factor of B times A. module is named as
// without PEFT: "model.layers.0.self_attn.q_proj".
func (c *config) of(module string) (rank int, scale float64) {
	r, alpha := float64(c.Rank), c.Alpha
	if v, ok := c.RankPattern.find(module); ok {
		r = v
	}
	if v, ok := c.AlphaPattern.find(module); ok {
		alpha = v
	}
	if c.RankStable {
		return int(r), alpha / math.Sqrt(r)
	}
	return int(r), alpha / r
}

// patterns is a JSON object of numbers by regular expressions, in its order: the
// first that matches counts.
type patterns []pattern

type pattern struct {
	match *regexp.Regexp
	value float64
}

// maxPatterns bounds how many there may be.
const maxPatterns = 1 << 14

func (p *patterns) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return err // null
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var v float64
		if err := d.Decode(&v); err != nil {
			return err
		}
		name, _ := key.(string)
		re, err := regexp.Compile(`^(?:.*\.)?(?:` + name + `)$`)
		if err != nil {
			return err
		}
		if *p = append(*p, pattern{re, v}); len(*p) > maxPatterns {
			return errors.New("too many patterns")
		}
	}
	_, err := d.Token()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (p patterns) find(module string) (float64, bool) {
	for _, x := range p {
		if x.match.MatchString(module) {
			return x.value, true
		}
	}
	return 0, false
}
