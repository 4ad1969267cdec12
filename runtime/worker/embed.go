package worker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"hyprstream/errs"
	"hyprstream/runtime/llama"
)

const (
	window    = 1024 // texts that are sorted and packed together, so that the first vectors of many texts leave early
	mostTexts = 64   // in a batch
)

// embedder computes vectors in a context of its own, made when first needed and
// made larger for the first text that does not fit it.
type embedder struct {
	model   *llama.Model
	turn    *sync.Mutex // held while computing, also by those who decode
	batch   int         // tokens of a batch, but for longer texts
	longest int         // tokens a text may have
	threads int

	ctx  *llama.Embedder // guarded by turn; nil until needed
	room int             // guarded by turn: tokens that ctx takes
}

// piece is a text on its way.
type piece struct {
	index  int
	tokens []int32
}

// embed gives each text's vector to sink, some at a time. Its error is the whole
// call's: ctx's end, or a context that cannot be made or does not compute.
func (e *embedder) embed(ctx context.Context, texts []string, sink func([]Vector)) error {
	first := 0
	for part := range slices.Chunk(texts, window) {
		pieces, faults := e.tokenize(ctx, part, first)
		first += len(part)
		if len(faults) > 0 {
			sink(faults)
		}
		for _, batch := range pack(pieces, e.batch, e.sequences()) {
			if ctx.Err() != nil {
				break
			}
			vectors, err := e.compute(batch)
			if err != nil {
				return err
			}
			sink(vectors)
		}
		if ctx.Err() != nil {
			code := errs.CodeOf(context.Cause(ctx))
			return errs.New(code, "embed", "the work was given up")
		}
	}
	return nil
}

// sequences is how many texts a batch may have. Recurrent models compute one
// after the other anyway, and need much memory for each.
func (e *embedder) sequences() int {
	if e.model.Recurrent() {
		return 1
	}
	return min(mostTexts, e.batch)
}

func (e *embedder) tokenize(ctx context.Context, texts []string, first int) (pieces []piece, faults []Vector) {
	for i, text := range texts {
		if ctx.Err() != nil {
			return nil, nil
		}
		fail := func(tokens int, code errs.Code, format string, args ...any) {
			faults = append(faults, Vector{Index: first + i, Tokens: tokens, Err: errs.New(code, "embed", format, args...)})
		}
		tokens, err := e.model.TokenizeWhole(text)
		switch {
		case err != nil:
			fail(0, errs.InvalidArgument, "%v", err)
		case len(tokens) > e.longest:
			fail(0, errs.ContextOverflow, "the text has %d tokens and the model takes %d; shorten it, or raise the model's context_length", len(tokens), e.longest)
		case len(tokens) == 0:
			fail(0, errs.InvalidArgument, "the text is empty, and this model's tokenizer puts nothing around it")
		default:
			pieces = append(pieces, piece{first + i, tokens})
		}
	}
	return pieces, faults
}

// pack sorts texts into batches of at most room tokens and most texts each; a
// longer text has a batch to itself.
func pack(pieces []piece, room, most int) [][]piece {
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(len(a.tokens), len(b.tokens)) })
	var out [][]piece
	begin, tokens := 0, 0
	for i, p := range pieces {
		if i > begin && (tokens+len(p.tokens) > room || i-begin == most) {
			out = append(out, pieces[begin:i])
			begin, tokens = i, 0
		}
		tokens += len(p.tokens)
	}
	if begin < len(pieces) {
		out = append(out, pieces[begin:])
	}
	return out
}

// compute embeds one batch, taking its turn.
func (e *embedder) compute(batch []piece) ([]Vector, error) {
	texts, total := make([][]int32, len(batch)), 0
	for i, p := range batch {
		texts[i] = p.tokens
		total += len(p.tokens)
	}
	e.turn.Lock()
	defer e.turn.Unlock()
	if err := e.prepare(total); err != nil {
		return nil, err
	}
	values, err := e.ctx.Embed(texts)
	if err != nil {
		return nil, errs.New(errs.Internal, "embed", "%v", err)
	}
	out := make([]Vector, len(batch))
	for i, p := range batch {
		out[i] = Vector{Index: p.index, Values: values[i], Tokens: len(p.tokens)}
		if values[i] == nil {
			out[i].Err = errs.New(errs.Internal, "embed", "the model's embedding of the text has no direction: it is zero, or not a number")
		}
	}
	return out, nil
}

// prepare makes a context for a batch. It is called with turn held.
func (e *embedder) prepare(tokens int) error {
	if tokens <= e.room {
		return nil
	}
	room := max(e.batch, e.room)
	for room < tokens {
		room *= 2
	}
	room = max(min(room, e.longest), e.batch)
	e.close()
	c, err := e.model.NewEmbedder(llama.EmbedderOptions{Batch: room, Sequences: e.sequences(), Threads: e.threads})
	if errors.Is(err, llama.ErrNoEmbeddings) {
		return errs.New(errs.Unsupported, "embed", "%v", err)
	}
	if err != nil {
		return loadError(err, "the texts cannot be embedded", "lower context_length or slots")
	}
	e.ctx, e.room = c, room
	return nil
}

func (e *embedder) close() {
	if e.ctx != nil {
		e.ctx.Close()
	}
	e.ctx, e.room = nil, 0
}
