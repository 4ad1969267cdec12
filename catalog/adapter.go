package catalog

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"hyprstream/catalog/ddl"
	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/peft"
	"hyprstream/storage/pull"
)

func (s *Statements) createAdapter(ctx context.Context, st ddl.CreateAdapter) (string, error) {
	const op = "CREATE ADAPTER"
	scale, err := parseScale(st.Options)
	if err != nil {
		return "", errs.Wrap(err, errs.InvalidArgument, op, op)
	}
	if err := checkName(st.Name); err != nil {
		return "", err
	}
	if old, ok := s.Catalog.findAdapter(st.Name); ok {
		switch {
		case st.IfNotExists:
			return fmt.Sprintf("adapter %s already exists", old.Name), nil
		case !st.OrReplace:
			return "", adapterExists(old.Name)
		}
	}
	model, err := s.Catalog.FindModel(st.Model)
	if err != nil {
		return "", err
	}
	// Until the row is there, no file that it needs may go: neither the one that is
	// imported nor those of a blend's parts.
	s.files.RLock()
	defer s.endImport()
	v := Adapter{Name: st.Name, Model: model.Name, Scale: scale, BaseSHA256: model.SHA256}
	if len(st.Parts) > 0 {
		err = s.blend(&v, st.Parts)
	} else {
		err = s.importAdapter(ctx, &v, st.Path, model)
	}
	if err != nil {
		return "", err
	}
	replaced, err := s.Catalog.PutAdapter(v, st.OrReplace)
	if err != nil {
		replaced = v.files() // unwanted
	}
	for _, sha := range replaced {
		s.discardLater(sha)
	}
	if err != nil {
		return "", err
	}
	what := fmt.Sprintf("rank %d, %s", v.Rank, size(v.Bytes))
	if len(v.Parts) > 0 {
		what = "a blend of " + joinNames(v.PartNames())
	}
	return fmt.Sprintf("adapter %s created for model %s: %s", v.Name, model.Name, what), nil
}

// importAdapter brings a GGUF LoRA, or a PEFT directory made into one, into the
// store, and fills in what it says of itself. The caller holds s.files.
func (s *Statements) importAdapter(ctx context.Context, v *Adapter, path string, model Model) error {
	base, err := storage.ReadBase(model.Path)
	if err != nil {
		return err
	}
	blob, info, err := s.adapterFile(ctx, path, base)
	if err != nil {
		return err
	}
	if err := storage.CheckAdapter(blob.Path, base, model.SHA256); err != nil {
		s.discardLater(blob.SHA256)
		return errs.Wrap(err, errs.CodeOf(err), "CREATE ADAPTER", "%s does not fit model %q", shown(path), model.Name)
	}
	v.SHA256, v.Bytes, v.Source = blob.SHA256, blob.Bytes, shown(path)
	v.Architecture, v.Rank, v.Alpha, v.Targets = info.Architecture, info.Rank, info.Alpha, info.Targets
	return nil
}

func (s *Statements) adapterFile(ctx context.Context, path string, base storage.Base) (storage.Blob, storage.FileInfo, error) {
	if source, err := pull.Parse(path); err == nil && source.Repository() {
		return s.adapterRepository(ctx, source, base)
	}
	if pull.IsURL(path) {
		return s.importFile(ctx, path, storage.KindAdapter)
	}
	real, err := s.Allow(path)
	if err != nil {
		return storage.Blob{}, storage.FileInfo{}, err
	}
	if st, err := os.Stat(real); err != nil || !st.IsDir() {
		return s.importFile(ctx, path, storage.KindAdapter)
	}
	return s.adapterDir(ctx, real, path, base)
}

// adapterDir converts a directory of PEFT's, which errors call name.
func (s *Statements) adapterDir(ctx context.Context, path, name string, base storage.Base) (storage.Blob, storage.FileInfo, error) {
	dir, err := peft.Find(path, s.reader(path))
	if err != nil {
		return storage.Blob{}, storage.FileInfo{}, err
	}
	about, err := dir.Describe()
	if err != nil {
		return storage.Blob{}, storage.FileInfo{}, err
	}
	what := "converting " + name
	if err := s.Files.Room(what, about.ConvertedBytes); err != nil {
		return storage.Blob{}, storage.FileInfo{}, err
	}
	return s.Files.Make(what, func(w io.Writer) error { return dir.Convert(ctx, base, w, fractions(progressOf(ctx))) })
}

// fitAdapters checks that a model that takes another's place fits the adapters
// of that one.
func (s *Statements) fitAdapters(v Model) error {
	var base storage.Base
	for _, a := range s.Catalog.Adapters() {
		if key(a.Model) != key(v.Name) || a.Architecture != v.Architecture { // PutModel tells of that
			continue
		}
		if base.Tensors == nil {
			var err error
			if base, err = storage.ReadBase(s.Catalog.blob(v.SHA256)); err != nil {
				return err
			}
		}
		for _, sha := range a.files() {
			if err := storage.CheckAdapter(s.Catalog.blob(sha), base, ""); err != nil {
				return errs.Wrap(err, errs.CodeOf(err), "CREATE MODEL", "the new file of model %q does not fit its adapter %q, drop that first", v.Name, a.Name)
			}
		}
	}
	return nil
}

func (s *Statements) dropAdapter(_ context.Context, st ddl.DropAdapter) (string, error) {
	v, err := s.Catalog.DropAdapter(st.Name)
	if errs.CodeOf(err) == errs.AdapterNotFound && st.IfExists {
		return fmt.Sprintf("there is no adapter %s", st.Name), nil
	}
	if err != nil {
		return "", err
	}
	for _, sha := range slices.Compact(slices.Sorted(slices.Values(v.files()))) {
		s.discard(sha)
	}
	return fmt.Sprintf("adapter %s dropped", v.Name), nil
}
