package inference

import (
	"strconv"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/worker"
)

// Message is one turn of a dialogue. Role is "system", "user" or "assistant".
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// AdapterUse names an adapter of the request's model and scales it. Scale
// multiplies the adapter's own scale; 1 is neutral.
type AdapterUse struct {
	Name  string
	Scale float32
}

// String is the use as it is written in SQL: 'polite', or 'polite:0.5'.
func (a AdapterUse) String() string {
	if a.Scale == 1 {
		return a.Name
	}
	return a.Name + ":" + strconv.FormatFloat(float64(a.Scale), 'g', -1, 32)
}

// Request is one row. Exactly one of Prompt and Messages is used: Messages when
// it is not nil. With Continuations or a Choice nothing is written: the answer
// is the Completion's Scores.
type Request struct {
	Model    string // "" for the default model
	Prompt   string
	Messages []Message
	System   string // put before the dialogue; ignored when Raw
	Raw      bool   // no chat template: the prompt as it is
	// SpecialTokens makes control tokens of their spellings in the prompt, the messages and
	// the system text, which are text otherwise.
	SpecialTokens bool
	Adapters      []AdapterUse
	Params        decode.Params // MaxTokens 0 means 256
	Timeout       time.Duration // 0: none
	Logprobs      bool
	Cache         CacheUse
	Keep          string // a dialogue, "" for none: what was computed is kept for its next turn

	// Continuations are texts whose log probabilities after the prompt are asked
	// for. Each is tokenized apart from the prompt, as text that goes on after it.
	Continuations []string
	// Choice takes the place of the prompt, the messages and Continuations: its
	// answers are scored.
	Choice *Choice
	// Schema binds the answer to JSON of its kind; an answer that is none is the
	// row's failure. Not together with Params.Grammar.
	Schema *Schema
	// Cut takes an answer that was cut off as it is: who asks sees the finish reason.
	Cut bool
	// Lineage asks for the Completion's.
	Lineage bool
	// Reading takes the place of the prompt and the messages.
	Reading *Reading
}

// Completion is a finished row. Err is the row's own failure; the statement's
// failure is returned by the call.
type Completion struct {
	Text             string
	FinishReason     string // "stop" or "length"
	PromptTokens     int
	SharedTokens     int
	CompletionTokens int
	Logprob          float64
	Scores           []float64 // of Continuations or of the Choice's answers: sums of natural logarithms
	ScoreTokens      []int     // tokens of each of them
	Queue            time.Duration
	Prefill          time.Duration
	Decode           time.Duration
	Model            string       // the name it resolved to
	Adapters         []AdapterUse // as asked for
	Proxied          bool         // a proxy answered, which Model names
	Cached           bool         // nothing was computed for it: the counts are those of the request that was
	Lineage          *Lineage     // where it was asked for and a process was there to answer
	Err              *errs.Error
}

// Chunk is a piece of a streamed completion.
type Chunk struct {
	Seq     int
	Text    string
	Token   int32
	Logprob float64
	Done    bool        // the last chunk
	Final   *Completion // on the last chunk only
}

// ModelOptions are what CREATE MODEL … WITH (…) may set. Zero means default.
type ModelOptions struct {
	ContextLength int    // tokens per slot (default: min(trained context, 4096))
	Slots         int    // sequences decoded side by side, 1..256 (default 32)
	Threads       int    // compute threads (default: cores)
	BatchSize     int    // tokens per decode call (default 512)
	GPULayers     int    // layers on the accelerator, -1 all, 0 nothing at all; needs a build with one
	PrefixCache   int    // MiB for what prompts begin with, kept for other rows; -1 none (default 256)
	ChatTemplate  string // Jinja source that replaces the file's own
	Quantize      string // the type its weights were given when it was imported, "" for their own
}

// PrefixBytes is the most memory that kept beginnings of prompts take.
func (o *ModelOptions) PrefixBytes() int64 {
	if o.PrefixCache == 0 {
		return worker.DefaultPrefixBytes
	}
	return max(0, int64(o.PrefixCache)<<20)
}

// Model is what the registry knows of a model: enough to load it.
type Model struct {
	Name    string
	Path    string // the imported file
	SHA256  string // hex digest of the file, checked at load
	Bytes   int64  // file size
	Memory  int64  // bytes it is expected to need when loaded
	Options ModelOptions
	Pinned  bool // never unloaded by budget or idle time

	EmbeddingLength int // numbers in its vectors; 0: not known
}

// Adapter is what the registry knows of an adapter: a LoRA file, or several that
// were blended.
type Adapter struct {
	Name  string
	Model string
	Scale float32
	Parts []AdapterPart // at least one
}

// AdapterPart is a LoRA file of an adapter. The adapter's own scale comes on top
// of its Scale.
type AdapterPart struct {
	Name   string // of the adapter; of a blend "blend/part"
	Path   string
	SHA256 string
	Scale  float32
}

// Registry resolves names; the catalog implements it.
type Registry interface {
	// Model finds a model; "" is the default model. Errors: errs.ModelNotFound,
	// naming the nearest.
	Model(name string) (Model, error)
	// Adapter finds an adapter of a model. Errors: errs.AdapterNotFound.
	Adapter(model, name string) (Adapter, error)
}

// State of a model as ai.models shows it.
type State string

// The states.
const (
	StateUnloaded State = "unloaded"
	StateLoading  State = "loading"
	StateReady    State = "ready"
	StateFailed   State = "failed" // the last load failed; the next use tries again
)

// EngineStatus is one row of ai.engines: a model that has, or had, a process.
type EngineStatus struct {
	Model     string
	State     State
	PID       int
	Bytes     int64 // resident memory of the process
	Slots     int
	Busy      int
	Queued    int
	Restarts  int
	Pinned    bool
	LoadedAt  time.Time
	IdleSince time.Time // zero while busy
	Stats     decode.Stats
	LastError string
}

// PrefixStatus is one row of ai.prefixes: a beginning of prompts that a model's
// process keeps.
type PrefixStatus struct {
	Model string
	decode.Prefix
}
