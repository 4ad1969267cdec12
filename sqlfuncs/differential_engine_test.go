package sqlfuncs

import (
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hyprstream/errs"
	"hyprstream/inference"
)

// The answers of the differential test: a function of what is asked that Go and
// plain SQL compute alike. Few values, so that filters, joins and groups over
// answers are neither empty nor everything; the row past the last one fails.
var (
	diffTexts   = []string{"red", "green", "blue", "a", "ab", "", "7", "42", "3.5", "ü€"}
	diffScores  = []float64{-0.25, -0.5, -1, -1.5, -2, -4}
	diffYes     = [][]float64{{1, 0, 0, 0}, {0, 0, 1, 0}, {1, 0, 0, 1}, {1, 0, 0, 0}, {0, 0, 0, 1}} // of yes, Yes, no, No
	diffVectors = [][]float32{{1, 0}, {0, 1}, {0.5, 0.5}, {-1, 2}, {3, 0.25}}
)

// diffHash is md5_number_lower.
func diffHash(parts ...string) uint64 {
	sum := md5.Sum([]byte(strings.Join(parts, "\x01")))
	return binary.LittleEndian.Uint64(sum[8:])
}

// diffEngine answers as above, in no order, and notes what it was asked.
type diffEngine struct {
	countingEngine // Stream
	mu             sync.Mutex
	asked          map[string]int
}

func (e *diffEngine) taken() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.asked
	e.asked = nil
	return a
}

// shuffled notes what is asked and calls each for every request once, in an order that depends
// on them alone. Now and then it rests halfway, so that rows leave in parts.
func (e *diffEngine) shuffled(ctx context.Context, asked []string, each func(i int)) error {
	e.mu.Lock()
	if e.asked == nil {
		e.asked = map[string]int{}
	}
	for _, a := range asked {
		e.asked[a]++
	}
	e.mu.Unlock()
	h := diffHash(asked...)
	order := rand.New(rand.NewPCG(h, 0)).Perm(len(asked))
	for n, i := range order {
		if h%8 == 0 && n == len(order)/2 {
			time.Sleep(200 * time.Microsecond)
		}
		if ctx.Err() != nil {
			return errs.Wrap(ctx.Err(), errs.Cancelled, "generate", "cancelled")
		}
		each(i)
	}
	return nil
}

func (e *diffEngine) Generate(ctx context.Context, reqs []inference.Request, done func(int, inference.Completion)) error {
	keys, answers := make([]string, len(reqs)), make([]inference.Completion, len(reqs))
	for i, r := range reqs {
		keys[i], answers[i] = diffAnswer(r)
	}
	return e.shuffled(ctx, keys, func(i int) { done(i, answers[i]) })
}

var diffFailed = errs.New(errs.ContextOverflow, "generate", "prompt too long")

// diffAnswer is the answer to r, and what names it.
func diffAnswer(r inference.Request) (string, inference.Completion) {
	adapter, c := "", inference.Completion{FinishReason: "stop", Model: r.Model}
	for _, a := range r.Adapters {
		adapter = a.Name
		if a.Scale != 1 {
			adapter += fmt.Sprintf(":%v", a.Scale)
		}
	}
	var parts []string
	last := 0
	switch {
	case r.Choice != nil && strings.HasPrefix(r.Choice.Asked, diffFilterAsked):
		predicate := strings.TrimSuffix(strings.TrimPrefix(r.Choice.Asked, diffFilterAsked), "\n\n")
		parts, last = []string{"f", r.Model, r.Choice.Text, predicate, adapter}, len(diffYes)
	case r.Reading != nil: // string_agg
		c.Text = strings.Join(r.Reading.Texts, r.Reading.Instruction)
		return strings.Join([]string{"a", r.Model, r.Reading.Instruction, strings.Join(r.Reading.Texts, "\x02")}, "\x01"), c
	case r.Choice != nil:
		instruction, _, _ := strings.Cut(r.Choice.Asked, "\nAnswer with exactly one")
		parts = []string{"c", r.Model, r.Choice.Text, strings.Join(r.Choice.Answers, "\x02"), instruction, adapter}
		last = 3 * len(r.Choice.Answers)
	case r.Continuations != nil:
		parts, last = []string{"l", r.Model, r.Prompt, r.Continuations[0], adapter}, len(diffScores)
	default:
		limit := ""
		if r.Params.MaxTokens > 0 {
			limit = strconv.Itoa(r.Params.MaxTokens)
		}
		model, prompt := r.Model, r.Prompt
		if model == "" {
			model, prompt = prompt, onlyText
		}
		parts, last = []string{"g", model, prompt, adapter, r.System, limit, strings.Join(r.Params.Stop, "\x02")}, len(diffTexts)
	}
	at := int(diffHash(parts...) % uint64(last+1))
	switch {
	case at == last:
		c = inference.Completion{Err: diffFailed}
	case parts[0] == "f":
		c.Scores = logs(diffYes[at])
	case parts[0] == "c":
		p := make([]float64, len(r.Choice.Answers))
		p[at%len(p)] = 1
		c.Scores = logs(p)
	case parts[0] == "l":
		c.Scores = diffScores[at : at+1]
	default:
		c.Text = diffTexts[at]
	}
	return strings.Join(parts, "\x01"), c
}

func logs(p []float64) []float64 {
	out := slices.Clone(p)
	for i := range out {
		out[i] = math.Log(out[i])
	}
	return out
}

var diffFilterAsked = strings.TrimSuffix(inference.Filter("", "\x01").Asked, "\x01\n\n")

func (e *diffEngine) Embed(ctx context.Context, model string, texts []string, done func(int, inference.Embedding)) error {
	keys, answers := make([]string, len(texts)), make([]inference.Embedding, len(texts))
	for i, text := range texts {
		m := model
		if m == "" {
			m, text = text, onlyText
		}
		keys[i] = strings.Join([]string{"e", m, text}, "\x01")
		if at := int(diffHash(keys[i]) % uint64(len(diffVectors)+1)); at < len(diffVectors) {
			answers[i] = inference.Embedding{Model: model, Vector: diffVectors[at]}
		} else {
			answers[i] = inference.Embedding{Err: diffFailed}
		}
	}
	return e.shuffled(ctx, keys, func(i int) { done(i, answers[i]) })
}

func (e *diffEngine) Tokenize(_ context.Context, _ string, texts []string, _ bool) ([][]int32, error) {
	out := make([][]int32, len(texts))
	for i, t := range texts {
		out[i] = make([]int32, len(t)/3)
	}
	return out, nil
}

func (e *diffEngine) Detokenize(_ context.Context, _ string, lists [][]int32) ([]string, error) {
	return make([]string, len(lists)), nil
}

// diffMacros are the functions in plain SQL, for a database that has none of ours.
func diffMacros() []string {
	const options = ", adapter VARCHAR := NULL, cache VARCHAR := NULL, on_error VARCHAR := NULL"
	hash := func(parts ...string) string { return "md5_number_lower(" + strings.Join(parts, " || chr(1) || ") + ")" }
	opt := func(name string) string { return "coalesce(" + name + ", '')" }
	at := func(list []string, typ, hash string) string {
		return fmt.Sprintf("([%s, NULL]::%s[])[(1 + %s %% %d)::BIGINT]", strings.Join(list, ", "), typ, hash, len(list)+1)
	}
	const labels = "list_sort(list_distinct(list_filter(labels, lambda l: l <> '')))"
	asked := hash("'c'", "model", "text", "array_to_string("+labels+", chr(2))", "coalesce(nullif(instruction, ''), 'Classify the text.')", opt("adapter"))
	winner := fmt.Sprintf("(list_concat(%[1]s, %[1]s, %[1]s, [NULL])[(1 + %[2]s %% (3 * len(%[1]s) + 1)::UBIGINT)::BIGINT])::VARCHAR", labels, asked)
	filter := hash("'f'", "model", "text", "predicate", opt("adapter"))
	var texts, scores, vectors []string
	for _, t := range diffTexts {
		texts = append(texts, "'"+t+"'")
	}
	for _, s := range diffScores {
		scores = append(scores, fmt.Sprint(s))
	}
	for _, v := range diffVectors {
		vectors = append(vectors, vectorText(v))
	}
	generate := hash("'g'", "model", "prompt", opt("adapter"), opt("system"), "coalesce(max_tokens::VARCHAR, '')", "coalesce(array_to_string(stop, chr(2)), '')")
	return []string{
		"CREATE MACRO generate(model VARCHAR := '', prompt VARCHAR := '" + onlyText + "'" + options +
			", system VARCHAR := NULL, max_tokens INTEGER := NULL, stop VARCHAR[] := NULL) AS " + at(texts, "VARCHAR", generate),
		"CREATE MACRO logprob(model VARCHAR, prompt VARCHAR, continuation VARCHAR" + options + ") AS " +
			at(scores, "DOUBLE", hash("'l'", "model", "prompt", "nullif(continuation, '')", opt("adapter"))),
		"CREATE MACRO ai_filter(text VARCHAR, predicate VARCHAR, model VARCHAR := ''" + options + ") AS " +
			at([]string{"true", "false", "false", "true", "false"}, "BOOLEAN", filter),
		"CREATE MACRO ai_filter_prob(text VARCHAR, predicate VARCHAR, model VARCHAR := ''" + options + ") AS " +
			at([]string{"1", "0", "0.5", "1", "0"}, "DOUBLE", filter),
		"CREATE MACRO ai_classify(text VARCHAR, labels VARCHAR[], instruction VARCHAR := NULL, model VARCHAR := ''" + options + ") AS " + winner,
		"CREATE MACRO ai_classify_probs(text VARCHAR, labels VARCHAR[], instruction VARCHAR := NULL, model VARCHAR := ''" + options + ") AS " +
			"CASE WHEN " + winner + " IS NOT NULL THEN map_from_entries(list_transform(" + labels +
			", lambda e: {'key': e, 'value': (e = " + winner + ")::INTEGER::DOUBLE})) END",
		"CREATE MACRO embed(model VARCHAR := '', text VARCHAR := '" + onlyText + "', on_error VARCHAR := NULL) AS " +
			at(vectors, "FLOAT[]", hash("'e'", "model", "text")),
		"CREATE MACRO count_tokens(model VARCHAR, text VARCHAR) AS CASE WHEN model IS NOT NULL THEN strlen(text) // 3 END",
		"CREATE MACRO similarity(a, b) AS list_cosine_similarity(a::DOUBLE[], b::DOUBLE[])",
	}
}

// vectorText is v as DuckDB reads a list, with every digit that tells its floats
// from their neighbours.
func vectorText(v []float32) string {
	b := append(make([]byte, 0, 12*len(v)+2), '[')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return string(append(b, ']'))
}
