package storage

import parser "github.com/gpustack/gguf-parser-go"

// Defaults of a load, the same as CREATE MODEL's.
const (
	defaultContext = 4096
	defaultSlots   = 32
	microBatch     = 512 // tokens per compute graph
)

// KVShape says what a token costs in the key-value cache, in bytes at the
// 16-bit default. Layers with a sliding window keep only that many tokens.
type KVShape struct {
	TokenBytes  int64 // layers that keep the whole context
	WindowBytes int64 // layers that keep a window
	Window      int64 // tokens
}

// kvShape adds up the layers' heads.
func kvShape(a parser.GGUFArchitecture) KVShape {
	s := KVShape{Window: int64(min(a.AttentionSlidingWindow, 1<<30))}
	key, value := uint64(a.AttentionKeyLength), uint64(a.AttentionValueLength)
	if heads := a.AttentionHeadCount; key == 0 && heads > 0 {
		key = a.EmbeddingLength / heads
	}
	if value == 0 {
		value = key
	}
	for i := range min(a.BlockCount, 4096) {
		heads := a.AttentionHeadCountKV
		if i < uint64(len(a.AttentionHeadCountKVs)) {
			heads = a.AttentionHeadCountKVs[i]
		}
		bytes := int64(2 * min(heads, 1<<16) * min(key+value, 1<<20))
		if i < uint64(len(a.AttentionSlidingWindowLayers)) && a.AttentionSlidingWindowLayers[i] {
			s.WindowBytes += bytes
		} else {
			s.TokenBytes += bytes
		}
	}
	return s
}

// Need is what a loaded model takes, in bytes.
type Need struct {
	Context, Slots int   // tokens of each sequence, and sequences
	Weights        int64 // packed for the kernels
	KV             int64 // key-value cache
	Compute        int64 // buffers of a batch
	Process        int64 // code, buffers of the process itself, the vocabulary
}

// Total is all of it.
func (n Need) Total() int64 { return n.Weights + n.KV + n.Compute + n.Process }

// EstimateMemory is about how many bytes a model will need once loaded with
// contextLength tokens for each of slots sequences (0: the defaults): weights,
// key-value cache and compute buffers. Weights are packed for the kernels, which
// takes a little more than the file; the file's own pages, once read, are the
// system's to take back and do not count. For gemma-3-270m, with the
// default prefix cache of 256 MiB added but nearly empty, it was 3 to 13% above the
// resident memory seen, file pages included: 4 and 128 slots of 512 tokens, 32 of 4,096.
func EstimateMemory(info FileInfo, contextLength, slots int) int64 {
	return EstimateNeed(info, contextLength, slots).Total()
}

// EstimateNeed is EstimateMemory in its parts.
func EstimateNeed(info FileInfo, contextLength, slots int) Need {
	if contextLength <= 0 {
		contextLength = defaultContext
		if info.ContextLength > 0 {
			contextLength = min(contextLength, info.ContextLength)
		}
	}
	if slots <= 0 {
		slots = defaultSlots
	}
	context, n := int64(contextLength), int64(slots)
	if slots >= 8 && slots < 256 { // the worker's sequences for calls that have none
		n += int64(min(max(1, slots/16), 256-slots))
	}
	// A window's cache also holds the batch being computed.
	window := min(context, info.KV.Window+microBatch)
	return Need{
		Context: contextLength, Slots: slots,
		Weights: info.WeightBytes / 4 * 5,
		KV:      n * (context*info.KV.TokenBytes + window*info.KV.WindowBytes),
		// Logits of the rows that are sampled, as computed and as handed over, and a few activations per token of a batch.
		Compute: 2*4*n*int64(info.VocabSize) + 4*16*microBatch*int64(info.EmbeddingLength),
		Process: int64(64<<20) + 128*int64(info.VocabSize),
	}
}

// FitSlots is how many slots a model gets that is created without saying: the
// most, up to the default 32, with which EstimateMemory stays within limit bytes
// (0: no limit), and at least 1.
func FitSlots(info FileInfo, contextLength int, limit int64) int {
	slots := defaultSlots
	for slots > 1 && limit > 0 && EstimateMemory(info, contextLength, slots) > limit {
		slots /= 2
	}
	return slots
}
