package sqlfuncs

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/sqlfuncs/operator"
)

// call is a request with what only the SQL layer knows of it.
type call struct {
	req     inference.Request
	fail    bool   // on_error := 'fail'
	choices int    // n, for FROM generate
	null    bool   // nothing to infer
	session string // of a stream, "" for none

	texts                  []string // of a group
	labels                 []string // of a classification
	calibrate              inference.Calibration
	typed                  bool // the value is JSON of a type
	instruction, predicate string
	second                 string // of a match
	target                 target // of a cascade
}

// option is a named argument of generate and its kin. set gets a value that is
// not NULL; its error is the row's, or the statement's when it is constant.
type option struct {
	name, typ string
	set       func(c *call, a operator.Arg) error
}

func invalid(format string, args ...any) error {
	return errs.New(errs.InvalidArgument, "generate", format, args...)
}

func integer(name string, min, max int64, put func(c *call, v int64)) func(*call, operator.Arg) error {
	return func(c *call, a operator.Arg) error {
		v, err := strconv.ParseInt(a.Text, 10, 64)
		if err != nil || v < min || v > max {
			return invalid("%s must be between %d and %d, not %s", name, min, max, a.Text)
		}
		put(c, v)
		return nil
	}
}

func number(name string, put func(c *call, v float32)) func(*call, operator.Arg) error {
	return func(c *call, a operator.Arg) error {
		v, err := strconv.ParseFloat(a.Text, 32)
		if err != nil {
			return invalid("%s must be a number, not %s", name, a.Text)
		}
		put(c, float32(v))
		return nil
	}
}

func boolean(put func(c *call, v bool)) func(*call, operator.Arg) error {
	return func(c *call, a operator.Arg) error {
		put(c, a.Text == "true")
		return nil
	}
}

// options are the arguments that all generating functions share, in the order in
// which calls pack them, after model and prompt.
var options = []option{
	{"messages", "VARCHAR", func(c *call, a operator.Arg) error {
		if err := json.Unmarshal([]byte(a.Text), &c.req.Messages); err != nil {
			return invalid(`messages must be a JSON list of {"role": …, "content": …}: %v`, err)
		}
		if len(c.req.Messages) == 0 {
			return invalid("messages is empty: give at least one {\"role\": \"user\", \"content\": …}")
		}
		return nil
	}},
	{"adapter", "ANY", setAdapters},
	{"system", "VARCHAR", func(c *call, a operator.Arg) error { c.req.System = a.Text; return nil }},
	{"max_tokens", "INTEGER", integer("max_tokens", 1, 1<<20, func(c *call, v int64) { c.req.Params.MaxTokens = int(v) })},
	{"temperature", "DOUBLE", number("temperature", func(c *call, v float32) { c.req.Params.Temperature = v })},
	{"top_p", "DOUBLE", number("top_p", func(c *call, v float32) { c.req.Params.TopP = v })},
	{"top_k", "INTEGER", integer("top_k", 0, math.MaxInt32, func(c *call, v int64) { c.req.Params.TopK = int(v) })},
	{"min_p", "DOUBLE", number("min_p", func(c *call, v float32) { c.req.Params.MinP = v })},
	{"repeat_penalty", "DOUBLE", number("repeat_penalty", func(c *call, v float32) { c.req.Params.RepeatPenalty = v })},
	{"seed", "BIGINT", func(c *call, a operator.Arg) error {
		v, err := strconv.ParseInt(a.Text, 10, 64)
		if err != nil {
			return invalid("seed must be an integer, not %s", a.Text)
		}
		c.req.Params.Seed = uint32(v) ^ uint32(v>>32)
		return nil
	}},
	{"stop", "VARCHAR[]", func(c *call, a operator.Arg) error { c.req.Params.Stop = a.List; return nil }},
	{"grammar", "VARCHAR", func(c *call, a operator.Arg) error { c.req.Params.Grammar = a.Text; return nil }},
	{"json_schema", "VARCHAR", setSchema},
	{"timeout_ms", "BIGINT", integer("timeout_ms", 1, math.MaxInt32, func(c *call, v int64) {
		c.req.Timeout = time.Duration(v) * time.Millisecond
	})},
	{"on_error", "VARCHAR", func(c *call, a operator.Arg) error {
		switch a.Text {
		case "null":
		case "fail":
			c.fail = true
		default:
			return invalid("on_error must be 'null' or 'fail', not '%s'", a.Text)
		}
		return nil
	}},
	{"raw", "BOOLEAN", boolean(func(c *call, v bool) { c.req.Raw = v })},
	{"special_tokens", "BOOLEAN", boolean(func(c *call, v bool) { c.req.SpecialTokens = v })},
	{"ignore_eos", "BOOLEAN", boolean(func(c *call, v bool) { c.req.Params.IgnoreEOS = v })},
}

func setSchema(c *call, a operator.Arg) (err error) {
	c.req.Schema, err = inference.ParseSchema(a.Text)
	return err
}

// cacheOption is of the functions whose answers are whole: generate, as a value
// and in FROM, and those that score.
var cacheOption = option{"cache", "VARCHAR", func(c *call, a operator.Arg) error {
	use, ok := map[string]inference.CacheUse{
		"query": inference.CacheQuery, "persistent": inference.CachePersistent, "off": inference.CacheOff}[a.Text]
	if !ok {
		return invalid("cache must be 'query', 'persistent' or 'off', not '%s'", a.Text)
	}
	c.req.Cache = use
	return nil
}}

// sessionOption is FROM generate_stream's own.
var sessionOption = option{"session", "VARCHAR", func(c *call, a operator.Arg) error {
	if a.Text == "" {
		return invalid("the session has no name; give it one")
	}
	c.session = a.Text
	return nil
}}

// choicesOption is FROM generate's own.
var choicesOption = option{"n", "INTEGER", integer("n", 1, 128, func(c *call, v int64) { c.choices = int(v) })}

// setAdapters reads 'name', 'name:0.5', or a list of them.
func setAdapters(c *call, a operator.Arg) error {
	names := a.List
	if a.Kind == operator.Text {
		names = []string{a.Text}
	}
	for _, n := range names {
		use := inference.AdapterUse{Name: n, Scale: 1}
		if i := strings.LastIndexByte(n, ':'); i >= 0 {
			s, err := strconv.ParseFloat(n[i+1:], 32)
			if err != nil || math.IsNaN(s) || math.IsInf(s, 0) {
				return invalid("adapter '%s': what follows the colon must be a scale, as in 'polite:0.7'", n)
			}
			use.Name, use.Scale = n[:i], float32(s)
		}
		if use.Name == "" {
			return invalid("adapter has an empty or NULL name")
		}
		c.req.Adapters = append(c.req.Adapters, use)
	}
	return nil
}

// arguments puts model and text where they belong when only the text was given.
func arguments(c operator.Call) []operator.Arg {
	args := c.Args
	if _, scoring := batchedFunctions[c.Fn]; scoring && c.Fn != fnGenerate && c.Fn != fnTry {
		return args // these have no such short form
	}
	if args[1].Kind != operator.Text || args[1].Text != onlyText {
		return args
	}
	args = append([]operator.Arg{}, args...)
	args[0], args[1] = operator.Arg{Kind: operator.Text}, args[0]
	return args
}

// read makes a call of a packed one. Unknown arguments, seen while preparing, are
// left out; known says whether there was none.
func read(c operator.Call, opts []option) (out call, known bool, err error) {
	known = true
	out.choices = 1
	c.Args = arguments(c)
	for i, a := range c.Args {
		if a.Kind == operator.Unknown {
			known = false
			continue
		}
		if a.Kind == operator.Null {
			continue
		}
		switch i {
		case 0:
			out.req.Model = a.Text // chat: the session's name, which chat replaces
		case 1:
			out.req.Prompt, out.texts = a.Text, a.List
		default:
			if err := opts[i-2].set(&out, a); err != nil {
				return out, known, err
			}
		}
	}
	if decided(c, opts, "quality", "recall", "proxy") {
		if err := out.target.check(c.Fn); err != nil {
			return out, known, err
		}
	}
	if out.session != "" && out.req.Messages != nil {
		return out, known, invalid("session and messages are both given: a session has messages of its own, give the prompt that comes next")
	}
	if out.req.Schema != nil && out.req.Params.Grammar != "" {
		return out, known, invalid("grammar and json_schema, or a type, are both given; give one of them")
	}
	p := out.req.Params
	p.MaxTokens = max(p.MaxTokens, 1) // 0 is the default; the option itself was checked
	if err := p.Check(); err != nil {
		return out, known, err
	}
	if out.req.Params.Temperature > 0 && !given(c, opts, "seed") {
		out.req.Params.Seed = uint32(c.Nonce) * 2654435761 // any spread will do; equal for copies of one row
	}
	out.null = known && c.Args[1].Kind == operator.Null && out.req.Messages == nil
	return out, known, nil
}

// decided says that none of the options is still to be known.
func decided(c operator.Call, opts []option, names ...string) bool {
	for i, o := range opts {
		if slices.Contains(names, o.name) && c.Args[i+2].Kind == operator.Unknown {
			return false
		}
	}
	return true
}

func given(c operator.Call, opts []option, name string) bool {
	for i, o := range opts {
		if o.name == name {
			return c.Args[i+2].Kind != operator.Null
		}
	}
	return false
}
