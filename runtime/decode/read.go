package decode

import (
	"sync"
	"sync/atomic"
)

// read is what is made of the logits after one entry of a batch: the next
// token, or the log probabilities of tokens.
type read struct {
	s     *sequence
	entry int
	among []Token // of a scoring, whose log probabilities are wanted; nil: a token is chosen

	token    Token
	logprob  float64
	logprobs []float64
	err      error
}

// toRead appends what is to be read for a sequence that has moved past its part
// of the batch, which ended before entry end.
func (s *sequence) toRead(dst []read, end int) []read {
	sc := s.job.scoring
	if sc == nil {
		if len(s.pending) == 0 {
			dst = append(dst, read{s: s, entry: end - 1})
		}
		return dst
	}
	got := max(0, sc.want-len(s.pending))
	for i := range got {
		nd := &sc.nodes[sc.order[sc.next+i]]
		among := make([]Token, len(nd.children))
		for c, child := range nd.children {
			among[c] = sc.nodes[child].token
		}
		dst = append(dst, read{s: s, entry: end - got + i, among: among})
	}
	return dst
}

// readAlone is how many logits are read before a second goroutine could help.
const readAlone = 1 << 17

// read reads them all, side by side where there is much: a large vocabulary
// takes a tenth of a millisecond per sequence, as long as a GPU's share of a step.
func (l *Loop) read(all []read) {
	side := min(len(all), l.opt.Threads, len(all)*l.opt.Info.Vocabulary/readAlone)
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
			all[i].run(l.backend)
		}
	}
	var wg sync.WaitGroup
	for range side - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}

func (r *read) run(b Backend) {
	if r.among != nil {
		r.logprobs, r.err = b.Logprobs(r.entry, r.among)
		return
	}
	r.token, r.logprob, r.err = r.s.sampler.Sample(r.entry, r.s.job.req.Logprobs)
}
