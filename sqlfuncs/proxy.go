package sqlfuncs

import (
	"context"
	"maps"
	"math"
	"slices"

	"hyprstream/inference"
)

// scores are the proxy's, by row of asked: the greater, the likelier is yes. NaN
// where the proxy fails. c.mu is held.
func (c *cascade) scores(ctx context.Context, e Engine, asked []request, rows []int) (map[int]float64, error) {
	if model, ok := c.target.embeds(); ok {
		if model == "" {
			model = c.model
		}
		return c.similarities(ctx, e, model, asked, rows)
	}
	if c.target.proxy == classifies {
		return c.likeliest(ctx, e, asked, rows)
	}
	reqs := make([]inference.Request, len(rows))
	for i, row := range rows {
		reqs[i] = asked[row].req
		reqs[i].Model, reqs[i].Adapters = c.target.proxy, nil
	}
	out := make(map[int]float64, len(rows))
	err := e.Generate(ctx, reqs, func(i int, a inference.Completion) {
		s := math.NaN()
		if a.Err == nil {
			s = yes(&asked[rows[i]].call, a)
		}
		out[rows[i]] = s
		a.Err = nil // the model answers the row then: it has not failed
		c.rec.Row(c.function(), a, 0)
	})
	return out, err
}

// likeliest scores each pair by how likely the shorter text is for the label of the
// longer one, among all that the longer one is paired with: one request for each
// longer text. The score is a logarithm, 0 for the likeliest.
func (c *cascade) likeliest(ctx context.Context, e Engine, asked []request, rows []int) (map[int]float64, error) {
	type item struct{ text, predicate string }
	var items []item
	labels := map[item]map[string][]int{} // the rows of each label; (a, b) and (b, a) are two
	out := make(map[int]float64, len(rows))
	for _, row := range rows {
		out[row] = math.NaN()
		long, short := inference.Longer(asked[row].req.Prompt, asked[row].second)
		it := item{long, asked[row].predicate}
		if labels[it] == nil {
			items = append(items, it)
			labels[it] = map[string][]int{}
		}
		labels[it][short] = append(labels[it][short], row)
	}
	var asks []item
	var reqs []inference.Request
	for _, it := range items {
		names := slices.Sorted(maps.Keys(labels[it]))
		r := asked[labels[it][names[0]][0]].req
		if r.Choice = inference.Classify(it.text, names, it.predicate); r.Choice != nil { // nil: all labels are empty
			asks, reqs = append(asks, it), append(reqs, r)
		}
	}
	err := e.Generate(ctx, reqs, func(i int, a inference.Completion) {
		if a.Err == nil {
			best := slices.Max(a.Scores)
			for k, label := range reqs[i].Choice.Answers {
				for _, row := range labels[asks[i]][label] {
					out[row] = a.Scores[k] - best
				}
			}
		}
		a.Err = nil // the model answers the rows then: they have not failed
		c.rec.Row(c.function(), a, 0)
	})
	return out, err
}

// mostVectors is how many texts' embeddings a cascade keeps from one part of its rows
// to the next: a join's come again in other pairs.
const mostVectors = 1 << 16

// similarities are the cosines of the text and the predicate, or of the two texts.
func (c *cascade) similarities(ctx context.Context, e Engine, model string, asked []request, rows []int) (map[int]float64, error) {
	if len(c.vectors) > mostVectors {
		clear(c.vectors)
	}
	var texts []string
	want := func(text string) {
		if _, known := c.vectors[text]; !known {
			c.vectors[text] = nil
			texts = append(texts, text)
		}
	}
	other := func(row int) string {
		if c.match {
			return asked[row].second
		}
		return asked[row].predicate
	}
	for _, row := range rows {
		want(asked[row].req.Prompt)
		want(other(row))
	}
	err := e.Embed(ctx, model, texts, func(i int, v inference.Embedding) {
		if v.Err == nil {
			c.vectors[texts[i]] = v.Vector
		}
		c.rec.Row(c.function(), inference.Completion{Model: v.Model, PromptTokens: v.PromptTokens}, 0)
	})
	if err != nil {
		for _, text := range texts { // another part may try again
			delete(c.vectors, text)
		}
		return nil, err
	}
	out := make(map[int]float64, len(rows))
	for _, row := range rows {
		out[row] = cosine(c.vectors[asked[row].req.Prompt], c.vectors[other(row)])
	}
	return out, nil
}

// cosine is NaN where a vector is missing or null.
func cosine(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.NaN()
	}
	var ab, aa, bb float64
	for i, x := range a {
		y := float64(b[i])
		ab += float64(x) * y
		aa += float64(x) * float64(x)
		bb += y * y
	}
	return ab / math.Sqrt(aa*bb)
}
