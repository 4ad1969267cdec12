package inference

import (
	"context"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// Tokenize gives the tokens of each text, as content: without a beginning-of-sequence
// token. The spellings of control tokens are text, unless special is set.
func (e *Engine) Tokenize(ctx context.Context, model string, texts []string, special bool) (tokens [][]decode.Token, err error) {
	if len(texts) == 0 {
		return nil, nil
	}
	segments := make([][]decode.Segment, len(texts))
	for i, t := range texts {
		segments[i] = []decode.Segment{{Text: t, Special: special}}
	}
	err = e.ask(ctx, model, func(l *live) error {
		tokens, err = l.proc.Tokenize(ctx, segments, false)
		return err
	})
	if err == nil && len(tokens) != len(texts) {
		err = errs.New(errs.Internal, "tokenize", "%d texts gave %d answers", len(texts), len(tokens))
	}
	return tokens, err
}

// Detokenize gives the text of each list of tokens: of control tokens their spelling,
// and U+FFFD for bytes that are no UTF-8. Errors: errs.InvalidArgument naming a token
// that the model does not have.
func (e *Engine) Detokenize(ctx context.Context, model string, lists [][]decode.Token) (texts []string, err error) {
	if len(lists) == 0 {
		return nil, nil
	}
	err = e.ask(ctx, model, func(l *live) error {
		for _, tokens := range lists {
			for _, t := range tokens {
				if t < 0 || int(t) >= l.info.Vocabulary {
					return errs.New(errs.InvalidArgument, "detokenize", "token %d is not in the vocabulary of model %q, whose %d tokens are 0 to %d",
						t, l.model.Name, l.info.Vocabulary, l.info.Vocabulary-1)
				}
			}
		}
		texts, err = l.proc.Detokenize(ctx, lists)
		return err
	})
	if err == nil && len(texts) != len(lists) {
		err = errs.New(errs.Internal, "detokenize", "%d lists gave %d answers", len(lists), len(texts))
	}
	return texts, err
}

// ask leases a model for one question, and asks again once when its process dies.
func (e *Engine) ask(ctx context.Context, model string, question func(*live) error) error {
	for attempt := 1; ; attempt++ {
		l, err := e.acquire(ctx, model, nil)
		if err != nil {
			return err
		}
		err = question(l)
		if errs.CodeOf(err) == errs.EngineDied {
			e.bury(l)
		}
		e.release(l)
		if errs.CodeOf(err) != errs.EngineDied || attempt > 1 {
			return err
		}
	}
}
