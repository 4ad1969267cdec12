package inference

import (
	"fmt"
	"math"

	"hyprstream/errs"
)

const (
	defaultMaxTokens = 256
	maxStops         = 1000
	maxStopBytes     = 4096
)

// normalise checks a request's options and puts in defaults. Its error is the
// row's.
func normalise(req *Request) *errs.Error {
	bad := func(format string, args ...any) *errs.Error {
		return errs.New(errs.InvalidArgument, "generate", format, args...)
	}
	p := &req.Params
	within := func(v float32, high float64) bool { return float64(v) >= 0 && float64(v) <= high } // false for NaN
	switch {
	case p.MaxTokens < 0:
		return bad("max_tokens is %d; it must be at least 1", p.MaxTokens)
	case !within(p.Temperature, math.MaxFloat32):
		return bad("temperature is %v; it must be 0 (always the likeliest token) or more", p.Temperature)
	case !within(p.TopP, 1):
		return bad("top_p is %v; it must be between 0 and 1", p.TopP)
	case p.TopK < 0 || p.TopK > math.MaxInt32:
		return bad("top_k is %d; it must be 0 (off) or more", p.TopK)
	case !within(p.MinP, 1):
		return bad("min_p is %v; it must be between 0 and 1", p.MinP)
	case !within(p.RepeatPenalty, math.MaxFloat32):
		return bad("repeat_penalty is %v; it must be above 0, and 1 is none", p.RepeatPenalty)
	case req.Timeout < 0:
		return bad("timeout_ms is %d; it must be 0 (none) or more", req.Timeout.Milliseconds())
	case len(p.Stop) > maxStops:
		return bad("stop has %d strings; at most %d are possible", len(p.Stop), maxStops)
	}
	for i, s := range p.Stop {
		switch {
		case s == "":
			return bad("stop string %d is empty, which would end every answer at once; leave it out", i+1)
		case len(s) > maxStopBytes:
			return bad("stop string %d has %d bytes; at most %d are possible", i+1, len(s), maxStopBytes)
		}
	}
	for _, a := range req.Adapters {
		if math.IsNaN(float64(a.Scale)) || math.IsInf(float64(a.Scale), 0) {
			return bad("adapter %q has the scale %v; it must be a finite number", a.Name, a.Scale)
		}
	}
	if msg := checkMessages(req.Messages); msg != "" {
		return bad("%s", msg)
	}
	if p.MaxTokens == 0 {
		p.MaxTokens = defaultMaxTokens
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
