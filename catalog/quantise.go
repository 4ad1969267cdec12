package catalog

import (
	"context"
	"os"
	"slices"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert"
)

// Quantise writes the GGUF model at in to out with weights of another type, a
// number of llama.cpp's llama_ftype.
type Quantise func(ctx context.Context, in, out string, ftype int32, progress func(fraction float64)) error

// quantiseFile makes a blob of a GGUF file.
func (s *Statements) quantiseFile(ctx context.Context, path string, want convert.Quantisation) (out imported, err error) {
	if out.info, err = storage.Inspect(path); err != nil {
		return out, err
	}
	if err := s.quantisable(path, out.info, want); err != nil {
		return out, err
	}
	was, err := os.Stat(path)
	if err != nil {
		return out, errs.Wrap(err, errs.NotFound, "import", "cannot read %s", path)
	}
	if out.origin, err = storage.Digest(ctx, path, fractions(between(ctx, 0, 0.1))); err != nil {
		return out, err
	}
	out.blob, out.info, err = s.quantise(ctx, path, path, out.info, want, 0.1)
	if err != nil {
		return out, err
	}
	if st, err := os.Stat(path); err != nil || !storage.Unchanged(was, st) {
		return out, s.unwanted(out.blob, errs.New(errs.InvalidModelFile, "import", "%s changed while it was quantised; try again when it is complete", path))
	}
	return out, nil
}

// quantiseURL pulls a file and makes a blob of it. What was pulled is not pulled
// again where the rest fails and the statement is repeated.
func (s *Statements) quantiseURL(ctx context.Context, url string, want convert.Quantisation) (out imported, err error) {
	file, info, err := s.pulled(WithProgress(ctx, between(ctx, 0, 0.5)), url, storage.KindModel)
	if err != nil {
		return out, err
	}
	defer func() {
		if err != nil {
			file.Keep()
		} else {
			file.Discard()
		}
	}()
	if err := s.quantisable(shown(url), info, want); err != nil {
		return out, err
	}
	out.origin = file.SHA256
	out.blob, out.info, err = s.quantise(ctx, file.Path, shown(url), info, want, 0.5)
	return out, err
}

// quantisable checks that a file can be quantised, and that there is room for it.
func (s *Statements) quantisable(name string, info storage.FileInfo, want convert.Quantisation) error {
	switch {
	case info.Kind != storage.KindModel:
		return errs.New(errs.InvalidArgument, "import", "%s holds a %s, not a model", name, info.Kind)
	case !slices.Contains([]string{"F32", "F16", "BF16"}, info.Quantisation):
		return errs.New(errs.InvalidArgument, "import", "%s is quantised already (%s), and would lose more than it should: leave quantize out, or take the model in F32, F16 or BF16", name, info.Quantisation)
	}
	return s.Files.Room("quantising "+name, want.Bytes(int64(info.Parameters)))
}

// quantise makes a blob of the GGUF model at in, which errors call name. from is
// the share of the work that was done before.
func (s *Statements) quantise(ctx context.Context, in, name string, was storage.FileInfo, want convert.Quantisation, from float64) (blob storage.Blob, info storage.FileInfo, err error) {
	file := s.Files.Temp()
	defer os.Remove(file)
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // the quantiser would let everyone read it
	if err != nil {
		return blob, info, errs.Wrap(err, errs.Internal, "import", "the quantised model of %s cannot be written", name)
	}
	defer f.Close()
	err = s.Quantise(ctx, in, file, want.FType, between(ctx, from, 0.9))
	if err == nil { // it was written by another process; Import links it as durable
		err = errs.Wrap(f.Sync(), errs.Internal, "import", "the quantised model of %s cannot be written", name)
	}
	if err != nil {
		if ctx.Err() == nil && storage.IsFull(f) { // all that the quantiser knows is that it failed
			err = s.Files.Full(err, "quantising "+name, want.Bytes(int64(was.Parameters)))
		}
		return blob, info, err
	}
	if info, err = inspectMade(file, name); err != nil {
		return blob, info, err
	}
	blob, err = s.Files.Import(ctx, file, fractions(between(ctx, 0.9, 1)))
	return blob, info, err
}
