package sqlfuncs

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// longToken bytes are more than a token of a text has.
	longToken = 16
	// A message to the tokenizer has so many texts or bytes.
	countTexts, countBytes = 256, 4 << 20
)

// piece is a text of a group, or a part of one, with its tokens.
type piece struct {
	text   string
	tokens int
}

// pack divides the texts of groups that may not fit one prompt.
func (h *handler) pack(ctx context.Context, large []*reduction, space map[*reduction]room) error {
	pieces := make([][]piece, len(large))
	for i, r := range large {
		for _, t := range r.req.Reading.Texts {
			for _, part := range cut(t, len(t)/(longToken*space[r].left)+1) {
				pieces[i] = append(pieces[i], piece{text: part})
			}
		}
	}
	for again := true; again; {
		if err := h.countPieces(ctx, large, pieces); err != nil {
			return err
		}
		again = false
		for i, r := range large {
			if r.total.Err == nil {
				var some bool
				pieces[i], some = shorten(r, pieces[i], space[r])
				again = again || some
			}
		}
	}
	var several []*reduction
	for i, r := range large {
		if r.total.Err != nil {
			continue
		}
		r.parts = parts(pieces[i], space[r].left)
		if whole := parts(pieces[i], space[r].alone); len(whole) == 1 {
			r.parts = whole
		}
		if r.req.Reading.Answers && len(r.parts) >= len(r.req.Reading.Texts) {
			r.total.Err = r.cannotShrink(space[r].limit, 0)
		} else if len(r.parts) > 1 {
			several = append(several, r)
		}
	}
	return h.checkShrinks(ctx, several)
}

// countPieces counts the tokens of pieces that are not counted yet.
func (h *handler) countPieces(ctx context.Context, large []*reduction, pieces [][]piece) error {
	type batch struct {
		texts []string
		of    []*piece
		bytes int
	}
	byModel := map[string]*batch{}
	flush := func(model string, b *batch) error {
		tokens, err := h.Engine.Tokenize(ctx, model, b.texts, false)
		if err != nil {
			return err
		}
		for i, t := range tokens {
			b.of[i].tokens = max(len(t), 1)
		}
		*b = batch{}
		return nil
	}
	for i, r := range large {
		b := byModel[r.req.Model]
		if b == nil {
			b = &batch{}
			byModel[r.req.Model] = b
		}
		for j := range pieces[i] {
			p := &pieces[i][j]
			if p.tokens > 0 || r.total.Err != nil {
				continue
			}
			text := r.req.Reading.Piece(len(pieces[i]), p.text)
			b.texts, b.of, b.bytes = append(b.texts, text), append(b.of, p), b.bytes+len(text)
			if len(b.texts) >= countTexts || b.bytes >= countBytes {
				if err := flush(r.req.Model, b); err != nil {
					return err
				}
			}
		}
	}
	for model, b := range byModel {
		if len(b.texts) > 0 {
			if err := flush(model, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// shorten cuts pieces that are too long for a prompt of their own; some says that it did.
func shorten(r *reduction, all []piece, space room) (out []piece, some bool) {
	for _, p := range all {
		if p.tokens <= space.left {
			out = append(out, p)
			continue
		}
		texts := cut(p.text, p.tokens*5/4/space.left+1)
		if len(texts) == 1 {
			r.total.Err = r.cannotShrink(space.limit, 0)
			return all, false
		}
		for _, t := range texts {
			out = append(out, piece{text: t})
		}
		some = true
	}
	return out, some
}

// cut cuts a text in about n parts of like length, between words where there are
// some, never within a character.
func cut(text string, n int) (out []string) {
	for ; n > 1; n-- {
		at := len(text) / n
		for at < len(text) && !utf8.RuneStart(text[at]) {
			at++
		}
		if space := strings.LastIndexFunc(text[:at], unicode.IsSpace); space > at/2 {
			at = space
		}
		if at == 0 || at == len(text) {
			continue
		}
		out, text = append(out, text[:at]), text[at:]
	}
	return append(out, text)
}

// parts puts consecutive pieces together, as many as have room.
func parts(pieces []piece, left int) (out [][]string) {
	used := 0
	for i, p := range pieces {
		if i == 0 || used+p.tokens > left {
			out, used = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], p.text)
		used += p.tokens
	}
	return out
}
