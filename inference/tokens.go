package inference

import (
	"context"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// CountTokens gives the number of tokens of each text, as content: without a
// beginning-of-sequence token, control tokens' spellings counted as text.
func (e *Engine) CountTokens(ctx context.Context, model string, texts []string) ([]int, error) {
	tokens, err := e.tokenize(ctx, model, texts)
	if err != nil {
		return nil, err
	}
	counts := make([]int, len(tokens))
	for i, t := range tokens {
		counts[i] = len(t)
	}
	return counts, nil
}

// Tokenize gives the tokens of a text, as CountTokens counts them.
func (e *Engine) Tokenize(ctx context.Context, model, text string) ([]decode.Token, error) {
	tokens, err := e.tokenize(ctx, model, []string{text})
	if err != nil {
		return nil, err
	}
	return tokens[0], nil
}

// Detokenize gives the text of tokens.
func (e *Engine) Detokenize(ctx context.Context, model string, tokens []decode.Token) (text string, err error) {
	err = e.ask(ctx, model, func(l *live) error {
		for _, t := range tokens {
			if t < 0 || int(t) >= l.info.Vocabulary {
				return errs.New(errs.InvalidArgument, "detokenize", "token %d is not in the vocabulary of model %q, which has %d", t, l.model.Name, l.info.Vocabulary)
			}
		}
		text, err = l.proc.Detokenize(ctx, tokens)
		return err
	})
	return text, err
}

func (e *Engine) tokenize(ctx context.Context, model string, texts []string) (tokens [][]decode.Token, err error) {
	if len(texts) == 0 {
		return nil, nil
	}
	segments := make([][]decode.Segment, len(texts))
	for i, t := range texts {
		segments[i] = []decode.Segment{{Text: t}}
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
