package catalog

import (
	"context"
	"os"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert"
	"hyprstream/storage/pull"
)

// imported is a model's file in the store.
type imported struct {
	blob   storage.Blob
	info   storage.FileInfo
	origin string // digest of the file that it was quantised from, "" where it was not
}

// importModel brings a model into the store: a GGUF file as it is; a directory
// of SafeTensors converted; either quantised when quantize names a type. What is
// made on the way lies in the store: it goes with the statement, or stays for a
// week for the same statement to go on with where this one is cancelled or killed.
// The caller holds s.files for reading.
func (s *Statements) importModel(ctx context.Context, path, quantize string) (out imported, err error) {
	var want convert.Quantisation
	if quantize != "" {
		if want, err = convert.FindQuantisation(quantize); err != nil {
			return out, err
		}
	}
	if source, err := pull.Parse(path); err == nil && source.Repository() {
		return s.importRepository(ctx, source, quantize, want)
	}
	real, isDir := "", false
	if !pull.IsURL(path) {
		if real, err = s.Allow(path); err != nil {
			return out, err
		}
		st, err := os.Stat(real)
		isDir = err == nil && st.IsDir()
	}
	switch {
	case isDir:
		return s.importDir(ctx, real, path, want)
	case quantize == "":
		out.blob, out.info, err = s.importFile(ctx, path, storage.KindModel)
		return out, err
	case real == "":
		return s.quantiseURL(ctx, path, want)
	}
	return s.quantiseFile(ctx, real, want)
}

// importDir converts a directory, which errors call name.
func (s *Statements) importDir(ctx context.Context, dir, name string, want convert.Quantisation) (out imported, err error) {
	plan, err := convert.Open(dir, s.reader(dir))
	if err != nil {
		return out, err
	}
	what, more, share := "converting "+name, int64(0), 1.0
	if want.Name != "" {
		what, more, share = "converting and quantising "+name, want.Bytes(plan.Parameters()), 0.4
	}
	part, err := s.Files.Part(plan.Key(), what)
	if err != nil {
		return out, err
	}
	defer func() { part.End(interrupted(ctx, err)) }()
	if err := part.Room(plan.Bytes(), more, ""); err != nil {
		return out, err
	}
	if err := plan.Write(ctx, part, fractions(between(ctx, 0, share))); err != nil {
		return out, err
	}
	sha, err := part.Finish()
	if err != nil {
		return out, err
	}
	if out.info, err = inspectMade(part.Path(), name); err != nil {
		return out, err
	}
	if want.Name == "" {
		out.blob, err = part.Adopt()
		return out, err
	}
	out.origin = sha
	out.blob, out.info, err = s.quantise(ctx, part.Path(), name, out.info, want, share)
	return out, err
}

// interrupted says whether an error is of what the statement can go on from: it
// was cancelled, or the process that quantises did not live.
func interrupted(ctx context.Context, err error) bool {
	code := errs.CodeOf(err)
	return ctx.Err() != nil || code == errs.OutOfMemory || code == errs.EngineUnavailable
}

// inspectMade looks at a file that was made of what errors call name.
func inspectMade(file, name string) (storage.FileInfo, error) {
	info, err := storage.Inspect(file)
	return info, errs.Wrap(err, errs.CodeOf(err), "import", "what was made of %s cannot be used", name)
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
