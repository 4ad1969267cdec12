package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/llama"
)

// Defaults of a Spec's zero fields.
const (
	defaultSlots   = 32
	defaultContext = 4096 // or what the model was trained on, if less
	defaultBatch   = 512

	DefaultPrefixBytes = 256 << 20 // of a Spec without PrefixBytes, and of a model without prefix_cache
)

// spareSlots is how many sequences a context has beside its slots, for calls
// that have no row in one: storage.EstimateMemory counts the same. llama.cpp has
// at most 256 sequences.
func spareSlots(slots int) int {
	if slots < 8 || slots > 256 {
		return 0
	}
	return min(max(1, slots/16), 256-slots)
}

// verify hashes the file and compares. progress is called with 0..1.
func verify(ctx context.Context, path, want string, progress func(float64)) error {
	f, err := os.Open(path)
	if err != nil {
		return errs.New(errs.InvalidModelFile, "load", "the model file %s cannot be opened: %v", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errs.New(errs.InvalidModelFile, "load", "%s is not a regular file", path)
	}
	if want == "" {
		return nil
	}
	h, done, buf := sha256.New(), int64(0), make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		done += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return errs.New(errs.InvalidModelFile, "load", "the model file %s cannot be read: %v", path, err)
		}
		progress(float64(done) / float64(max(1, info.Size())))
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, want) {
		return errs.New(errs.DigestMismatch, "load",
			"the model file %s is not what was imported: its SHA-256 is %s…, expected %s…; import it again", path, got[:12], want[:min(12, len(want))])
	}
	return nil
}

// engine puts llama.cpp under the loop: it is a decode.Backend and a
// decode.Vocab. It owns model, contexts and adapters.
type engine struct {
	model    *llama.Model
	ctx      *llama.Context // nil: the model is an encoder, and only embeds
	batch    int            // tokens per Decode
	threads  int
	adapters map[string]*llama.Adapter // by path; freed with the model
	embedder *embedder
	turn     sync.Mutex // held by whichever context computes: side by side both are slower

	token, pos, seq []int32 // of the batch; the loop's goroutine's
	out             []int8
}

// load brings a model up as spec says, ready to decode.
func load(spec *Spec, progress func(float64)) (*engine, decode.Info, error) {
	name := filepath.Base(spec.Path)
	m, err := llama.Load(spec.Path, llama.LoadOptions{
		GPULayers: spec.GPULayers,
		Progress:  func(f float64) bool { progress(f); return true },
	})
	if err != nil {
		return nil, decode.Info{}, loadError(err, "the model file "+spec.Path+" cannot be loaded",
			"check that it is a whole GGUF file of a language model")
	}
	slots := spec.Slots
	if slots == 0 {
		slots = defaultSlots
	}
	o := llama.ContextOptions{Length: spec.ContextLength, Slots: slots + spareSlots(slots), Batch: spec.BatchSize, Threads: spec.Threads}
	if o.Length == 0 {
		o.Length = min(defaultContext, m.TrainedContext())
	}
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	o.Batch = max(o.Batch, o.Slots)
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0) // what the container grants, not what the machine has
	}
	c, err := newContext(m, o, spec.GPULayers != 0)
	if err != nil {
		m.Close()
		return nil, decode.Info{}, loadError(err,
			fmt.Sprintf("the model %s cannot get a context of %d tokens in %d slots", name, o.Length, slots),
			"lower context_length or slots")
	}
	e := &engine{model: m, ctx: c, batch: c.BatchSize(), threads: o.Threads, adapters: map[string]*llama.Adapter{}}
	info := decode.Info{
		ContextLength: min(o.Length, c.SequenceLength()), Slots: slots, Vocabulary: m.Size(), Embedding: m.Embedding(),
		Parameters: m.Parameters(), WeightBytes: m.WeightBytes(), ChatTemplate: m.ChatTemplate(),
		BOS: e.special(m.BOS()), EOS: e.special(m.EOS()), AddsBOS: m.AddsBOS(), Build: build(), Machine: llama.System(),
	}
	if !c.Decodes() {
		c.Close()
		e.ctx = nil
		info.EmbedsOnly, info.Slots, info.ContextLength = true, 0, min(o.Length, m.TrainedContext())
	}
	e.embedder = &embedder{model: m, turn: &e.turn, batch: e.batch, longest: info.ContextLength, threads: o.Threads}
	if err := e.try(); err != nil {
		e.close()
		return nil, decode.Info{}, loadError(err, "the model file "+spec.Path+" loads but does not compute", "convert or download it again")
	}
	return e, info, nil
}

// try computes a little. It pays for what is allocated late, and finds out
// whether the model computes at all.
func (e *engine) try() error {
	if e.ctx == nil {
		return e.embedder.embed(context.Background(), []string{""}, func([]Vector) {})
	}
	if err := e.Decode([]decode.Entry{{Token: e.Start(), Output: true}}); err != nil {
		return err
	}
	e.Clear(-1)
	return nil
}

// options are those of the loop over e.
func (e *engine) options(info decode.Info, spec *Spec) decode.Options {
	return decode.Options{
		Info: info, Spare: spareSlots(info.Slots), BatchSize: e.batch, Threads: e.threads, PrefixBytes: spec.prefixBytes(),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
}

// newContext refuses what cannot fit at once: left alone, an absurd size is
// filled for a minute before it fails. An accelerator's memory is not known here.
func newContext(m *llama.Model, o llama.ContextOptions, accelerated bool) (*llama.Context, error) {
	if free, least := FreeMemory(), m.LeastContextBytes(o); !accelerated && free > 0 && least > free {
		return nil, fmt.Errorf("out of memory: it needs more than %d MiB and %d MiB are free", least>>20, free>>20)
	}
	return m.NewContext(o)
}

// loadError tells a lack of memory from a bad file.
func loadError(err error, what, remedy string) error {
	text := strings.ToLower(err.Error())
	for _, sign := range []string{"failed to allocate", "unable to allocate", "bad_alloc", "out of memory", "cannot allocate", "insufficient memory"} {
		if strings.Contains(text, sign) {
			return errs.New(errs.OutOfMemory, "load", "%s: %v; lower context_length or slots, or free memory", what, err)
		}
	}
	code := errs.InvalidModelFile
	if strings.Contains(remedy, "slots") {
		code = errs.InvalidArgument
	}
	return errs.New(code, "load", "%s: %v; %s", what, err, remedy)
}

func (e *engine) close() {
	e.embedder.close()
	if e.ctx != nil {
		e.ctx.Close()
	}
	e.model.Close()
}

// Decode implements decode.Backend.
func (e *engine) Decode(batch []decode.Entry) error {
	e.token, e.pos, e.seq, e.out = e.token[:0], e.pos[:0], e.seq[:0], e.out[:0]
	for _, b := range batch {
		var out int8
		if b.Output {
			out = 1
		}
		e.token, e.pos = append(e.token, b.Token), append(e.pos, b.Pos)
		e.seq, e.out = append(e.seq, b.Slot), append(e.out, out)
	}
	e.turn.Lock()
	defer e.turn.Unlock()
	err := e.ctx.Decode(e.token, e.pos, e.seq, e.out)
	if errors.Is(err, llama.ErrFull) {
		return decode.ErrFull
	}
	return err
}

// Clear implements decode.Backend.
func (e *engine) Clear(slot int) { e.ctx.Remove(slot) }

// Truncate implements decode.Backend.
func (e *engine) Truncate(slot, length int) bool { return e.ctx.Truncate(slot, length) }

// Logprobs implements decode.Backend.
func (e *engine) Logprobs(i int, tokens []decode.Token) ([]float64, error) {
	return e.ctx.Logprobs(i, tokens)
}

// Save implements decode.Backend.
func (e *engine) Save(slot int) (decode.Snapshot, error) {
	s, err := e.ctx.Save(slot)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Restore implements decode.Backend.
func (e *engine) Restore(slot int, s decode.Snapshot) error {
	own, ok := s.(*llama.Snapshot)
	if !ok {
		return fmt.Errorf("slot %d: a snapshot of another engine", slot)
	}
	return e.ctx.Restore(slot, own)
}

// Revive implements decode.Backend.
func (e *engine) Revive(data []byte) (decode.Snapshot, error) {
	s, err := llama.Revive(data)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Adapt implements decode.Backend. A file is read once; its path holds one
// content for ever.
func (e *engine) Adapt(adapters []decode.Adapter) error {
	e.turn.Lock()
	defer e.turn.Unlock()
	loaded := make([]*llama.Adapter, len(adapters))
	scales := make([]float32, len(adapters))
	for i, a := range adapters {
		if e.adapters[a.Path] == nil {
			l, err := e.model.LoadAdapter(a.Path)
			if err != nil {
				return errs.New(errs.InvalidModelFile, "adapter",
					"the adapter file %s cannot be applied to this model: %v; it must be a GGUF LoRA made for it", a.Path, err)
			}
			e.adapters[a.Path] = l
		}
		loaded[i], scales[i] = e.adapters[a.Path], a.Scale
	}
	return e.ctx.SetAdapters(loaded, scales)
}

// Sampler implements decode.Backend.
func (e *engine) Sampler(p decode.Params, prompt []decode.Token) (decode.Sampler, error) {
	s, err := e.model.NewSampler(llama.SamplerOptions{
		Temperature: p.Temperature, TopP: p.TopP, TopK: p.TopK, MinP: p.MinP, RepeatPenalty: p.RepeatPenalty,
		Seed: p.Seed, Grammar: p.Grammar, IgnoreEOG: p.IgnoreEOS,
	}, prompt)
	if err != nil {
		return nil, err
	}
	return &sampler{s, e.ctx}, nil
}

type sampler struct {
	*llama.Sampler
	ctx *llama.Context
}

// Sample implements decode.Sampler.
func (s *sampler) Sample(i int, logprob bool) (decode.Token, float64, error) {
	return s.Sampler.Sample(s.ctx, i, logprob)
}

// Tokenize implements decode.Vocab. Neighbours of one kind are joined, so that
// where a segment ends does not show in the tokens.
func (e *engine) Tokenize(segs []decode.Segment, addBOS bool) ([]decode.Token, error) {
	var out []decode.Token
	if addBOS && e.model.AddsBOS() && e.model.BOS() >= 0 {
		out = append(out, e.model.BOS())
	}
	for i := 0; i < len(segs); {
		text, special := segs[i].Text, segs[i].Special
		for i++; i < len(segs) && segs[i].Special == special; i++ {
			text += segs[i].Text
		}
		continued := len(out) > 0 && !e.model.Control(out[len(out)-1])
		tokens, err := e.model.Tokenize(text, special, continued)
		if err != nil {
			return nil, err
		}
		out = append(out, tokens...)
	}
	return out, nil
}

// Continue implements decode.Vocab.
func (e *engine) Continue(text string) ([]decode.Token, error) {
	return e.model.Tokenize(text, false, true)
}

// AppendPiece implements decode.Vocab.
func (e *engine) AppendPiece(dst []byte, t decode.Token, special bool) []byte {
	return e.model.AppendPiece(dst, t, special)
}

// EndsGeneration implements decode.Vocab.
func (e *engine) EndsGeneration(t decode.Token) bool { return e.model.EndsGeneration(t) }

// MaxPiece implements decode.Vocab.
func (e *engine) MaxPiece() int { return e.model.MaxPiece() }

// Start implements decode.Vocab.
func (e *engine) Start() decode.Token {
	for _, t := range []decode.Token{e.model.BOS(), e.model.Newline(), e.model.EOS()} {
		if t >= 0 {
			return t
		}
	}
	return 0
}

func (e *engine) special(t decode.Token) string {
	if t < 0 {
		return ""
	}
	return string(e.model.AppendPiece(nil, t, true))
}

// build names the engine: what computes the same model the same way.
func build() string {
	name := "llama.cpp " + llama.Version()
	if llama.OwnKernels() {
		name += ", AVX512-VNNI kernels"
	}
	return name
}
