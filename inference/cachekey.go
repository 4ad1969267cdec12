package inference

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"slices"

	"hyprstream/runtime/decode"
)

// keyVersion is raised when the loop changes what is said to equal keys, or when
// a kept value changes its meaning: older entries are found no more.
const keyVersion = 1

// key is a row's place in the cache: a digest of all that decides its answer.
// Nil: the row does not use the cache, or it is not known which files it uses.
// The deadline and the seed are not in it: they decide nothing at temperature 0
// that succeeds.
func (g *group) key(l *live, r *row, req *decode.Request) *CacheKey {
	if r.req.Cache != CachePersistent || req.Params.Temperature != 0 || l.model.SHA256 == "" {
		return nil
	}
	adapters, known := g.adapterDigests(r.req.Adapters)
	if !known {
		return nil
	}
	k := fields{sha256.New()}
	k.number("version", keyVersion)
	k.text("engine", l.info.Build)
	k.text("model", l.model.SHA256)
	k.number("context_length", uint64(l.info.ContextLength)) // it ends long answers
	for _, a := range adapters {
		k.text("adapter", a.sha256)
		k.float("scale", a.scale)
	}
	// The prompt as the template made it; so the template itself need not be here.
	for _, s := range req.Prompt {
		k.text("prompt", s.Text)
		k.truth("special", s.Special)
	}
	k.truth("bos", req.AddBOS)
	k.truth("plain", r.plain) // white space is trimmed
	k.truth("logprobs", req.Logprobs)
	k.params(&req.Params)
	for _, s := range req.Continuations {
		k.text("continuation", s)
	}
	sum := CacheKey(k.h.Sum(nil))
	return &sum
}

// fields hashes values, each under its name and with its length, so that no two
// lists of fields have one encoding. A new field that is left out where it has no
// effect leaves the other keys as they are.
type fields struct{ h hash.Hash }

func (k fields) text(name, v string) {
	var n [16]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(name)))
	binary.LittleEndian.PutUint64(n[8:], uint64(len(v)))
	k.h.Write(n[:])
	k.h.Write([]byte(name))
	k.h.Write([]byte(v))
}

func (k fields) number(name string, v uint64) {
	k.text(name, string(binary.LittleEndian.AppendUint64(nil, v)))
}

func (k fields) float(name string, v float32) { k.number(name, uint64(math.Float32bits(v))) }

func (k fields) truth(name string, v bool) {
	if v {
		k.number(name, 1)
	} else {
		k.number(name, 0)
	}
}

func (k fields) params(p *decode.Params) {
	k.number("max_tokens", uint64(p.MaxTokens))
	k.float("top_p", p.TopP)
	k.number("top_k", uint64(p.TopK))
	k.float("min_p", p.MinP)
	k.float("repeat_penalty", p.RepeatPenalty)
	for _, s := range p.Stop {
		k.text("stop", s)
	}
	k.text("grammar", p.Grammar)
	k.truth("ignore_eos", p.IgnoreEOS)
}

// adapterDigest is a file that is added to the model's weights.
type adapterDigest struct {
	sha256 string
	scale  float32
}

// adapterDigests is the set that a row's adapters amount to, as the loop sees it:
// equal files are one with the sum of their scales, and order is nothing. The
// names were resolved when the request was made.
func (g *group) adapterDigests(uses []AdapterUse) (set []adapterDigest, known bool) {
	for _, use := range uses {
		for _, f := range g.adapters[use].files {
			if f.sha256 == "" {
				return nil, false
			}
			i := slices.IndexFunc(set, func(d adapterDigest) bool { return d.sha256 == f.sha256 })
			if i < 0 {
				set = append(set, adapterDigest{f.sha256, f.scale})
			} else {
				set[i].scale += f.scale
			}
		}
	}
	set = slices.DeleteFunc(set, func(d adapterDigest) bool { return d.scale == 0 })
	slices.SortFunc(set, func(a, b adapterDigest) int { return cmp.Compare(a.sha256, b.sha256) })
	return set, true
}
