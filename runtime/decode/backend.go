package decode

import "errors"

// ErrFull is what Backend.Decode returns when its cache has no room for the
// batch. Nothing was computed; a smaller batch may succeed.
var ErrFull = errors.New("decode: no room in the cache")

// Entry is one token of a batch.
type Entry struct {
	Token  Token
	Pos    int32 // within its sequence, from 0
	Slot   int32
	Output bool // its logits will be read; a batch has at most as many as there are slots, spare ones included
}

// Backend is a context with one cache per slot. The loop's goroutine is its
// only caller, save that it has Logprobs and different sequences' Samplers
// called from several goroutines, and waits for them. Any error but ErrFull
// leaves the slots of the batch undefined.
type Backend interface {
	// Decode computes a batch of at most Options.BatchSize entries.
	Decode(batch []Entry) error
	// Sampler makes the choice of tokens for one sequence.
	Sampler(p Params, prompt []Token) (Sampler, error)
	// Clear empties a slot, or all of them when slot is -1.
	Clear(slot int)
	// Truncate removes what a slot holds from the length on. false: what is left
	// cannot be gone on from exactly, as some of it is gone; Clear it.
	Truncate(slot, length int) bool
	// Logprobs gives the natural logarithms of the probabilities of tokens after
	// entry i of the last batch, under the model's own full distribution.
	Logprobs(i int, tokens []Token) ([]float64, error)
	// Save takes a copy of what a slot holds. It stays good when the slot goes
	// on, and while the same adapters are applied.
	Save(slot int) (Snapshot, error)
	// Restore fills an empty slot with what was saved of this or another one.
	Restore(slot int, s Snapshot) error
	// Revive makes a snapshot of a Snapshot's Data, of this backend or an equal one.
	// Data that is neither is for Restore to refuse.
	Revive(data []byte) (Snapshot, error)
	// Adapt applies exactly these adapters to all that is decoded from now on.
	Adapt(adapters []Adapter) error
}

// Snapshot is what a slot held, in memory of its own. Whoever has it frees it, once.
type Snapshot interface {
	Bytes() int64
	Data() []byte // a copy, of so many bytes
	Free()
}

// Sampler chooses the tokens of one sequence.
type Sampler interface {
	// Sample chooses the token after entry i of the last batch and takes it as
	// said. The log probability is only computed when asked for.
	Sample(i int, logprob bool) (Token, float64, error)
	Close()
}

// Vocab turns text into tokens and back. It is safe for concurrent use.
type Vocab interface {
	Tokenize(segs []Segment, addBOS bool) ([]Token, error)
	// Continue gives the tokens of text that goes on after other text: no special
	// token, no space of the tokenizer's own in front.
	Continue(text string) ([]Token, error)
	// AppendPiece appends a token's bytes, possibly a part of a code point.
	// Control tokens have bytes only when special is set.
	AppendPiece(dst []byte, t Token, special bool) []byte
	// EndsGeneration is true of end-of-sequence and end-of-turn tokens.
	EndsGeneration(t Token) bool
	// Start is the token an empty prompt begins with.
	Start() Token
	// MaxPiece is the longest token in bytes.
	MaxPiece() int
}
