package pull

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"hyprstream/errs"
)

const folderEnding = ".dir"

// Folder is a directory of a repository's files. Whoever has it ends it with
// Keep or Discard. One goroutine works on it.
type Folder struct {
	Dir   string // "" until Add has fetched a file
	p     *Puller
	repo  *Repository
	parts []*part // held
}

// Folder begins a directory of files of a repository.
func (p *Puller) Folder(r *Repository) *Folder { return &Folder{p: p, repo: r} }

// Owns says whether path is a Folder's directory.
func (p *Puller) Owns(path string) bool {
	return filepath.Dir(path) == filepath.Clean(p.dir) && strings.HasSuffix(path, folderEnding)
}

// Missing is how many bytes of some entries have not arrived yet.
func (f *Folder) Missing(entries []Entry) int64 {
	n := int64(0)
	for _, e := range entries {
		have := int64(0)
		if st, err := os.Stat(filepath.Join(f.p.dir, partName(f.key(e))+partEnding)); err == nil {
			have = st.Size()
		}
		n += max(e.Bytes-have, 0)
	}
	return n
}

// key is of the content too: what a push leaves as it is needs not be fetched again.
func (f *Folder) key(e Entry) string {
	return "hf " + f.repo.Source.repo + "/" + e.Path + "#" + e.sha + e.blob
}

// Add fetches entries into the directory; each is held against its digest.
// progress hears of the bytes of entries that are there, on the caller's
// goroutine. Errors are Pull's; what has arrived is kept.
func (f *Folder) Add(ctx context.Context, entries []Entry, progress func(done int64)) error {
	before := int64(0)
	for _, e := range entries {
		if err := f.add(ctx, e, func(done int64) { progress(before + done) }); err != nil {
			return err
		}
		before += e.Bytes
		progress(before)
	}
	return nil
}

func (f *Folder) add(ctx context.Context, e Entry, progress func(int64)) error {
	if !filepath.IsLocal(e.Path) {
		return errs.New(errs.InvalidModelFile, op, "%s names a file %q, outside of itself", f.repo.Source, e.Path)
	}
	j := &job{p: f.p, source: f.repo.File(e.Path), raw: true, progress: func(done, _ int64) { progress(done) }}
	j.source.revision = f.repo.Commit
	j.target = f.p.newTarget()
	j.hub()
	j.target.key, j.target.learn = f.key(e), nil // the listing has promised already
	j.target.sha, j.target.blob, j.target.size = e.sha, e.blob, e.Bytes
	if err := j.open(); err != nil {
		return j.ended(ctx, err)
	}
	if err := j.fetch(ctx); err != nil {
		j.part.leave()
		return j.ended(ctx, err)
	}
	f.parts = append(f.parts, j.part)
	return j.ended(ctx, f.link(j.part.path, e.Path))
}

// link gives a part its own name in the directory, which is the first part's,
// and guarded by that one's lock.
func (f *Folder) link(part, name string) error {
	if f.Dir == "" {
		dir := strings.TrimSuffix(part, partEnding) + folderEnding
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		f.Dir = dir
	}
	to := filepath.Join(f.Dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.Link(part, to)
}

// Keep removes the directory, and leaves what was fetched for a later Add.
func (f *Folder) Keep() { f.end((*part).close) }

// Discard removes the directory and what was fetched.
func (f *Folder) Discard() { f.end((*part).remove) }

func (f *Folder) end(each func(*part)) {
	if f.Dir != "" {
		os.RemoveAll(f.Dir) // what is left of it goes when the next process opens the directory
	}
	for _, pt := range f.parts {
		each(pt)
	}
	f.parts, f.Dir = nil, ""
}
