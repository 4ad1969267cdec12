package convert

import (
	"encoding/json"
	"strings"

	"hyprstream/errs"
	"hyprstream/storage/gguf"
)

const (
	tokenizerName = "tokenizer.json"
	pieceName     = "tokenizer.model"
	settingsName  = "tokenizer_config.json"
	maxTokens     = 1 << 22
)

// Token types of GGUF.
const (
	tokenNormal  = 1
	tokenUnknown = 2
	tokenControl = 3
	tokenUser    = 4
	tokenUnused  = 5
	tokenByte    = 6
)

// vocabulary is a tokenizer as GGUF has it.
type vocabulary struct {
	model  string // "bert", "gpt2" or "llama"
	pre    string // how "gpt2" cuts a text before it looks for tokens
	tokens []string
	types  []int32
	scores []float32 // of "llama" only
	merges []string  // of "gpt2" only

	special   map[string]int // by GGUF's name: "bos", "eos", …
	usual     map[string]int // those that count where nothing else is said
	flags     map[string]bool
	normalise map[string]bool // of "bert" only
	template  string
}

// settings is tokenizer_config.json.
type settings struct {
	BOS      specialToken    `json:"bos_token"`
	EOS      specialToken    `json:"eos_token"`
	Unknown  specialToken    `json:"unk_token"`
	Pad      specialToken    `json:"pad_token"`
	CLS      specialToken    `json:"cls_token"`
	Sep      specialToken    `json:"sep_token"`
	Mask     specialToken    `json:"mask_token"`
	AddBOS   *bool           `json:"add_bos_token"`
	AddEOS   *bool           `json:"add_eos_token"`
	Template json.RawMessage `json:"chat_template"`
}

// specialToken is a token's text, given as such or in an object.
type specialToken string

func (t *specialToken) UnmarshalJSON(text []byte) error {
	if !strings.HasPrefix(string(text), "{") {
		return json.Unmarshal(text, (*string)(t)) // null leaves it empty
	}
	var v struct {
		Content string `json:"content"`
	}
	err := json.Unmarshal(text, &v)
	*t = specialToken(v.Content)
	return err
}

// readTokenizer reads whichever tokenizer there is and what is said of its
// special tokens. The vocabulary is as long as the embeddings have rows.
func (s *source) readTokenizer(c *config) (*vocabulary, error) {
	var set settings
	if s.has(settingsName) {
		if err := s.decode(settingsName, &set); err != nil {
			return nil, err
		}
	}
	var v *vocabulary
	var err error
	file := tokenizerName
	switch {
	case s.has(pieceName) && !c.isBERT():
		file = pieceName
		v, err = s.readPieces(c)
	case s.has(tokenizerName):
		v, err = s.readTokenizerJSON(c)
	default:
		return nil, errs.New(errs.InvalidModelFile, op, "the model in %s has no tokenizer: neither tokenizer.json nor tokenizer.model is there; "+
			"fetch it with the weights, or save it with AutoTokenizer.from_pretrained(…).save_pretrained(dir)", s.dir)
	}
	if err != nil {
		return nil, err
	}
	for i := len(v.tokens); i < c.Vocab; i++ { // rows that no token uses
		v.tokens = append(v.tokens, padToken(i))
		v.types = append(v.types, tokenUnused)
		if v.scores != nil {
			v.scores = append(v.scores, -1e4)
		}
	}
	if err := v.setSpecial(s, file, &set, c); err != nil {
		return nil, err
	}
	v.template, err = s.chatTemplate(&set)
	return v, err
}

// setSpecial finds the ids of special tokens: those tokenizer_config.json names,
// else those of config.json.
func (v *vocabulary) setSpecial(s *source, file string, set *settings, c *config) error {
	ids := map[string]int{}
	for i, t := range v.tokens {
		ids[t] = i
	}
	for name, text := range map[string]specialToken{"bos": set.BOS, "eos": set.EOS, "unknown": set.Unknown, "padding": set.Pad,
		"cls": set.CLS, "seperator": set.Sep, "mask": set.Mask} { // the spelling is GGUF's
		id, ok := ids[string(text)]
		switch {
		case text != "" && ok:
			v.special[name] = id
		case text != "":
			return s.bad(settingsName, "it names the %s token %.60q, which %s does not have", name, text, file)
		}
	}
	for name, list := range map[string]tokenIDs{"bos": c.BOS, "eos": c.EOS, "padding": c.Pad} {
		if _, done := v.special[name]; done || len(list) == 0 {
			continue
		}
		if list[0] < 0 || list[0] >= len(v.tokens) {
			return s.bad(ConfigName, "its %s token %d is not one of the %d tokens", name, list[0], len(v.tokens))
		}
		v.special[name] = list[0]
	}
	for name, id := range v.usual {
		if _, done := v.special[name]; !done && id >= 0 && id < len(v.tokens) {
			v.special[name] = id
		}
	}
	if v.model == "bert" {
		cls, ok := v.special["cls"]
		if _, sep := v.special["seperator"]; !ok || !sep {
			return s.bad(settingsName, "it does not name cls_token and sep_token, which a BERT model needs")
		}
		v.special["bos"] = cls // the name under which llama.cpp looks for it
	}
	for name, flag := range map[string]*bool{"bos_token": set.AddBOS, "eos_token": set.AddEOS} {
		if flag != nil {
			v.flags[name] = *flag
		}
	}
	if _, known := v.special["bos"]; !known {
		v.flags["bos_token"] = false
	}
	return nil
}

// chatTemplate is the template of chat_template.jinja or tokenizer_config.json.
func (s *source) chatTemplate(set *settings) (string, error) {
	if s.has("chat_template.jinja") {
		text, err := s.read("chat_template.jinja")
		return string(text), err
	}
	var one string
	if len(set.Template) == 0 || json.Unmarshal(set.Template, &one) == nil {
		return one, nil
	}
	var several []struct{ Name, Template string }
	if err := json.Unmarshal(set.Template, &several); err != nil {
		return "", s.bad(settingsName, "chat_template: %v", err)
	}
	for _, t := range several {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", nil
}

// write adds the vocabulary's keys.
func (v *vocabulary) write(m *gguf.Metadata) {
	m.String("tokenizer.ggml.model", v.model)
	if v.pre != "" {
		m.String("tokenizer.ggml.pre", v.pre)
	}
	m.Strings("tokenizer.ggml.tokens", v.tokens)
	m.Int32s("tokenizer.ggml.token_type", v.types)
	if v.scores != nil {
		m.Float32s("tokenizer.ggml.scores", v.scores)
	}
	if v.merges != nil {
		m.Strings("tokenizer.ggml.merges", v.merges)
	}
	for _, name := range sorted(v.special) {
		m.Uint32("tokenizer.ggml."+name+"_token_id", v.special[name])
	}
	for _, name := range sorted(v.flags) {
		m.Bool("tokenizer.ggml.add_"+name, v.flags[name])
	}
	for _, name := range sorted(v.normalise) {
		m.Bool("tokenizer.ggml.normalizer."+name, v.normalise[name])
	}
	if v.template != "" {
		m.String("tokenizer.chat_template", v.template)
	}
}
