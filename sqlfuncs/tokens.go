package sqlfuncs

import (
	"context"
	"strconv"
	"strings"

	"hyprstream/errs"
	"hyprstream/sqlfuncs/operator"
)

const (
	fnTokenize uint16 = iota + 40
	fnDetokenize
)

// tokenOptions are those of count_tokens and tokenize.
var tokenOptions = pick("special_tokens")

func tokenScalars() []operator.Scalar {
	text := [][]int{{0}, {1}}
	return []operator.Scalar{
		{Fn: fnCountTokens, Name: "__count_tokens", Args: columns("text", tokenOptions), Returns: "BIGINT", Free: true, Groups: text},
		{Fn: fnTokenize, Name: "__tokenize", Args: columns("text", tokenOptions), Returns: "INTEGER[]", Free: true, Groups: text},
		{Fn: fnDetokenize, Name: "__detokenize", Returns: "VARCHAR", Free: true, Groups: text,
			Args: []operator.Column{{Name: "model", Type: "VARCHAR"}, {Name: "tokens", Type: "BIGINT[]"}}}, // narrower ones are cast
	}
}

func tokenMacros() []string {
	return []string{
		macro("count_tokens", modelAndText("text")+", "+onlyNamed, []string{"model", "text"}, tokenOptions),
		macro("tokenize", modelAndText("text")+", "+onlyNamed, []string{"model", "text"}, tokenOptions),
		"CREATE MACRO detokenize(tokens) AS __detokenize('', tokens), (model, tokens) AS __detokenize(model, tokens)",
	}
}

// tokenize answers calls of count_tokens and of tokenize.
func (h *handler) tokenize(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	type asked struct {
		model   string
		special bool
	}
	rows := map[asked][]int{}
	texts := map[asked][]string{}
	for i, c := range calls {
		r, _, err := read(c, tokenOptions)
		if err != nil {
			return err
		}
		a := asked{r.req.Model, r.req.SpecialTokens}
		rows[a], texts[a] = append(rows[a], i), append(texts[a], r.req.Prompt)
	}
	for a, idx := range rows {
		tokens, err := h.Engine.Tokenize(ctx, a.model, texts[a], a.special)
		if err != nil {
			return err
		}
		for i, at := range idx {
			if calls[at].Fn == fnCountTokens {
				done(at, operator.Answer{Text: strconv.Itoa(len(tokens[i]))})
			} else {
				done(at, operator.Answer{Text: listText(tokens[i])})
			}
		}
	}
	return nil
}

// listText is a list as DuckDB's cast from text reads it.
func listText(tokens []int32) string {
	b := []byte{'['}
	for i, t := range tokens {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(t), 10)
	}
	return string(append(b, ']'))
}

func (h *handler) detokenize(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	byModel := map[string][]int{}
	lists := map[string][][]int32{}
	for i, c := range calls {
		model, tokens := c.Args[0].Text, make([]int32, len(c.Args[1].List))
		for j, text := range c.Args[1].List {
			n, err := strconv.ParseInt(text, 10, 32)
			switch {
			case text == "":
				return errs.New(errs.InvalidArgument, "detokenize", "token %d of %d is NULL", j+1, len(tokens))
			case err != nil:
				return errs.New(errs.InvalidArgument, "detokenize", "token %s is in no vocabulary", text)
			}
			tokens[j] = int32(n)
		}
		byModel[model], lists[model] = append(byModel[model], i), append(lists[model], tokens)
	}
	for model, idx := range byModel {
		texts, err := h.Engine.Detokenize(ctx, model, lists[model])
		if err != nil {
			return err
		}
		for i, at := range idx {
			done(at, operator.Answer{Text: strings.ToValidUTF8(texts[i], "\uFFFD")})
		}
	}
	return nil
}
