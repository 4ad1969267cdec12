package peft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/gguf"
	"hyprstream/storage/safetensors"
)

const (
	op = "peft"
	// ConfigName is the file by which a directory is known to hold an adapter.
	ConfigName  = "adapter_config.json"
	tensorsName = "adapter_model.safetensors"
	pickleName  = "adapter_model.bin"

	maxConfig = 4 << 20 // bytes
)

// Files are what is read of a directory.
var Files = []string{ConfigName, tensorsName}

// Dir is an adapter's directory, looked at.
type Dir struct {
	path, config, tensors string
}

// Find looks for an adapter in a directory. allow gives the path by which a file
// may be read, or says why not; nil allows all. Errors: InvalidModelFile where it is none,
// Unsupported where it has a pickle, allow's.
func Find(dir string, allow func(path string) (string, error)) (*Dir, error) {
	d := &Dir{path: dir}
	for _, f := range []struct {
		name string
		to   *string
	}{{ConfigName, &d.config}, {tensorsName, &d.tensors}} {
		path := filepath.Join(dir, f.name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, d.lacks(f.name)
		}
		if allow != nil {
			real, err := allow(path)
			if err != nil {
				return nil, err
			}
			path = real
		}
		*f.to = path
	}
	return d, nil
}

func (d *Dir) lacks(name string) error {
	if _, err := os.Stat(filepath.Join(d.path, pickleName)); err == nil && name == tensorsName {
		return errs.New(errs.Unsupported, op, "%s holds a Python pickle (%s), which can run any program when it is read: save the adapter as SafeTensors (save_pretrained with safe_serialization)", d.path, pickleName)
	}
	return errs.New(errs.InvalidModelFile, op, "%s is no adapter's directory: it lacks %s; name a GGUF LoRA file, or a directory that PEFT saved", d.path, name)
}

// Convert writes the adapter as a GGUF LoRA for a model. The same directory and
// model give the same bytes. Errors: InvalidModelFile (damaged), Unsupported
// (the adapter does what a LoRA here cannot), InvalidArgument (it does not fit
// the model), each naming the file and the tensor; ctx's; w's. progress, which may
// be nil, hears of bytes written on the caller's goroutine.
func (d *Dir) Convert(ctx context.Context, base storage.Base, w io.Writer, progress func(done, total int64)) error {
	if !slices.Contains(architectures, base.Architecture) {
		return otherArchitecture(base)
	}
	x, err := d.open()
	if err != nil {
		return err
	}
	defer x.file.Close()
	pairs, err := match(x.tensors, x.config, base)
	if err == nil {
		err = write(ctx, w, x.file, x.config, base, pairs, progress)
	}
	if err == nil {
		err = x.unchanged()
	}
	if err != nil && ctx.Err() == nil {
		return errs.Wrap(err, codeOf(err), op, "%s", d.tensors)
	}
	return err
}

func otherArchitecture(base storage.Base) error {
	return errs.New(errs.Unsupported, op, "PEFT adapters for models of architecture %q cannot be converted; they can for %v", base.Architecture, architectures)
}

// codeOf is an error's own code; what comes without one is of a damaged file.
func codeOf(err error) errs.Code {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return errs.InvalidModelFile
}

// out is a tensor of the GGUF file and how its numbers come about.
type out struct {
	gguf.Tensor
	from   *safetensors.Tensor
	factor float64
	heads  int // by which rows are reordered, 0 for not at all
}

// outputs are the tensors of the pairs. llama.cpp multiplies by alpha over the
// rank; what a module's own factor is beyond that goes into its B.
func outputs(c *config, base storage.Base, pairs []*pair) (list []out) {
	for _, p := range pairs {
		k := p.scale * float64(p.a.Shape[0]) / c.Alpha
		list = append(list,
			out{gguf.Tensor{Name: p.tensor + ".lora_a", Shape: p.a.Shape, Type: gguf.F32}, p.a, 1, 0},
			out{gguf.Tensor{Name: p.tensor + ".lora_b", Shape: p.b.Shape, Type: gguf.F32}, p.b, k, heads(base, p.tensor)})
	}
	return list
}

func (o *out) values(f io.ReaderAt) ([]float32, error) {
	data, err := o.from.Floats(f)
	if err != nil {
		return nil, err
	}
	if o.factor != 1 {
		for i := range data {
			data[i] = float32(float64(data[i]) * o.factor)
			if math.IsInf(float64(data[i]), 0) {
				return nil, fmt.Errorf("tensor %.100q times its alpha is beyond any number", o.from.Name)
			}
		}
	}
	if o.heads > 0 {
		data = reorder(data, int(o.Shape[1]), o.heads)
	}
	return data, nil
}

// write writes the pairs, with values from f.
func write(ctx context.Context, w io.Writer, f io.ReaderAt, c *config, base storage.Base, pairs []*pair, progress func(done, total int64)) error {
	var meta gguf.Metadata
	meta.String("general.architecture", base.Architecture)
	meta.String("general.type", storage.KindAdapter)
	meta.String("adapter.type", "lora")
	if c.BaseSHA256 != "" {
		meta.String(storage.BaseDigestKey, c.BaseSHA256)
	}
	meta.Float32("adapter.lora.alpha", c.Alpha)
	list := outputs(c, base, pairs)
	heads := make([]gguf.Tensor, len(list))
	done, total := int64(0), int64(0)
	for i := range list {
		heads[i] = list[i].Tensor
		total += int64(gguf.Padded(list[i].Bytes()))
	}
	if _, err := w.Write(meta.Header(heads)); err != nil {
		return err
	}
	for i := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := list[i].values(f)
		if err != nil {
			return err
		}
		raw := make([]byte, 0, gguf.Padded(list[i].Bytes()))
		for _, v := range data {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		if _, err := w.Write(raw[:cap(raw)]); err != nil { // with the padding
			return err
		}
		done += int64(cap(raw))
		if progress != nil {
			progress(done, total)
		}
	}
	return nil
}
