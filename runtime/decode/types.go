package decode

import (
	"time"

	"hyprstream/errs"
)

// Token is a vocabulary id.
type Token = int32

// Segment is a piece of prompt text. Special says whether control tokens
// written in it (such as "<end_of_turn>") become control tokens; user text
// must have it false.
type Segment struct {
	Text    string
	Special bool
}

// Adapter is a LoRA file on this machine and the scale it is applied with.
type Adapter struct {
	Path  string
	Scale float32
}

// Params say how the text after a prompt is chosen. The zero value of each
// field but MaxTokens leaves the sampler out of the chain.
type Params struct {
	MaxTokens     int     // at most so many new tokens; must be positive
	Temperature   float32 // 0: greedy
	TopP          float32 // 0 or 1: off
	TopK          int     // 0: off
	MinP          float32 // 0: off
	RepeatPenalty float32 // 0 or 1: off
	Seed          uint32  // used when Temperature > 0
	Stop          []string
	Grammar       string // GBNF, root rule "root"; "" for none
	IgnoreEOS     bool
}

// Request is one sequence to decode. All of its state is in it: the loop knows
// nothing of models' names, templates or SQL.
type Request struct {
	Prompt   []Segment
	AddBOS   bool // let the vocabulary add its beginning-of-sequence token, where it has one
	Params   Params
	Adapters []Adapter // applied together; requests with equal sets run side by side
	Stream   bool      // send an Event per piece of text, not only the last one
	Logprobs bool      // fill Event.Logprob and Result.Logprob
	Tokens   bool      // fill Result.Tokens
	Keep     string    // not "": what was computed is kept at the end, under this name: it begins the prompt of a dialogue's next turn
	Deadline time.Time // zero: none; passing it ends the request with errs.Timeout

	// Continuations, when there are any, are scored instead of a completion being
	// written; of Params nothing counts then. Each is tokenized by itself, as text
	// that goes on after the prompt, never to control tokens: where one joins the
	// prompt to a longer token in running text, the two stay apart here.
	Continuations []string
}

// FinishReason says why a sequence ended.
type FinishReason string

// Finish reasons, spelt as OpenAI's clients expect them.
const (
	FinishStop   FinishReason = "stop"   // end of sequence or a stop string
	FinishLength FinishReason = "length" // max_tokens or the context's end
)

// Event is news of one request. Text is always valid UTF-8 and never split
// inside a code point; text that may be the beginning of a stop string is held
// back until that is decided.
type Event struct {
	Index   int     // of the request within its Submit
	Seq     int     // 0, 1, 2 … within the request
	Text    string  // new text since the last event
	Token   Token   // the last token that contributed, -1 when none did
	Logprob float64 // of Token under the model's own distribution, when asked for
	Result  *Result // non-nil on the last event of the request, and only there
}

// Result is the outcome of one request. Text is the whole completion without
// the stop string. Err, when set, is the row's failure; the counts are then
// what had been computed until it.
type Result struct {
	Text             string
	FinishReason     FinishReason
	PromptTokens     int
	SharedTokens     int // of PromptTokens: taken from KV already there
	CompletionTokens int
	Tokens           []Token // the completion, without the end token, when asked for
	Logprob          float64 // sum over the completion, when asked for
	Queue            time.Duration
	Prefill          time.Duration
	Decode           time.Duration
	Err              *errs.Error

	// Scores are the log probabilities (natural logarithm, temperature 1) of each
	// continuation after the prompt, summed over its ScoreTokens tokens.
	// CompletionTokens counts those that had to be computed, each once: never a
	// continuation's last. What had to be computed once more, because a sliding
	// window had moved past it, counts again in PromptTokens.
	Scores      []float64
	ScoreTokens []int
}

// Info describes a loaded model and its context.
type Info struct {
	ContextLength int    // tokens a single sequence may have, prompt and completion
	Slots         int    // sequences decoded side by side
	Vocabulary    int    // tokens
	Embedding     int    // dimensions
	Parameters    uint64 // count
	WeightBytes   uint64
	ChatTemplate  string // "" when the file has none
	BOS, EOS      string // text of the special tokens, "" when the vocabulary has none
	AddsBOS       bool   // the vocabulary adds BOS by itself
	Build         string // the engine's version, for lineage
	Machine       string // what it computes on: states of another one may differ
	EmbedsOnly    bool   // an encoder: it cannot continue a text, and has no slots
}

// Stats are counters of a loop since it started, and its state now.
type Stats struct {
	Busy, Queued                  int // slots in use, requests waiting
	Steps                         uint64
	PromptTokens, SharedTokens    uint64 // computed were PromptTokens less SharedTokens
	CompletionTokens              uint64
	PrefillSeconds, DecodeSeconds float64
	DecodedTokens                 uint64  // entries of all batches that were computed
	SlotSteps                     uint64  // requests in slots, summed over steps: of Steps × Slots, spare slots beyond
	StepSeconds                   float64 // from the queue to the last event of a step
	SampleSeconds                 float64 // of them: choosing tokens, scoring
	OverheadSeconds               float64 // of them: neither that nor in Backend.Decode
	Prefixes                      int     // kept
	PrefixBytes                   int64
	IdleSince                     time.Time // zero while busy
}

// Prefix is the beginning of prompts that a loop keeps.
type Prefix struct {
	Adapters []Adapter
	Text     string // of its first tokens, at most 80 characters
	Tokens   int
	Bytes    int64
	Hits     uint64 // requests that started from it
	Pinned   bool   // waiting requests begin with it: it stays
	Used     time.Time
}
