package sqlfuncs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// nameOf is what users call a function.
func nameOf(fn uint16) string {
	switch fn {
	case fnGenerateTable:
		return "generate"
	case fnGenerateStream:
		return "generate_stream"
	case fnChat:
		return "chat"
	case fnEmbed:
		return "embed"
	case fnCountTokens:
		return "count_tokens"
	case fnTokenize:
		return "tokenize"
	case fnDetokenize:
		return "detokenize"
	}
	return batchedFunctions[fn].name
}

// Explain says what a call asks of whom and, from what was seen since the server
// started, what its rows will cost. Lines fit EXPLAIN's boxes, of 27 characters.
func (h *handler) Explain(c operator.Call, rows int64) []string {
	r, _, err := read(c, optionsOf(c.Fn))
	name := nameOf(c.Fn)
	lines := []string{name}
	if err != nil { // what Check has let through and is wrong by now
		return append(lines, err.Error())
	}
	model, known := h.modelOf(c, r)
	lines = append(lines, "model "+model)
	if a := adapterOf(c, r); a != "" {
		lines = append(lines, "adapter "+a)
	}
	if t := r.target; t.set() {
		share := "quality " + *float(t.quality)
		if t.recall > 0 {
			share = "recall " + *float(t.recall)
		}
		lines = append(lines, share, "proxy "+t.proxy)
	}
	most := answerLimit(c, r)
	if !known {
		return append(lines, "the cost is the model's")
	}
	s := h.history.of(name, model)
	if s.rows == 0 {
		if most > 0 {
			lines = append(lines, "up to "+count(most)+" answer tokens")
		}
		return append(lines, "cost not measured yet")
	}
	prompt, answer := s.mean(most)
	lines = append(lines, "~"+count(int64(prompt))+" prompt tokens a row")
	if writing[name] {
		lines = append(lines, "~"+count(int64(answer))+" answer tokens a row")
	}
	n := float64(rows)
	lines = append(lines, "~"+count(int64(n*(prompt+answer)))+" tokens in all")
	seconds, measured := h.seconds(context.Background(), model, n*prompt*(1-s.share()), n*answer, writing[name])
	if !measured {
		return append(lines, "speed not measured yet")
	}
	return append(lines, "~"+duration(seconds))
}

// modelOf is the name of a call's model, or words for one that is known later.
func (h *handler) modelOf(c operator.Call, r call) (name string, known bool) {
	named := arguments(c)[0]
	if c.Fn == fnChat {
		if named = c.Args[2]; named.Kind == operator.Null {
			return "of the session", false
		}
		r.req.Model = named.Text
	}
	if named.Kind == operator.Unknown {
		return "of the row", false
	}
	m, err := h.Registry.Model(r.req.Model)
	if err != nil {
		return "gone", false
	}
	return m.Name, true
}

// adapterOf are the names of a call's adapters, or words for those of a row.
func adapterOf(c operator.Call, r call) string {
	if unknown(c, "adapter") {
		return "of the row"
	}
	var names []string
	for _, a := range r.req.Adapters {
		if a.Scale != 1 {
			a.Name += ":" + strconv.FormatFloat(float64(a.Scale), 'g', -1, 32)
		}
		names = append(names, a.Name)
	}
	return strings.Join(names, ", ")
}

// unknown says whether an option's value depends on the row.
func unknown(c operator.Call, name string) bool {
	i := slices.IndexFunc(optionsOf(c.Fn), func(o option) bool { return o.name == name })
	return i >= 0 && c.Args[i+2].Kind == operator.Unknown
}

// answerLimit is the most tokens that an answer of a writing function may have; 0:
// nothing is written, or the row says it.
func answerLimit(c operator.Call, r call) int64 {
	switch {
	case !writing[nameOf(c.Fn)] || unknown(c, "max_tokens"):
		return 0
	case r.req.Params.MaxTokens == 0:
		return inference.DefaultMaxTokens
	}
	return int64(r.req.Params.MaxTokens)
}

// seconds is about how long a model's process needs at its speed so far. Answers
// that are scored are read as prompts are. measured is false for one of no known speed.
func (h *handler) seconds(ctx context.Context, model string, prompts, answers float64, written bool) (s float64, measured bool) {
	rate, err := h.Engine.Rate(ctx, model)
	if !written {
		prompts, answers = prompts+answers, 0
	}
	if err != nil || rate.Prefill == 0 || answers > 0 && rate.Decode == 0 {
		return 0, false
	}
	s = prompts / rate.Prefill
	if answers > 0 {
		s += answers / rate.Decode
	}
	return s, true
}

// duration is a time for people.
func duration(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case seconds < 10:
		return fmt.Sprintf("%.2g s", seconds)
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", seconds)
	default:
		return d.Round(time.Second).String()
	}
}

// count is a number with commas between thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
