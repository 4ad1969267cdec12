package fake

import (
	"fmt"
	"hash/fnv"
	"math"

	"hyprstream/runtime/decode"
)

// output is where logits were asked for.
type output struct {
	slot   int32
	length int // tokens of the slot up to there
}

// Truncate cuts a slot back.
func (m *Model) Truncate(slot, length int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.cache[int32(slot)]
	if length < 1 || length >= len(c) {
		m.fault("slot %d: cut from %d tokens to %d", slot, len(c), length)
		return false
	}
	m.Cuts++
	m.cache[int32(slot)] = c[:length:length]
	return m.Window == 0 || len(c)-length < m.Window
}

// Logprobs follow from all tokens before, and the adapters.
func (m *Model) Logprobs(i int, tokens []decode.Token) ([]float64, error) {
	if m.BeforeRead != nil {
		m.BeforeRead()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.outputs[i]
	if !ok {
		return nil, fmt.Errorf("entry %d has no output", i)
	}
	return Logprobs(m.cache[o.slot][:o.length], m.adapters, tokens), nil
}

// Logprobs gives what a model says of tokens after others: a distribution over
// the whole vocabulary.
func Logprobs(before []decode.Token, adapters []decode.Adapter, tokens []decode.Token) []float64 {
	h := fnv.New64a()
	fmt.Fprint(h, before, adapters)
	state := h.Sum64()
	var logits [Size]float64
	sum := 0.0
	for t := range logits {
		state = state*6364136223846793005 + 1442695040888963407
		logits[t] = float64(state>>40) / (1 << 22) // 0 to 4
		sum += math.Exp(logits[t])
	}
	out := make([]float64, len(tokens))
	for n, t := range tokens {
		out[n] = logits[t] - math.Log(sum)
	}
	return out
}
