package sqlfuncs

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"hyprstream/errs"
	"hyprstream/inference"
)

const (
	// spare tokens are left for what tokens of pieces do not tell of their whole.
	spare = 8
	// longToken bytes are more than a token of a text has.
	longToken = 16
	// A message to the tokenizer has so many texts or bytes.
	countTexts, countBytes = 256, 4 << 20
)

// room is what a model's context leaves for a group's texts.
type room struct {
	limit int // tokens of the context; 0: not known
	left  int // tokens for texts, beside the instruction and the answer
	alone int // and for all of a group's, whose answer may be ended by the context, but not below half of it
	err   *errs.Error
}

// divide puts each group's texts into as few prompts as they need, in their order.
// A group that cannot be asked about has an error afterwards.
func (h *handler) divide(ctx context.Context, open []*reduction) error {
	rooms, err := h.rooms(ctx, open)
	if err != nil {
		return err
	}
	var large []*reduction
	space := map[*reduction]room{}
	for i, r := range open {
		switch texts := r.req.Reading.Texts; {
		case rooms[i].err != nil:
			r.total.Err = rooms[i].err
		case rooms[i].limit == 0 || r.bytes() <= rooms[i].alone:
			r.parts = [][]string{texts}
		case rooms[i].left <= 0:
			r.total.Err = overflow("there is no room for the instruction, the texts and an answer of max_tokens %d in the model's context of %d tokens; ask for a shorter answer", r.req.Params.MaxTokens, rooms[i].limit)
		default:
			large, space[r] = append(large, r), rooms[i]
		}
	}
	if len(large) == 0 {
		return nil
	}
	return h.pack(ctx, large, space)
}

// bytes is how long the texts are in the prompt: of tokens they have no more.
func (r *reduction) bytes() (n int) {
	for i, t := range r.req.Reading.Texts {
		n += len(r.req.Reading.Piece(i, t)) + 1
	}
	return n
}

// rooms asks the engine what is left beside each group's instruction. An answer of
// no given length takes an eighth of a small context, so that several make a prompt.
func (h *handler) rooms(ctx context.Context, open []*reduction) ([]room, error) {
	heads := make([]inference.Request, len(open))
	for i, r := range open {
		heads[i] = r.of(nil)
		heads[i].Cache = inference.CacheQuery // nothing is looked up
		heads[i].Params.Temperature = 0       // equal heads are counted once
		heads[i].Timeout = 0
	}
	out := make([]room, len(open))
	err := h.Engine.Count(ctx, heads, func(i int, c inference.Counted) {
		p := &open[i].req.Params
		if p.MaxTokens == 0 {
			p.MaxTokens = inference.DefaultMaxTokens
			if c.Limit > 0 {
				p.MaxTokens = max(1, min(p.MaxTokens, c.Limit/8))
			}
		}
		left := c.Limit - len(c.Tokens) - spare
		out[i] = room{c.Limit, left - p.MaxTokens, left - min(p.MaxTokens, c.Limit/2), c.Err}
	})
	return out, err
}

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

// checkShrinks fails groups whose partial answers might not go two to a prompt: they
// would never become one. They fail before anything is computed for them.
func (h *handler) checkShrinks(ctx context.Context, several []*reduction) error {
	if len(several) == 0 {
		return nil
	}
	later := make([]*reduction, len(several))
	for i, r := range several {
		c := *r
		reading := *r.req.Reading
		reading.Answers = true
		c.req.Reading = &reading
		later[i] = &c
	}
	rooms, err := h.rooms(ctx, later)
	if err != nil {
		return err
	}
	for i, r := range several {
		most := r.req.Params.MaxTokens
		if fits := rooms[i].left + most - 2*spare; rooms[i].err != nil || 3*most > fits {
			r.total.Err = r.cannotShrink(rooms[i].limit, fits/3)
		}
	}
	return nil
}

func overflow(format string, args ...any) *errs.Error {
	return errs.New(errs.ContextOverflow, "ai_agg", format, args...)
}

// cannotShrink is the error of a group whose parts' answers are no shorter than the
// parts; most is the longest answer with which they would be.
func (r *reduction) cannotShrink(limit, most int) *errs.Error {
	remedy := "ask for a shorter answer, or create the model with a greater context_length"
	if most > 0 {
		remedy = "give max_tokens := " + *num(most) + " or less, or create the model with a greater context_length"
	}
	return overflow("the group's texts do not fit the model's context of %d tokens, which is too small to combine partial answers of max_tokens %d; %s",
		limit, r.req.Params.MaxTokens, remedy)
}
