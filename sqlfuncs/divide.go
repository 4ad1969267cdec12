package sqlfuncs

import (
	"context"

	"hyprstream/errs"
	"hyprstream/inference"
)

// spare tokens are left for what tokens of pieces do not tell of their whole.
const spare = 8

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
