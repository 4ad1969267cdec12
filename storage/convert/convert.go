package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/gguf"
)

// Plan is a model directory that has been read and checked: all that its GGUF
// file will hold is known but the weights' values.
type Plan struct {
	source  *source
	config  *config
	weights *weights
	prefix  string // of the tensors' names

	meta    gguf.Metadata
	tensors []tensor
}

// Open reads a directory and checks that it can be converted. allow says whether
// a file may be read and by which path; nil allows all.
//
// Errors: NotFound; InvalidModelFile, naming the file and the tensor or the key;
// Unsupported for what is sound but cannot be converted (a family, a type, pickle
// files) with what can; allow's.
func Open(dir string, allow func(path string) (string, error)) (*Plan, error) {
	s, err := openSource(dir, allow)
	if err != nil {
		return nil, err
	}
	p := &Plan{source: s}
	var fam *family
	if p.config, fam, err = s.readConfig(); err != nil {
		return nil, err
	}
	v, err := s.readTokenizer(p.config)
	if err != nil {
		return nil, err
	}
	if p.weights, err = s.readWeights(); err != nil {
		return nil, err
	}
	if err := fam.plan(p); err != nil {
		return nil, err
	}
	left := p.weights.unused(func(name string) bool {
		return slices.ContainsFunc(fam.ignored, func(part string) bool { return strings.Contains(name, part) })
	})
	if left != "" {
		return nil, s.unsupported(p.weights.entries[left].file, "tensor %.100s has no place in a %s model; without it the answers would be others", left, fam.title)
	}
	p.meta.Uint32("general.file_type", p.fileType())
	v.write(&p.meta)
	return p, nil
}

// common adds the keys that all families have.
func (p *Plan) common(arch string) {
	c := p.config
	p.meta.String("general.architecture", arch)
	p.meta.String("general.type", "model")
	if c.Name != "" {
		p.meta.String("general.name", filepath.Base(c.Name))
	}
	p.meta.Uint32(arch+".block_count", c.Layers)
	p.meta.Uint32(arch+".context_length", c.Positions)
	p.meta.Uint32(arch+".embedding_length", c.Hidden)
	p.meta.Uint32(arch+".feed_forward_length", c.FFN)
	p.meta.Uint32(arch+".attention.head_count", c.Heads)
}

// findPrefix finds out whether names begin with prefix: those of a model with a
// head do, those of one without do not.
func (p *Plan) findPrefix(name, prefix string) {
	if p.weights.entries[prefix+name] != nil {
		p.prefix = prefix
	}
}

// fileType is llama.cpp's number for the type that most matrices have.
func (p *Plan) fileType() int {
	size := map[gguf.Type]uint64{}
	for i := range p.tensors {
		if t := &p.tensors[i]; len(t.Shape) > 1 {
			size[t.Type] += t.Elements()
		}
	}
	switch {
	case size[gguf.BF16] > max(size[gguf.F16], size[gguf.F32]):
		return 32
	case size[gguf.F16] > size[gguf.F32]:
		return 1
	}
	return 0
}

// header is everything in front of the weights.
func (p *Plan) header() []byte {
	list := make([]gguf.Tensor, len(p.tensors))
	for i := range p.tensors {
		list[i] = p.tensors[i].Tensor
	}
	return p.meta.Header(list)
}

// Bytes is the size of the GGUF file.
func (p *Plan) Bytes() int64 {
	n := uint64(len(p.header()))
	for i := range p.tensors {
		n += gguf.Padded(p.tensors[i].Bytes())
	}
	return int64(n)
}

// SourceBytes is the size of the directory's weights.
func (p *Plan) SourceBytes() (n int64) {
	for _, st := range p.weights.files {
		n += st.Size()
	}
	return n
}

// Info is what the GGUF file will say of itself, and where want names a type,
// about what it will be in that.
func (p *Plan) Info(want Quantisation) (storage.FileInfo, error) {
	info, err := storage.InspectHead(p.header(), p.Bytes())
	if err != nil || want.Name == "" {
		return info, err
	}
	info.Quantisation, info.Types = want.Name, nil
	info.WeightBytes = want.Bytes(p.Parameters())
	info.Bytes = int64(len(p.header())) + info.WeightBytes
	return info, nil
}

// Parameters is the number of weights.
func (p *Plan) Parameters() int64 {
	n := uint64(0)
	for i := range p.tensors {
		n += p.tensors[i].Elements()
	}
	return int64(n)
}

// Key identifies the conversion: what differs but for the weights' values has
// another.
func (p *Plan) Key() []byte { return append([]byte(p.source.dir+"\x00"), p.header()...) }

// Write writes the GGUF file to out; the same directory gives the same bytes.
// progress, which may be nil, hears of bytes written on the caller's goroutine.
// Errors: InvalidModelFile when the directory has changed since Open; the
// context's; out's.
func (p *Plan) Write(ctx context.Context, out io.Writer, progress func(done, total int64)) error {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	err := (&writer{ctx: ctx, plan: p, out: out, progress: progress, total: p.Bytes()}).all()
	var coded *errs.Error
	switch {
	case err == nil, errors.As(err, &coded):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return errs.Wrap(err, errs.Internal, op, "cannot convert %s", p.source.dir)
}

// writer copies the weights.
type writer struct {
	ctx         context.Context
	plan        *Plan
	out         io.Writer
	in          *os.File // the shard at hand
	shard       string
	progress    func(done, total int64)
	done, total int64
}

func (w *writer) write(b []byte) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	n, err := w.out.Write(b)
	w.done += int64(n)
	w.progress(w.done, w.total)
	return err
}

func (w *writer) all() error {
	defer func() {
		if w.in != nil {
			w.in.Close()
		}
	}()
	if err := w.write(w.plan.header()); err != nil {
		return err
	}
	for i := range w.plan.tensors {
		t := &w.plan.tensors[i]
		if err := w.tensor(t); err != nil {
			return err
		}
		if pad := gguf.Padded(t.Bytes()) - t.Bytes(); pad > 0 {
			if err := w.write(make([]byte, pad)); err != nil {
				return err
			}
		}
	}
	for name := range w.plan.weights.files { // what was copied must be what was checked
		if err := w.open(name); err != nil {
			return err
		}
	}
	return nil
}

// open makes a shard the one at hand, and checks that it is the one Open saw.
func (w *writer) open(name string) error {
	if w.in != nil {
		w.in.Close()
		w.in = nil
	}
	f, st, err := w.plan.source.open(name)
	if err != nil {
		return err
	}
	w.in, w.shard = f, name
	if !storage.Unchanged(w.plan.weights.files[name], st) {
		return w.plan.source.bad(name, "it changed while it was converted; try again when it is complete")
	}
	return nil
}

const chunk = 1 << 20 // bytes read at once

// tensor copies one tensor: as it is, widened, or with its rows reordered.
func (w *writer) tensor(t *tensor) error {
	if t.from == nil {
		b := make([]byte, 0, 4*len(t.data))
		for _, v := range t.data {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		return w.write(b)
	}
	if w.shard != t.from.file {
		if err := w.open(t.from.file); err != nil {
			return err
		}
	}
	kind := kinds[t.from.Type]
	buf, wide := make([]byte, min(chunk, t.from.Bytes)), []byte(nil)
	copied := func(offset int64, n int64) error {
		for n > 0 {
			part := buf[:min(n, int64(len(buf)))]
			if _, err := w.in.ReadAt(part, t.from.Offset+offset); err != nil {
				if errors.Is(err, io.EOF) {
					return w.plan.source.bad(t.from.file, "it ends inside tensor %s; it was shortened while it was converted", t.from.Name)
				}
				return err
			}
			offset, n = offset+int64(len(part)), n-int64(len(part))
			if kind != t.Type {
				wide = slices.Grow(wide[:0], 2*len(part))[:2*len(part)]
				widen(wide, part, kind)
				part = wide
			}
			if err := w.write(part); err != nil {
				return err
			}
		}
		return nil
	}
	if t.heads == 0 {
		return copied(0, t.from.Bytes)
	}
	rows := int64(t.Shape[0])
	row := t.from.Bytes / rows
	for i := range rows {
		if err := copied(gguf.RotaryRow(i, rows/int64(t.heads))*row, row); err != nil {
			return err
		}
	}
	return nil
}
