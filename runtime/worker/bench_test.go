package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"hyprstream/runtime/decode"
)

// BenchmarkRows decodes batches of short prompts with 32 tokens of output each
// on the real model, and reports tokens per second. HYPRSTREAM_BENCH_THREADS
// sets the compute threads.
func BenchmarkRows(b *testing.B) {
	path, err := filepath.Abs("../../.deps/models/gemma-3-270m-q4_k_m.gguf")
	if err != nil {
		b.Fatal(err)
	}
	threads, _ := strconv.Atoi(os.Getenv("HYPRSTREAM_BENCH_THREADS")) // absent: 0, all cores
	for _, rows := range []int{1, 8, 32, 64} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			p, err := Start(b.Context(), Spec{Path: path, ContextLength: 512, Slots: rows, Threads: threads}, options())
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			reqs := make([]decode.Request, rows)
			for i := range reqs {
				reqs[i] = prompt(fmt.Sprintf("Row %d of a table of reviews says: the hotel was", i), 32)
				reqs[i].Params.IgnoreEOS = true
			}
			tokens, begun := 0, time.Now()
			for b.Loop() {
				rs, err := results(b.Context(), p, reqs)
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range rs {
					tokens += r.CompletionTokens
				}
			}
			took := time.Since(begun).Seconds()
			b.ReportMetric(float64(tokens)/took, "tokens/s")
			if s, err := p.Stats(b.Context()); err == nil {
				b.ReportMetric(s.DecodeSeconds/took, "decoding")
			}
		})
	}
}
