package catalog

import (
	"context"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/pull"
)

// Pulls fetches files and repositories by URL; pull.Puller is one.
type Pulls interface {
	Pull(ctx context.Context, s pull.Source, adapter bool, progress func(done, total int64)) (*pull.File, error)
	List(ctx context.Context, s pull.Source) (*pull.Repository, error)
	Folder(r *pull.Repository) *pull.Folder
	Owns(path string) bool // of a Folder's directory
}

// importURL pulls a file and moves it into the store. The caller holds s.files
// for reading; it is let go while the file is fetched, which may take hours.
func (s *Statements) importURL(ctx context.Context, url, kind string) (storage.Blob, storage.FileInfo, error) {
	file, info, err := s.pulled(ctx, url, kind)
	if err != nil {
		return storage.Blob{}, info, err
	}
	blob, err := s.Files.Adopt(file.Path, file.SHA256)
	if err != nil {
		file.Keep()
		return storage.Blob{}, info, err
	}
	file.Discard()
	return blob, info, nil
}

// pulled is importURL up to the file, which is a sound one of the kind.
func (s *Statements) pulled(ctx context.Context, url, kind string) (*pull.File, storage.FileInfo, error) {
	var none storage.FileInfo
	source, err := pull.Parse(url)
	if err != nil {
		return nil, none, err
	}
	if s.Pulls == nil {
		return nil, none, errs.New(errs.Unsupported, "import", "%s cannot be pulled here: download it and give its path", source)
	}
	report := progressOf(ctx)
	s.files.RUnlock()
	file, err := s.Pulls.Pull(ctx, source, kind == storage.KindAdapter, fractions(report))
	s.files.RLock()
	if err != nil {
		return nil, none, err
	}
	info, err := storage.Inspect(file.Path)
	if err != nil {
		file.Discard()
		return nil, info, errs.Wrap(err, errs.CodeOf(err), "import", "what %s names cannot be used", source)
	}
	if info.Kind != kind {
		file.Keep() // for the statement that the error proposes
		return nil, info, otherKind(source.String(), info.Kind, kind)
	}
	return file, info, nil
}

// shown is what the catalog keeps of where a file came from: the path, or the
// URL without what may be secret in it.
func shown(path string) string {
	if source, err := pull.Parse(path); err == nil {
		return source.String()
	}
	return path
}
