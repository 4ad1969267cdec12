package convert

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"hyprstream/errs"
)

const (
	op        = "import"
	jsonBytes = 256 << 20 // the largest JSON file read; tokenizers have some 30 MB
)

// source is a model directory.
type source struct {
	dir   string
	files []string                          // names in it, sorted
	allow func(path string) (string, error) // nil allows all
}

// openSource lists a directory and refuses one that is no SafeTensors model.
func openSource(dir string, allow func(string) (string, error)) (*source, error) {
	s, err := listSource(dir, allow)
	if err == nil && len(s.named(".safetensors")) == 0 {
		err = s.noWeights()
	}
	return s, err
}

func listSource(dir string, allow func(string) (string, error)) (*source, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		code := errs.NotFound
		if errors.Is(err, fs.ErrPermission) {
			code = errs.PermissionDenied
		}
		return nil, errs.Wrap(err, code, op, "the directory %s cannot be read", dir)
	}
	s := &source{dir: dir, allow: allow}
	for _, e := range entries {
		s.files = append(s.files, e.Name())
	}
	return s, nil
}

// IsPickle says whether a file of this name would hold weights as a Python pickle.
func IsPickle(name string) bool {
	return name != "training_args.bin" && slices.Contains([]string{".bin", ".pt", ".pth", ".ckpt", ".pkl"}, strings.ToLower(filepath.Ext(name)))
}

// noWeights says what a directory without SafeTensors holds instead.
func (s *source) noWeights() error {
	if i := slices.IndexFunc(s.files, IsPickle); i >= 0 {
		return errs.New(errs.Unsupported, op, "%s holds its weights in %s, a Python pickle: reading one runs whatever code is in it, so it is refused; "+
			"take the model's *.safetensors files, or save it as such with save_pretrained(dir, safe_serialization=True)", s.dir, s.files[i])
	}
	if ggufs := s.named(".gguf"); len(ggufs) > 0 {
		return errs.New(errs.InvalidArgument, op, "%s is a directory with GGUF files and no *.safetensors; name the file: FROM '%s'", s.dir, filepath.Join(s.dir, ggufs[0]))
	}
	return errs.New(errs.InvalidModelFile, op, "%s holds no model: there is neither a *.safetensors nor a *.gguf file in it", s.dir)
}

// named are the files with one of the endings.
func (s *source) named(endings ...string) (out []string) {
	for _, name := range s.files {
		if slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(strings.ToLower(name), e) }) {
			out = append(out, name)
		}
	}
	return out
}

func (s *source) has(name string) bool { return slices.Contains(s.files, name) }

// open opens a regular file of the directory for reading.
func (s *source) open(name string) (*os.File, fs.FileInfo, error) {
	path, err := filepath.Join(s.dir, name), error(nil)
	if s.allow != nil { // a link in the directory may lead out of it
		if path, err = s.allow(path); err != nil {
			return nil, nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold us up
	if err != nil {
		code := errs.InvalidModelFile
		switch {
		case errors.Is(err, fs.ErrNotExist):
			code = errs.NotFound
		case errors.Is(err, fs.ErrPermission):
			code = errs.PermissionDenied
		}
		return nil, nil, errs.Wrap(err, code, op, "the model in %s lacks %s", s.dir, name)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errs.New(errs.InvalidModelFile, op, "%s is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, st, nil
}

// read is the whole of a small file.
func (s *source) read(name string) ([]byte, error) {
	f, st, err := s.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st.Size() > jsonBytes {
		return nil, s.bad(name, "it has %d bytes; at most %d make sense", st.Size(), jsonBytes)
	}
	text, err := io.ReadAll(io.LimitReader(f, jsonBytes))
	if err != nil {
		return nil, errs.Wrap(err, errs.InvalidModelFile, op, "cannot read %s", filepath.Join(s.dir, name))
	}
	return text, nil
}

// decode reads a JSON file into v.
func (s *source) decode(name string, v any) error {
	text, err := s.read(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return s.bad(name, "%v", err)
	}
	return nil
}

// bad is the error of a file whose content makes no sense.
func (s *source) bad(name, format string, args ...any) error {
	return errs.New(errs.InvalidModelFile, op, "%s is not usable: "+format, append([]any{filepath.Join(s.dir, name)}, args...)...)
}

// unsupported is the error of a sound file that cannot be converted.
func (s *source) unsupported(name, format string, args ...any) error {
	return errs.New(errs.Unsupported, op, "%s: "+format, append([]any{filepath.Join(s.dir, name)}, args...)...)
}
