package inference

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"hyprstream/runtime/decode"
)

// CacheUse says from where a request's answer may come.
type CacheUse uint8

// The uses. Only answers that nothing was drawn for at random (temperature 0) are
// ever taken for another request; at other temperatures all three are CacheOff.
const (
	CacheQuery      CacheUse = iota // from an equal request of the same call
	CachePersistent                 // also from earlier calls, and it is kept for later ones
	CacheOff                        // from the model
)

// CacheKey is a digest of all that an answer depends on.
type CacheKey = [sha256.Size]byte

// Cache keeps answers beyond the call and the process that computed them. Its
// methods may be called from any goroutine. What goes wrong in it is its own to
// log: a key that it cannot answer is a miss.
type Cache interface {
	// Get finds the values of keys; nil for a key that has none.
	Get(keys []CacheKey) [][]byte
	// Put keeps a value: for Get at once, for the next start a little later.
	Put(key CacheKey, value []byte)
}

// kept is an answer as a Cache has it.
type kept struct {
	Text             string    `json:"text"`
	FinishReason     string    `json:"finish_reason"`
	PromptTokens     int       `json:"prompt_tokens"`
	CompletionTokens int       `json:"completion_tokens"`
	Logprob          float64   `json:"logprob,omitempty"`
	Scores           []float64 `json:"scores,omitempty"`
	ScoreTokens      []int     `json:"score_tokens,omitempty"`
	Created          time.Time `json:"created"`
}

// fromCache finishes the rows whose answers are known and returns the others.
func (g *group) fromCache(l *live, reqs []decode.Request, rows []*row) ([]decode.Request, []*row) {
	if g.e.cfg.Cache == nil {
		return reqs, rows
	}
	var keys []CacheKey
	for i, r := range rows {
		if r.key = g.key(l, r, &reqs[i]); r.key != nil {
			keys = append(keys, *r.key)
		}
	}
	if len(keys) == 0 {
		return reqs, rows
	}
	values := g.e.cfg.Cache.Get(keys)
	var restReqs []decode.Request
	var rest []*row
	for i, r := range rows {
		if r.key != nil {
			value := values[0]
			values = values[1:]
			if c, ok := recall(value); ok {
				c.Model = g.model
				r.finish(g.out, c)
				continue
			}
		}
		restReqs, rest = append(restReqs, reqs[i]), append(rest, r)
	}
	return restReqs, rest
}

// recall reads a kept answer.
func recall(value []byte) (Completion, bool) {
	var v kept
	if value == nil || json.Unmarshal(value, &v) != nil {
		return Completion{}, false
	}
	return Completion{Text: v.Text, FinishReason: v.FinishReason, PromptTokens: v.PromptTokens,
		CompletionTokens: v.CompletionTokens, Logprob: v.Logprob, Scores: v.Scores, ScoreTokens: v.ScoreTokens, Cached: true}, true
}

// keep puts a row's answer into the cache, if it has a place there.
func (g *group) keep(r *row, c *Completion) {
	if r.key == nil || c.Err != nil {
		return
	}
	value, err := json.Marshal(kept{Text: c.Text, FinishReason: c.FinishReason, PromptTokens: c.PromptTokens,
		CompletionTokens: c.CompletionTokens, Logprob: c.Logprob, Scores: c.Scores, ScoreTokens: c.ScoreTokens, Created: time.Now().UTC()})
	if err == nil { // a log probability of minus infinity has no JSON: that answer is not kept
		g.e.cfg.Cache.Put(*r.key, value)
	}
}
