package sqlfuncs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// key is equal for calls that have one answer: the same evaluation, or the same
// request where nothing is drawn at random (temperature 0, or a seed) and it may be
// taken for another.
func key(c operator.Call, r inference.Request, seeded bool) string {
	if r.Cache == inference.CacheOff || r.Params.Temperature > 0 && !seeded {
		return strconv.FormatUint(c.Nonce, 36)
	}
	var b strings.Builder
	args := c.Args
	for len(args) > 0 && args[len(args)-1].Kind == operator.Null { // functions that ask the same differ in their last options
		args = args[:len(args)-1]
	}
	for _, a := range args {
		fmt.Fprintf(&b, "%d|%d|%s|%d|", a.Kind, len(a.Text), a.Text, len(a.List))
		for _, s := range a.List {
			fmt.Fprintf(&b, "%d|%s", len(s), s)
		}
	}
	return b.String()
}

// request is one row of a batch as the engine gets it, and the calls it answers.
type request struct {
	call
	rows []int
}

// batch answers calls of functions with one answer per row, possibly of several
// at once, in one go. Calls that ask the model the same are one request.
func (h *handler) batch(ctx context.Context, calls []operator.Call, done func(int, operator.Answer)) error {
	var asked []request
	var keys []digest
	fail := make([]bool, len(calls))
	seen := map[digest]int{}
	for i, c := range calls {
		b := batchedFunctions[c.Fn]
		r, _, err := read(c, b.opts)
		fail[i] = r.fail
		switch {
		case err != nil:
			done(i, failure(c.Fn, asError(err), r.fail))
			continue
		case !b.ask(&r):
			done(i, operator.Answer{Null: true})
			continue
		case r.labels != nil: // their order is nothing
			c.Args = slices.Clone(c.Args)
			c.Args[2].List = r.req.Choice.Answers
		}
		k := digestOf(strconv.Itoa(int(b.asks)) + key(c, r.req, given(c, b.opts, "seed")))
		at, known := seen[k]
		if !known {
			at, seen[k] = len(asked), len(asked)
			asked, keys = append(asked, request{call: r}), append(keys, k)
		}
		asked[at].rows = append(asked[at].rows, i)
	}
	if len(asked) == 0 {
		return nil
	}
	rec := recorderOf(ctx)
	first := newTally(rec)
	for _, r := range asked {
		for _, row := range r.rows {
			first.add(batchedFunctions[calls[row].Fn].name, r.req.Model, 1, 0)
		}
	}
	first.expect()
	ask := func(mine []int, got func(int, inference.Completion)) error {
		t := newTally(rec)
		reqs := make([]request, len(mine))
		for i, at := range mine {
			reqs[i] = asked[at]
			t.add(batchedFunctions[calls[asked[at].rows[0]].Fn].name, reqs[i].req.Model, 0, 1)
		}
		t.expect()
		return h.ask(ctx, reqs, func(i int, c inference.Completion) { got(mine[i], c) })
	}
	return statementOf(ctx).once(ctx, keys, ask, func(i int, c inference.Completion) {
		first := calls[asked[i].rows[0]].Fn
		rec.Row(batchedFunctions[first].name, c, len(asked[i].rows))
		if batchedFunctions[first].asks == fnFilter && c.Err == nil {
			h.verdicts.add(asked[i].req.Model, asked[i].predicate, yes(&asked[i].call, c) > 0.5)
		}
		for n, row := range asked[i].rows {
			if n == 1 { // nothing was computed for the others
				c.PromptTokens, c.SharedTokens, c.CompletionTokens, c.Cached = 0, 0, 0, true
			}
			if c.Err != nil && (calls[row].Fn != fnTry || ends(c.Err)) {
				done(row, failure(calls[row].Fn, c.Err, fail[row]))
			} else {
				done(row, operator.Answer{Text: batchedFunctions[calls[row].Fn].answer(&asked[i].call, c)})
			}
		}
	})
}
