package fake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"hyprstream/runtime/decode"
)

// The tokens beyond the 256 bytes.
const (
	BOS       decode.Token = 256
	EOS       decode.Token = 257
	EndOfTurn decode.Token = 258 // the control token "<end_of_turn>", which ends nothing by itself
	Size                   = 259
)

// Model is a decode.Backend and a decode.Vocab. Set its fields before use.
type Model struct {
	// Reply is what is said after a prompt; an "\x01" in it stands for
	// EndOfTurn. Nil: the prompt in upper case, then an end token.
	Reply func(prompt string, adapters []decode.Adapter) string
	// BeforeDecode may delay a step or make it fail.
	BeforeDecode func(batch []decode.Entry) error
	// BeforeRead may delay a Sample or Logprobs.
	BeforeRead func()
	// Cells bounds the tokens in all slots together; 0: no bound.
	Cells int
	// SaveError and RestoreError are what Save and Restore fail with.
	SaveError, RestoreError error
	// Window, when it is not 0, makes a Truncate by so many tokens or more inexact.
	Window int

	mu       sync.Mutex // guards what follows: tests look while the loop runs
	adapters []decode.Adapter
	cache    map[int32][]decode.Token
	under    map[int32]string // adapter set that a slot's tokens were computed with
	outputs  map[int]output   // by batch entry
	Faults   []string         // broken promises of the loop
	Batches  [][]decode.Entry
	Sets     [][]decode.Adapter // as Adapt was called
	live     int                // snapshots that were not freed
	Cuts     int
}

var (
	_ decode.Backend = (*Model)(nil)
	_ decode.Vocab   = (*Model)(nil)
)

// Decode puts the batch into the cache.
func (m *Model) Decode(batch []decode.Entry) error {
	if m.BeforeDecode != nil {
		if err := m.BeforeDecode(batch); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cache == nil {
		m.cache, m.under = map[int32][]decode.Token{}, map[int32]string{}
	}
	cells := len(batch)
	for _, c := range m.cache {
		cells += len(c)
	}
	if m.Cells > 0 && cells > m.Cells {
		return decode.ErrFull
	}
	m.Batches = append(m.Batches, slices.Clone(batch))
	m.outputs = map[int]output{}
	set := fmt.Sprint(m.adapters)
	for i, e := range batch {
		if int(e.Pos) != len(m.cache[e.Slot]) {
			m.fault("slot %d: position %d after %d tokens", e.Slot, e.Pos, len(m.cache[e.Slot]))
		}
		if e.Pos == 0 {
			m.under[e.Slot] = set
		}
		if m.under[e.Slot] != set {
			m.fault("slot %d: computed under %s and %s", e.Slot, m.under[e.Slot], set)
		}
		m.cache[e.Slot] = append(m.cache[e.Slot], e.Token)
		if e.Output {
			m.outputs[i] = output{e.Slot, len(m.cache[e.Slot])}
		}
	}
	return nil
}

func (m *Model) fault(format string, args ...any) {
	m.Faults = append(m.Faults, fmt.Sprintf(format, args...))
}

// Clear empties a slot, or all.
func (m *Model) Clear(slot int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slot < 0 {
		clear(m.cache)
		return
	}
	delete(m.cache, int32(slot))
}

// snapshot is a slot's content at one time.
type snapshot struct {
	m      *Model
	tokens []decode.Token
	under  string
	freed  bool

	damaged bool
}

// TokenBytes is what a token takes in a snapshot.
const TokenBytes = 10

// Save copies what a slot holds.
func (m *Model) Save(slot int) (decode.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.SaveError != nil {
		return nil, m.SaveError
	}
	if len(m.cache[int32(slot)]) == 0 {
		m.fault("slot %d is saved and is empty", slot)
	}
	m.live++
	return &snapshot{m: m, tokens: slices.Clone(m.cache[int32(slot)]), under: m.under[int32(slot)]}, nil
}

// Restore fills an empty slot.
func (m *Model) Restore(slot int, s decode.Snapshot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.RestoreError != nil {
		return m.RestoreError
	}
	from := s.(*snapshot)
	if from.damaged {
		return fmt.Errorf("this is no snapshot")
	}
	if set := fmt.Sprint(m.adapters); from.freed || from.under != set || len(m.cache[int32(slot)]) > 0 {
		m.fault("slot %d with %d tokens is filled under %s with a snapshot of %s, freed: %v",
			slot, len(m.cache[int32(slot)]), set, from.under, from.freed)
	}
	m.cache[int32(slot)], m.under[int32(slot)] = slices.Clone(from.tokens), from.under
	return nil
}

// Bytes is the size of a snapshot.
func (s *snapshot) Bytes() int64 { return TokenBytes * int64(len(s.tokens)) }

// Data is a snapshot's tokens and their adapter set.
func (s *snapshot) Data() []byte {
	b, err := json.Marshal(state{s.tokens, s.under})
	if err != nil || int64(len(b)) > s.Bytes() {
		panic(fmt.Sprint(len(b), err))
	}
	return append(b, bytes.Repeat([]byte(" "), int(s.Bytes())-len(b))...)
}

// state is what Data holds.
type state struct {
	Tokens []decode.Token
	Under  string
}

// Revive makes a snapshot again. Data that is none of Data's is one that cannot be
// restored.
func (m *Model) Revive(data []byte) (decode.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live++
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return &snapshot{m: m, damaged: true}, nil
	}
	return &snapshot{m: m, tokens: s.Tokens, under: s.Under}, nil
}

// Free counts a snapshot as gone.
func (s *snapshot) Free() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.freed {
		s.m.fault("a snapshot of %d tokens is freed twice", len(s.tokens))
	}
	s.freed = true
	s.m.live--
}

// Snapshots is the number of snapshots that were not freed.
func (m *Model) Snapshots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live
}

// Adapt changes the set that Reply is given. A path that contains "broken" fails.
func (m *Model) Adapt(adapters []decode.Adapter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range adapters {
		if strings.Contains(a.Path, "broken") {
			return fmt.Errorf("%s is no adapter", a.Path)
		}
	}
	if n := len(m.cache); n > 0 {
		m.fault("adapters changed with %d slots in use", n)
	}
	m.adapters = adapters
	m.Sets = append(m.Sets, adapters)
	return nil
}

// Seen returns copies of what was recorded.
func (m *Model) Seen() (faults []string, batches [][]decode.Entry, sets [][]decode.Adapter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.Faults), slices.Clone(m.Batches), slices.Clone(m.Sets)
}

// Used is the number of slots with tokens in them.
func (m *Model) Used() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.cache)
}

// Sampler makes a sampler that says Reply. A grammar "bad" is refused; with a
// temperature, letters follow from the seed for ever.
func (m *Model) Sampler(p decode.Params, prompt []decode.Token) (decode.Sampler, error) {
	if p.Grammar == "bad" {
		return nil, fmt.Errorf("the grammar does not parse")
	}
	var text []byte
	for _, t := range prompt {
		text = m.AppendPiece(text, t, false)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	reply := strings.ToUpper(string(text))
	if m.Reply != nil {
		reply = m.Reply(string(text), m.adapters)
	}
	return &sampler{m: m, p: p, prompt: prompt, reply: reply, seed: p.Seed}, nil
}

type sampler struct {
	m      *Model
	p      decode.Params
	prompt []decode.Token
	said   []decode.Token
	reply  string
	at     int
	seed   uint32
}

func (s *sampler) Close() {}

func (s *sampler) Sample(i int, _ bool) (decode.Token, float64, error) {
	if s.m.BeforeRead != nil {
		s.m.BeforeRead()
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	o, ok := s.m.outputs[i]
	if !ok {
		return -1, 0, fmt.Errorf("entry %d has no output", i)
	}
	slot := o.slot
	if want := append(slices.Clone(s.prompt), s.said...); !slices.Equal(s.m.cache[slot], want) {
		s.m.fault("slot %d holds %v when its sequence is %v", slot, s.m.cache[slot], want)
	}
	t := s.choose()
	s.said = append(s.said, t)
	return t, s.logprob(), nil
}

func (s *sampler) logprob() float64 {
	if s.p.Temperature > 0 {
		return -1
	}
	return -0.5
}

func (s *sampler) choose() decode.Token {
	if s.p.Temperature > 0 {
		s.seed = s.seed*1664525 + 1013904223
		return decode.Token('a' + s.seed>>16%26)
	}
	if s.at >= len(s.reply) {
		if s.p.IgnoreEOS {
			return '.'
		}
		return EOS
	}
	t := decode.Token(s.reply[s.at])
	s.at++
	if t == 1 {
		t = EndOfTurn
	}
	return t
}

// Continue gives bytes.
func (m *Model) Continue(text string) ([]decode.Token, error) {
	return m.Tokenize([]decode.Segment{{Text: text}}, false)
}

// Tokenize gives bytes; "<end_of_turn>" in special text is one token.
func (m *Model) Tokenize(segs []decode.Segment, addBOS bool) ([]decode.Token, error) {
	var out []decode.Token
	if addBOS {
		out = append(out, BOS)
	}
	for _, s := range segs {
		for text := s.Text; text != ""; {
			if rest, ok := strings.CutPrefix(text, "<end_of_turn>"); ok && s.Special {
				out, text = append(out, EndOfTurn), rest
				continue
			}
			out, text = append(out, decode.Token(text[0])), text[1:]
		}
	}
	return out, nil
}

// AppendPiece appends a byte, or the text of a control token.
func (m *Model) AppendPiece(dst []byte, t decode.Token, special bool) []byte {
	switch {
	case t >= 0 && t < 256:
		return append(dst, byte(t))
	case t == EndOfTurn && special:
		return append(dst, "<end_of_turn>"...)
	}
	return dst
}

// EndsGeneration is true of EOS.
func (m *Model) EndsGeneration(t decode.Token) bool { return t == EOS }

// Start is BOS.
func (m *Model) Start() decode.Token { return BOS }

// MaxPiece is the length of a control token.
func (m *Model) MaxPiece() int { return len("<end_of_turn>") }

// Delay is a BeforeDecode that takes a time per step.
func Delay(d time.Duration) func([]decode.Entry) error {
	return func([]decode.Entry) error { time.Sleep(d); return nil }
}
