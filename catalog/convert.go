package catalog

import (
	"context"
	"os"
	"slices"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert"
	"hyprstream/storage/pull"
)

// Quantise writes the GGUF model at in to out with weights of another type, a
// number of llama.cpp's llama_ftype.
type Quantise func(ctx context.Context, in, out string, ftype int32, progress func(fraction float64)) error

// importModel brings a model into the store: a GGUF file as it is; a directory
// of SafeTensors converted; either quantised when quantize names a type. What is
// made on the way lies in the store and is gone afterwards, or at the next start.
// The caller holds s.files for reading.
func (s *Statements) importModel(ctx context.Context, path, quantize string) (blob storage.Blob, info storage.FileInfo, err error) {
	var want convert.Quantisation
	if quantize != "" {
		if want, err = convert.FindQuantisation(quantize); err != nil {
			return blob, info, err
		}
	}
	if pull.IsURL(path) {
		if blob, info, err = s.importFile(ctx, path, storage.KindModel); err != nil || quantize == "" {
			return blob, info, err
		}
		defer s.discardLater(blob.SHA256) // what was pulled has served
		return s.makeModel(ctx, blob.Path, shown(path), false, want)
	}
	real, err := s.Allow(path)
	if err != nil {
		return blob, info, err
	}
	st, err := os.Stat(real)
	isDir := err == nil && st.IsDir()
	if !isDir && quantize == "" {
		return s.importFile(ctx, path, storage.KindModel)
	}
	return s.makeModel(ctx, real, path, isDir, want)
}

// makeModel makes a model's file of a directory or, quantised, of a file, which
// errors call name.
func (s *Statements) makeModel(ctx context.Context, real, name string, isDir bool, want convert.Quantisation) (blob storage.Blob, info storage.FileInfo, err error) {
	file := s.Files.Temp()
	defer os.Remove(file)
	if isDir {
		err = s.convertDir(ctx, real, file, want)
	} else {
		err = s.quantiseFile(ctx, real, file, want)
	}
	if err != nil {
		return blob, info, err
	}
	if info, err = storage.Inspect(file); err != nil {
		return blob, info, errs.Wrap(err, errs.CodeOf(err), "import", "what was made of %s cannot be used", name)
	}
	blob, err = s.Files.Import(ctx, file, fractions(between(ctx, 0.9, 1)))
	return blob, info, err
}

// convertDir makes file of a directory.
func (s *Statements) convertDir(ctx context.Context, dir, file string, want convert.Quantisation) error {
	plan, err := convert.Open(dir, s.Allow)
	if err != nil {
		return err
	}
	need := plan.Bytes()
	if want.Name == "" {
		if err := s.Files.Room("converting "+dir, need); err != nil {
			return err
		}
		return plan.Write(ctx, file, fractions(between(ctx, 0, 0.9)))
	}
	whole := s.Files.Temp()
	defer os.Remove(whole)
	if err := s.Files.Room("converting and quantising "+dir, need+quantised(plan.Parameters(), want)); err != nil {
		return err
	}
	if err := plan.Write(ctx, whole, fractions(between(ctx, 0, 0.4))); err != nil {
		return err
	}
	return s.quantise(ctx, whole, file, want, between(ctx, 0.4, 0.9))
}

// quantiseFile makes file of a GGUF file.
func (s *Statements) quantiseFile(ctx context.Context, path, file string, want convert.Quantisation) error {
	info, err := storage.Inspect(path)
	switch {
	case err != nil:
		return err
	case info.Kind != storage.KindModel:
		return errs.New(errs.InvalidArgument, "import", "%s holds a %s, not a model", path, info.Kind)
	case !slices.Contains([]string{"F32", "F16", "BF16"}, info.Quantisation):
		return errs.New(errs.InvalidArgument, "import", "%s is quantised already (%s), and would lose more than it should: leave quantize out, or take the model in F32, F16 or BF16", path, info.Quantisation)
	}
	if err := s.Files.Room("quantising "+path, quantised(int64(info.Parameters), want)); err != nil {
		return err
	}
	return s.quantise(ctx, path, file, want, between(ctx, 0, 0.9))
}

func (s *Statements) quantise(ctx context.Context, in, out string, want convert.Quantisation, report func(float64)) error {
	f, err := os.OpenFile(out, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // the quantiser would let everyone read it
	if err != nil {
		return errs.Wrap(err, errs.Internal, "import", "the quantised model cannot be written")
	}
	defer f.Close()
	if err := s.Quantise(ctx, in, out, want.FType, report); err != nil {
		return err
	}
	// It was written by another process; Import links it as durable.
	return errs.Wrap(f.Sync(), errs.Internal, "import", "the quantised model cannot be written")
}

// quantised is about how many bytes weights of a type take.
func quantised(parameters int64, q convert.Quantisation) int64 {
	return int64(float64(parameters) * q.Bits / 8)
}

// between reports a part of the work as its share of all.
func between(ctx context.Context, from, to float64) func(float64) {
	report := progressOf(ctx)
	return func(f float64) { report(from + f*(to-from)) }
}

// fractions turns a count of bytes into a fraction.
func fractions(report func(float64)) func(done, total int64) {
	return func(done, total int64) {
		if total > 0 {
			report(float64(done) / float64(total))
		}
	}
}
