package convert

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// tokenizerJSON is tokenizer.json, as far as it is used.
type tokenizerJSON struct {
	Added []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
	Normalizer *component `json:"normalizer"`
	Pre        *component `json:"pre_tokenizer"`
	Post       *component `json:"post_processor"`
	Model      struct {
		Type      string            `json:"type"`
		Unknown   *string           `json:"unk_token"`
		Prefix    *string           `json:"continuing_subword_prefix"`
		Fallback  bool              `json:"byte_fallback"`
		Vocab     json.RawMessage   `json:"vocab"` // an object, of Unigram a list
		Merges    []json.RawMessage `json:"merges"`
		MaxLetter int               `json:"max_input_chars_per_word"`
	} `json:"model"`
}

// component is a normalizer, pre-tokenizer or post-processor; a Sequence has
// others in it.
type component struct {
	Type       string       `json:"type"`
	Pre        []*component `json:"pretokenizers"`
	Normal     []*component `json:"normalizers"`
	Processors []*component `json:"processors"`

	Pattern struct {
		Regex  string
		String string
	} `json:"pattern"`
	Content    string          `json:"content"`
	Prepend    string          `json:"prepend"`
	Behavior   string          `json:"behavior"`
	UseRegex   *bool           `json:"use_regex"`
	PrefixWord bool            `json:"add_prefix_space"`
	Individual bool            `json:"individual_digits"`
	Single     []templatePiece `json:"single"`

	Clean   bool  `json:"clean_text"`
	Chinese bool  `json:"handle_chinese_chars"`
	Accents *bool `json:"strip_accents"`
	Lower   bool  `json:"lowercase"`
}

type templatePiece struct {
	Special  *struct{ ID string } `json:"SpecialToken"`
	Sequence *struct{ ID string } `json:"Sequence"`
}

// parts are a component, or those of a sequence.
func (c *component) parts() []*component {
	if c == nil {
		return nil
	}
	if c.Type != "Sequence" {
		return []*component{c}
	}
	var out []*component
	for _, p := range slices.Concat(c.Pre, c.Normal, c.Processors) {
		out = append(out, p.parts()...)
	}
	return out
}

// names are the types of a component's parts, for messages.
func (c *component) names() string {
	var out []string
	for _, p := range c.parts() {
		name := p.Type
		if p.Pattern.Regex != "" {
			name += " by " + p.Pattern.Regex
		}
		out = append(out, name)
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// readTokenizerJSON reads tokenizer.json.
func (s *source) readTokenizerJSON(c *config) (*vocabulary, error) {
	var t tokenizerJSON
	if err := s.decode(tokenizerName, &t); err != nil {
		return nil, err
	}
	switch t.Model.Type {
	case "WordPiece", "BPE":
	default:
		return nil, s.unsupported(tokenizerName, "tokenizers of type %.40q cannot be converted; WordPiece and BPE can", t.Model.Type)
	}
	if c.isBERT() != (t.Model.Type == "WordPiece") {
		return nil, s.unsupported(tokenizerName, "a tokenizer of type %s does not belong to a model of architecture %.40s", t.Model.Type, c.Architectures[0])
	}
	v, err := s.listTokens(&t, c)
	if err != nil {
		return nil, err
	}
	switch {
	case t.Model.Type == "WordPiece":
		err = s.wordPiece(&t, v)
	case t.Model.Fallback:
		err = s.sentencePiece(&t, v)
	default:
		err = s.byteLevel(&t, v)
	}
	return v, err
}

// listTokens orders the tokens by id.
func (s *source) listTokens(t *tokenizerJSON, c *config) (*vocabulary, error) {
	var vocab map[string]int
	if err := json.Unmarshal(t.Model.Vocab, &vocab); err != nil {
		return nil, s.bad(tokenizerName, "model.vocab: %v", err)
	}
	v := &vocabulary{special: map[string]int{}, flags: map[string]bool{}}
	kinds := map[string]int32{}
	for _, a := range t.Added {
		if id, there := vocab[a.Content]; there && id != a.ID {
			return nil, s.bad(tokenizerName, "token %.60q has the ids %d and %d", a.Content, id, a.ID)
		}
		vocab[a.Content] = a.ID
		kinds[a.Content] = tokenUser
		if a.Special {
			kinds[a.Content] = tokenControl
		}
	}
	for _, text := range slices.Sorted(maps.Keys(vocab)) {
		id := vocab[text]
		if id < 0 || id >= c.Vocab {
			return nil, s.bad(tokenizerName, "token %.60q has the id %d, but the model has %d tokens (vocab_size in %s)", text, id, c.Vocab, ConfigName)
		}
		for len(v.tokens) <= id {
			v.tokens = append(v.tokens, "")
			v.types = append(v.types, 0)
		}
		if v.types[id] != 0 {
			return nil, s.bad(tokenizerName, "tokens %.60q and %.60q have the same id %d", v.tokens[id], text, id)
		}
		v.tokens[id], v.types[id] = text, tokenNormal
		if kind, added := kinds[text]; added {
			v.types[id] = kind
		}
	}
	for id, kind := range v.types {
		if kind == 0 { // a hole: an embedding without a token
			v.tokens[id], v.types[id] = padToken(id), tokenUnused
		}
	}
	if len(v.tokens) == 0 {
		return nil, s.bad(tokenizerName, "it has no tokens")
	}
	return v, nil
}

// wordPiece gives words' beginnings a mark and takes it from what goes on inside
// a word: llama.cpp has it that way round.
func (s *source) wordPiece(t *tokenizerJSON, v *vocabulary) error {
	if t.Model.Prefix != nil && *t.Model.Prefix != "##" {
		return s.unsupported(tokenizerName, "continuing_subword_prefix %.20q cannot be converted; ## can", *t.Model.Prefix)
	}
	n := t.Normalizer
	if n == nil || n.Type != "BertNormalizer" || !n.Clean || !n.Chinese || t.Pre == nil || t.Pre.Type != "BertPreTokenizer" {
		return s.unsupported(tokenizerName, "normalizer %s with pre_tokenizer %s cannot be converted; BertNormalizer (with clean_text and handle_chinese_chars) with BertPreTokenizer can",
			n.names(), t.Pre.names())
	}
	v.model, v.pre = "bert", "default"
	v.normalise = map[string]bool{"lowercase": n.Lower, "strip_accents": n.Lower}
	if n.Accents != nil {
		v.normalise["strip_accents"] = *n.Accents
	}
	for i, text := range v.tokens {
		if v.types[i] != tokenNormal {
			continue
		}
		if rest, inside := strings.CutPrefix(text, "##"); inside {
			v.tokens[i] = rest
		} else {
			v.tokens[i] = "\u2581" + text
		}
	}
	return nil
}
