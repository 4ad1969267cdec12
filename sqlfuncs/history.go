package sqlfuncs

import (
	"sync"

	"hyprstream/inference"
)

// spent is what computed rows have cost.
type spent struct{ rows, prompt, shared, completion int64 }

func (s *spent) add(o spent) {
	s.rows += o.rows
	s.prompt += o.prompt
	s.shared += o.shared
	s.completion += o.completion
}

// history is what the rows of each function and model have cost since the server
// started. Its zero value is ready.
type history struct {
	mu   sync.Mutex
	seen map[work]spent
}

// work is a function at a model's work.
type work struct{ function, model string }

// writing are the functions whose answers are written, not scored.
var writing = map[string]bool{"generate": true, "generate_stream": true, "chat": true}

// add takes a finished row in; one that failed, or whose answer was there, cost nothing.
func (h *history) add(function string, c inference.Completion) {
	if c.Cached || c.Err != nil || c.PromptTokens == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[work]spent{}
	}
	k := work{function, c.Model}
	s := h.seen[k]
	s.add(spent{1, int64(c.PromptTokens), int64(c.SharedTokens), int64(c.CompletionTokens)})
	h.seen[k] = s
}

// of is what a function's rows have cost on a model.
func (h *history) of(function, model string) spent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[work{function, model}]
}

// written is what rows have cost for which the model wrote an answer.
func (h *history) written(model string) (sum spent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, s := range h.seen {
		if k.model == model && writing[k.function] {
			sum.add(s)
		}
	}
	return sum
}

// model is what a model's rows have cost.
func (h *history) model(model string) (sum spent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, s := range h.seen {
		if k.model == model {
			sum.add(s)
		}
	}
	return sum
}

// share is how much of the prompts was shared, 0 to 1.
func (s spent) share() float64 {
	if s.prompt == 0 {
		return 0
	}
	return float64(s.shared) / float64(s.prompt)
}

// mean is what a row has cost: tokens of its prompt and of its answer, of which
// there are at most so many (0: no bound is known). rows must not be 0.
func (s spent) mean(most int64) (prompt, answer float64) {
	prompt, answer = float64(s.prompt)/float64(s.rows), float64(s.completion)/float64(s.rows)
	if most > 0 {
		answer = min(answer, float64(most))
	}
	return prompt, answer
}
