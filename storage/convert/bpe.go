package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// preTokenizers are the expressions that cut a text before byte-level BPE, by
// llama.cpp's names for them.
var preTokenizers = map[string]string{
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: "llama-bpe",
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:      "qwen2",
}

func padToken(id int) string { return fmt.Sprintf("[PAD%d]", id) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// byteLevel reads a BPE over bytes, as of Llama 3 and Qwen.
func (s *source) byteLevel(t *tokenizerJSON, v *vocabulary) error {
	v.model = "gpt2"
	parts := t.Pre.parts()
	last := func() *component {
		if len(parts) == 0 {
			return &component{}
		}
		return parts[len(parts)-1]
	}()
	regex := last.UseRegex == nil || *last.UseRegex
	switch {
	case last.Type != "ByteLevel" || last.PrefixWord:
	case len(parts) == 1 && regex:
		v.pre = "gpt-2"
	case len(parts) == 2 && regex && parts[0].Type == "Digits" && parts[0].Individual:
		v.pre = "smollm"
	case len(parts) == 2 && !regex && parts[0].Type == "Split" && parts[0].Behavior == "Isolated":
		v.pre = preTokenizers[parts[0].Pattern.Regex]
	}
	if v.pre == "" {
		return s.unsupported(tokenizerName, "the pre_tokenizer (%.300s) is not one that can be converted; those of Llama 3, Qwen 2 and 3, GPT-2 and SmolLM are", t.Pre.names())
	}
	for _, n := range t.Normalizer.parts() {
		if n.Type != "NFC" { // llama.cpp takes text as it is, which nearly always is NFC
			return s.unsupported(tokenizerName, "the normalizer %.100s cannot be converted; NFC or none can", t.Normalizer.names())
		}
	}
	v.merges = make([]string, len(t.Model.Merges))
	for i, raw := range t.Model.Merges {
		a, b, err := parseMerge(raw)
		if err != nil {
			return s.bad(tokenizerName, "merge %d: %v", i, err)
		}
		v.merges[i] = a + " " + b
	}
	v.readTemplate(t)
	return nil
}

// parseMerge reads one merge: "a b" or ["a", "b"].
func parseMerge(raw json.RawMessage) (a, b string, err error) {
	var one string
	if err := json.Unmarshal(raw, &one); err == nil {
		a, b, ok := strings.Cut(one, " ")
		if !ok || a == "" || b == "" || strings.Contains(b, " ") {
			return "", "", fmt.Errorf("%.60q is not two tokens with a space between", one)
		}
		return a, b, nil
	}
	var two []string
	if err := json.Unmarshal(raw, &two); err != nil || len(two) != 2 || two[0] == "" || two[1] == "" || strings.Contains(two[0]+two[1], " ") {
		return "", "", fmt.Errorf("%.60s is not two tokens", raw)
	}
	return two[0], two[1], nil
}

// readTemplate finds out what is put before and behind a text.
func (v *vocabulary) readTemplate(t *tokenizerJSON) {
	v.flags["bos_token"] = false // else llama.cpp takes what the model's kind usually does
	for _, p := range t.Post.parts() {
		if p.Type != "TemplateProcessing" || len(p.Single) == 0 {
			continue
		}
		ids := map[string]int{}
		for i, text := range v.tokens {
			ids[text] = i
		}
		if first := p.Single[0].Special; first != nil {
			if id, ok := ids[first.ID]; ok {
				v.flags["bos_token"], v.special["bos"] = true, id
			}
		}
		if last := p.Single[len(p.Single)-1].Special; last != nil && len(p.Single) > 1 {
			if id, ok := ids[last.ID]; ok {
				v.flags["eos_token"], v.special["eos"] = true, id
			}
		}
	}
}

// sentencePiece reads the BPE form of a SentencePiece tokenizer, as of Llama 2.
// Tokens are joined in the order of the merges, which becomes their score.
func (s *source) sentencePiece(t *tokenizerJSON, v *vocabulary) error {
	prefix, marks := false, false
	for _, n := range t.Normalizer.parts() {
		switch {
		case n.Type == "Prepend" && n.Prepend == "\u2581":
			prefix = true
		case n.Type == "Replace" && n.Pattern.String == " " && n.Content == "\u2581":
			marks = true
		default:
			marks = false
		}
	}
	if !marks || len(t.Pre.parts()) > 0 {
		return s.unsupported(tokenizerName, "normalizer %s with pre_tokenizer %.200s cannot be converted for a BPE with byte_fallback; Replace, with or without Prepend, and none can",
			t.Normalizer.names(), t.Pre.names())
	}
	v.model = "llama"
	v.flags["space_prefix"] = prefix
	score := map[string]float32{}
	for i, raw := range t.Model.Merges {
		a, b, err := parseMerge(raw)
		if err != nil {
			return s.bad(tokenizerName, "merge %d: %v", i, err)
		}
		if _, made := score[a+b]; !made {
			score[a+b] = -float32(i)
		}
	}
	v.scores = make([]float32, len(v.tokens))
	for i, text := range v.tokens {
		if rank, made := score[text]; made {
			v.scores[i] = rank
		} else {
			v.scores[i] = -1e6 // a letter, or one that is never made by joining
		}
		if v.types[i] != tokenUser && isByte(text) {
			v.types[i] = tokenByte
		}
		if t.Model.Unknown != nil && text == *t.Model.Unknown {
			v.types[i] = tokenUnknown
			v.special["unknown"] = i
		}
	}
	v.readTemplate(t)
	return nil
}

// isByte says whether a token is one byte: <0x0A>.
func isByte(text string) bool {
	return len(text) == 6 && strings.HasPrefix(text, "<0x") && text[5] == '>' && strings.Trim(text[3:5], "0123456789ABCDEF") == ""
}
