package decode

import (
	"math"

	"hyprstream/errs"
)

// Bounds of stop strings: each is looked for at every token.
const (
	maxStops     = 1000
	maxStopBytes = 4096
)

// Check refuses values that no sampler takes, in the words of the SQL options.
// The layers above call it as well, to refuse constants before anything runs.
func (p *Params) Check() *errs.Error {
	bad := func(format string, args ...any) *errs.Error {
		return errs.New(errs.InvalidArgument, "generate", format, args...)
	}
	within := func(v float32, high float64) bool { return float64(v) >= 0 && float64(v) <= high } // false for NaN
	switch {
	case p.MaxTokens < 1:
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
	case p.Grammar != "" && p.IgnoreEOS:
		return bad("ignore_eos cannot be combined with a grammar, which must be able to end")
	case len(p.Stop) > maxStops:
		return bad("stop has %d strings; at most %d are possible", len(p.Stop), maxStops)
	}
	for i, s := range p.Stop {
		switch {
		case s == "":
			return bad("stop string %d is empty or NULL, which would end every answer at once; leave it out", i+1)
		case len(s) > maxStopBytes:
			return bad("stop string %d has %d bytes; at most %d are possible", i+1, len(s), maxStopBytes)
		}
	}
	return nil
}
