package inference

import (
	"fmt"
	"math"

	"hyprstream/errs"
)

// DefaultMaxTokens is what a request that does not say gets.
const DefaultMaxTokens = 256

// normalise checks a request's options and puts in defaults. Its error is the
// row's.
func normalise(req *Request) *errs.Error {
	bad := func(format string, args ...any) *errs.Error {
		return errs.New(errs.InvalidArgument, "generate", format, args...)
	}
	if req.Params.MaxTokens == 0 {
		req.Params.MaxTokens = DefaultMaxTokens
	}
	if req.Schema != nil {
		if req.Params.Grammar != "" {
			return bad("grammar and json_schema are both given; give one")
		}
		req.Params.Grammar = req.Schema.grammar
	}
	if err := req.Params.Check(); err != nil {
		return err
	}
	if req.Timeout < 0 {
		return bad("timeout_ms is %d; it must be 0 (none) or more", req.Timeout.Milliseconds())
	}
	for _, a := range req.Adapters {
		if math.IsNaN(float64(a.Scale)) || math.IsInf(float64(a.Scale), 0) {
			return bad("adapter %q has the scale %v; it must be a finite number", a.Name, a.Scale)
		}
	}
	if req.Continuations != nil && len(req.Continuations) == 0 || req.Choice != nil && len(req.Choice.Answers) == 0 {
		return bad("there is nothing to score; give at least one continuation")
	}
	if msg := checkMessages(req.Messages); msg != "" {
		return bad("%s", msg)
	}
	return nil
}

// checkMessages says what is wrong with a dialogue; "" is nothing. nil is no
// dialogue at all.
func checkMessages(messages []Message) string {
	if messages == nil {
		return ""
	}
	turns := 0
	for i, m := range messages {
		switch m.Role {
		case "user", "assistant":
			turns++
		case "system":
		default:
			return fmt.Sprintf("message %d has the role %.40q; it must be system, user or assistant", i+1, m.Role)
		}
	}
	if turns == 0 {
		return "the messages hold no turn of a user; add one"
	}
	return ""
}
