package convert

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// readPieces reads tokenizer.model, SentencePiece's file, and the tokens that
// were added to it later.
func (s *source) readPieces(c *config) (*vocabulary, error) {
	raw, err := s.read(pieceName)
	if err != nil {
		return nil, err
	}
	v, spec, err := parsePieces(raw)
	if err != nil {
		return nil, s.bad(pieceName, "%v", err)
	}
	if err := spec.check(s, v); err != nil {
		return nil, err
	}
	v.flags["space_prefix"] = spec.prefix
	v.usual = spec.ids
	if err := s.addLater(v, c); err != nil {
		return nil, err
	}
	if len(v.tokens) > c.Vocab {
		return nil, s.bad(pieceName, "it has %d tokens, the model %d (vocab_size in %s)", len(v.tokens), c.Vocab, ConfigName)
	}
	return v, nil
}

// parsePieces reads the file's message.
func parsePieces(raw []byte) (*vocabulary, *pieceSpec, error) {
	v := &vocabulary{model: "llama", special: map[string]int{}, flags: map[string]bool{"bos_token": true}, scores: []float32{}}
	spec := newPieceSpec()
	err := fields(raw, func(n protowire.Number, val []byte, num uint64) error {
		switch n {
		case 1: // a piece
			return v.addPiece(val)
		case 2: // how it was trained
			return fields(val, spec.trainer)
		case 3: // how text is prepared
			return fields(val, spec.normalizer)
		}
		return nil
	})
	if err == nil && len(v.tokens) == 0 {
		err = errors.New("it has no tokens")
	}
	return v, spec, err
}

// addPiece adds one token: its text, score and type, which are SentencePiece's
// and GGUF's alike.
func (v *vocabulary) addPiece(raw []byte) error {
	text, score, kind := "", float32(0), int32(tokenNormal)
	err := fields(raw, func(n protowire.Number, val []byte, num uint64) error {
		switch n {
		case 1:
			text = string(val)
		case 2:
			score = math.Float32frombits(uint32(num))
		case 3:
			kind = int32(num & 0xff)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !utf8.ValidString(text) || kind < tokenNormal || kind > tokenByte || len(v.tokens) >= maxTokens:
		return fmt.Errorf("token %d makes no sense", len(v.tokens))
	}
	if kind == tokenUnknown {
		v.special["unknown"] = len(v.tokens)
	}
	v.tokens, v.scores, v.types = append(v.tokens, text), append(v.scores, score), append(v.types, kind)
	return nil
}

// addLater adds the tokens of added_tokens.json and tokenizer_config.json.
func (s *source) addLater(v *vocabulary, c *config) error {
	type added struct {
		Content string `json:"content"`
		Special bool   `json:"special"`
	}
	var set struct {
		Added map[int]added `json:"added_tokens_decoder"`
	}
	if s.has(settingsName) {
		if err := s.decode(settingsName, &set); err != nil {
			return err
		}
	}
	if s.has("added_tokens.json") && len(set.Added) == 0 {
		var ids map[string]int
		if err := s.decode("added_tokens.json", &ids); err != nil {
			return err
		}
		set.Added = map[int]added{}
		for text, id := range ids {
			set.Added[id] = added{text, true}
		}
	}
	for id, a := range set.Added {
		if id < 0 || id >= c.Vocab {
			return s.bad(settingsName, "the added token %.60q has the id %d, but the model has %d tokens (vocab_size in %s)", a.Content, id, c.Vocab, ConfigName)
		}
		for len(v.tokens) <= id {
			v.tokens, v.scores, v.types = append(v.tokens, padToken(len(v.tokens))), append(v.scores, -1e4), append(v.types, tokenUnused)
		}
		if v.tokens[id] == a.Content && v.types[id] != tokenNormal {
			continue // <s>, </s>, <unk>
		}
		v.tokens[id], v.types[id] = a.Content, tokenUser
		if a.Special {
			v.types[id] = tokenControl
		}
	}
	return nil
}

// fields walks a protobuf message.
func fields(raw []byte, f func(n protowire.Number, val []byte, num uint64) error) error {
	for len(raw) > 0 {
		n, kind, size := protowire.ConsumeTag(raw)
		if size < 0 {
			return protowire.ParseError(size)
		}
		raw = raw[size:]
		var val []byte
		var num uint64
		switch kind {
		case protowire.VarintType:
			num, size = protowire.ConsumeVarint(raw)
		case protowire.Fixed32Type:
			var v uint32
			v, size = protowire.ConsumeFixed32(raw)
			num = uint64(v)
		case protowire.BytesType:
			val, size = protowire.ConsumeBytes(raw)
		default:
			size = protowire.ConsumeFieldValue(n, kind, raw)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := f(n, val, num); err != nil {
			return err
		}
		raw = raw[size:]
	}
	return nil
}
