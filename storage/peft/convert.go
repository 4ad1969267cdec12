package peft

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"hyprstream/errs"
	"hyprstream/storage"
)

const (
	op = "peft"
	// Files of an adapter's directory.
	configName  = "adapter_config.json"
	tensorsName = "adapter_model.safetensors"
	pickleName  = "adapter_model.bin"

	maxConfig = 4 << 20 // bytes
)

// Dir is an adapter's directory, looked at.
type Dir struct {
	path, config, tensors string
}

// Find looks for an adapter in a directory. allow gives the path by which a file
// may be read, or says why not. Errors: InvalidModelFile where it is none,
// Unsupported where it has a pickle, allow's.
func Find(dir string, allow func(path string) (string, error)) (*Dir, error) {
	d := &Dir{path: dir}
	for _, f := range []struct {
		name string
		to   *string
	}{{configName, &d.config}, {tensorsName, &d.tensors}} {
		path := filepath.Join(dir, f.name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, d.lacks(f.name)
		}
		real, err := allow(path)
		if err != nil {
			return nil, err
		}
		*f.to = real
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
// the model), each naming the file and the tensor; ctx's; w's.
func (d *Dir) Convert(ctx context.Context, base storage.Base, w io.Writer) error {
	if !slices.Contains(architectures, base.Architecture) {
		return errs.New(errs.Unsupported, op, "PEFT adapters for models of architecture %q cannot be converted; they can for %v", base.Architecture, architectures)
	}
	text, err := readSmall(d.config)
	if err != nil {
		return err
	}
	c, err := readConfig(d.config, text)
	if err != nil {
		return err
	}
	f, err := os.Open(d.tensors)
	if err != nil {
		return errs.Wrap(err, errs.InvalidModelFile, op, "cannot read %s", d.tensors)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return errs.New(errs.InvalidModelFile, op, "%s is not a regular file", d.tensors)
	}
	t, err := openTensors(f, st.Size())
	if err != nil {
		return errs.Wrap(err, errs.InvalidModelFile, op, "%s is not usable", d.tensors)
	}
	pairs, err := match(t, c, base)
	if err == nil {
		err = write(ctx, w, t, c, base, pairs)
	}
	if err != nil && ctx.Err() == nil {
		return errs.Wrap(err, codeOf(err), op, "%s", d.tensors)
	}
	return err
}

// codeOf is an error's own code; what comes without one is of a damaged file.
func codeOf(err error) errs.Code {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return errs.InvalidModelFile
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errs.Wrap(err, errs.InvalidModelFile, op, "cannot read %s", path)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil || len(text) > maxConfig {
		return nil, errs.New(errs.InvalidModelFile, op, "%s is not a readable file of %d bytes at most", path, maxConfig)
	}
	return text, nil
}

// write writes the pairs. llama.cpp multiplies by alpha over the rank; what a
// module's own factor is beyond that goes into its B.
func write(ctx context.Context, w io.Writer, f *file, c *config, base storage.Base, pairs []*pair) error {
	entries := make([]entry, 0, 2*len(pairs))
	for _, p := range pairs {
		a, b := p.a.Shape, p.b.Shape
		entries = append(entries,
			entry{p.tensor + ".lora_a", [2]uint64{a[1], a[0]}, func() ([]float32, error) {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				return f.read(*p.a)
			}},
			entry{p.tensor + ".lora_b", [2]uint64{b[1], b[0]}, func() ([]float32, error) {
				data, err := f.read(*p.b)
				if err != nil {
					return nil, err
				}
				if k := p.scale * float64(a[0]) / c.Alpha; k != 1 {
					for i := range data {
						data[i] = float32(float64(data[i]) * k)
						if math.IsInf(float64(data[i]), 0) {
							return nil, errors.New("its tensor " + p.b.name + " times its alpha is beyond any number")
						}
					}
				}
				if n := heads(base, p.tensor); n > 0 {
					data = reorder(data, int(b[1]), n)
				}
				return data, nil
			}})
	}
	texts := [][2]string{{"general.architecture", base.Architecture}, {"general.type", storage.KindAdapter}, {"adapter.type", "lora"}}
	if c.BaseSHA256 != "" {
		texts = append(texts, [2]string{storage.BaseDigestKey, c.BaseSHA256})
	}
	return writeGGUF(w, texts, float32(c.Alpha), entries)
}
