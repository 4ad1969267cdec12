package decode

import (
	"cmp"
	"context"
	"slices"
)

// mostText bounds a listed prefix's text, in characters, and the tokens it is made of.
const mostText = 80

// Prefixes lists what is kept of prompts' beginnings, the last used first. It is
// answered between two steps. Errors: errs.Cancelled, errs.Timeout,
// errs.EngineUnavailable once the loop is closed.
func (l *Loop) Prefixes(ctx context.Context) ([]Prefix, error) {
	answer := make(chan []Prefix, 1)
	if err := l.between(ctx, func() { answer <- l.listPrefixes() }); err != nil {
		return nil, err
	}
	return <-answer, nil
}

// listPrefixes is Prefixes on the loop's goroutine.
func (l *Loop) listPrefixes() []Prefix {
	out := make([]Prefix, 0, len(l.prefixes.all))
	for n := range l.prefixes.all {
		text := l.Detokenize(n.prompt(mostText), false)
		if runes := []rune(text); len(runes) > mostText {
			text = string(runes[:mostText])
		}
		out = append(out, Prefix{
			Adapters: n.kept.adapters, Text: text, Tokens: n.depth, Bytes: n.kept.state.Bytes(),
			Hits: n.kept.hits, Pinned: n.waiting > 0, Used: n.kept.used,
		})
	}
	slices.SortFunc(out, func(a, b Prefix) int {
		return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Tokens, b.Tokens))
	})
	return out
}
