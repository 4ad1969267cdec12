package sqlfuncs

import (
	"context"
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
		c.rec.Row(c.fn, a, 0)
	})
	return out, err
}

// likeliest scores each pair by how likely the shorter text is for the label of the
// longer one, among all that the longer one is paired with: one request for each
// longer text. The score is a logarithm, 0 for the likeliest.
func (c *cascade) likeliest(ctx context.Context, e Engine, asked []request, rows []int) (map[int]float64, error) {
	labels := map[string][]string{}
	var longer []string
	pairs := map[[2]string][]int{} // (a, b) and (b, a) are two rows
	for _, row := range rows {
		long, short := inference.Longer(asked[row].req.Prompt, asked[row].second)
		if labels[long] == nil {
			longer = append(longer, long)
		}
		labels[long] = append(labels[long], short)
		pair := [2]string{long, short}
		pairs[pair] = append(pairs[pair], row)
	}
	out := make(map[int]float64, len(rows))
	for _, row := range rows {
		out[row] = math.NaN()
	}
	var texts []string
	var reqs []inference.Request
	for _, text := range longer {
		r := asked[pairs[[2]string{text, labels[text][0]}][0]].req
		if r.Choice = inference.Classify(text, labels[text], c.predicate); r.Choice != nil { // nil: all labels are empty
			texts, reqs = append(texts, text), append(reqs, r)
		}
	}
	err := e.Generate(ctx, reqs, func(i int, a inference.Completion) {
		if a.Err == nil {
			best := slices.Max(a.Scores)
			for k, label := range reqs[i].Choice.Answers {
				for _, row := range pairs[[2]string{texts[i], label}] {
					out[row] = a.Scores[k] - best
				}
			}
		}
		a.Err = nil
		c.rec.Row(c.fn, a, 0)
	})
	return out, err
}

// similarities are the cosines of the text and the predicate, or of the two texts.
// A pair's texts are kept: they come again in other pairs.
func (c *cascade) similarities(ctx context.Context, e Engine, model string, asked []request, rows []int) (map[int]float64, error) {
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
		return c.predicate
	}
	for _, row := range rows {
		want(asked[row].req.Prompt)
		want(other(row))
	}
	err := e.Embed(ctx, model, texts, func(i int, v inference.Embedding) {
		if v.Err == nil {
			c.vectors[texts[i]] = v.Vector
		}
		c.rec.Row(c.fn, inference.Completion{Model: v.Model, PromptTokens: v.PromptTokens}, 0)
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
	if !c.match {
		for _, row := range rows {
			if text := asked[row].req.Prompt; text != c.predicate {
				delete(c.vectors, text)
			}
		}
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
