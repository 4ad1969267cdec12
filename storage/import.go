package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"

	"hyprstream/errs"
)

// DiskReserve is left free by imports and downloads, in bytes.
const DiskReserve = 64 << 20

// importing is one import on its way.
type importing struct {
	store    *Store
	source   *os.File
	path     string // as the caller named it
	info     fs.FileInfo
	progress func(done, total int64)
	done     int64
}

// Import brings a GGUF file into the store and names it by its digest. On the
// store's file system it is a hard link, elsewhere a copy. progress, which may
// be nil, hears of bytes read on the caller's goroutine.
//
// The blob appears whole or not at all. When ctx ends, a copy keeps its part,
// and importing the same unchanged file again goes on from there, after the
// part has been compared with the source.
//
// Errors: as Inspect's; DiskFull before anything is written; PermissionDenied;
// the context's.
func (s *Store) Import(ctx context.Context, path string, progress func(done, total int64)) (Blob, error) {
	const op = "storage.Import"
	f, st, err := openRegular(op, path)
	if err != nil {
		return Blob{}, err
	}
	defer f.Close()
	if _, err := inspectFile(op, f, st, path); err != nil {
		return Blob{}, err
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	im := &importing{store: s, source: f, path: path, info: st, progress: progress}
	im.moved(0)
	blob, err := im.byLink(ctx)
	if errors.Is(err, errNoLink) {
		blob, err = im.byCopy(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return Blob{}, ctx.Err()
		}
		var e *errs.Error
		if errors.As(err, &e) {
			return Blob{}, err
		}
		return Blob{}, errs.Wrap(err, diskCode(err), op, "cannot import %s into %s", path, s.dir)
	}
	return blob, nil
}

func (im *importing) moved(n int64) {
	im.done += n
	im.progress(im.done, im.info.Size())
}

var errNoLink = errors.New("the file cannot be linked")

// byLink links the source into the store under a temporary name, hashes what
// the link holds, and renames it. errNoLink asks for a copy instead.
func (im *importing) byLink(ctx context.Context) (Blob, error) {
	// os.Link would link a symbolic link itself.
	target, err := filepath.EvalSymlinks(im.path)
	if err != nil {
		return Blob{}, errNoLink
	}
	name := filepath.Join(im.store.dir, fmt.Sprintf("%s%d", linkPrefix, im.store.links.Add(1)))
	if err := im.store.link(target, name); err != nil {
		return Blob{}, errNoLink // another file system, or one without links, or not allowed
	}
	defer os.Remove(name)
	linked, err := os.Open(name)
	if err != nil {
		return Blob{}, err
	}
	defer linked.Close()
	st, err := linked.Stat()
	if err != nil {
		return Blob{}, err
	}
	if !os.SameFile(st, im.info) {
		return Blob{}, errNoLink // replaced since it was inspected
	}
	sum := sha256.New()
	if _, err := copyContext(ctx, sum, linked, im.moved); err != nil {
		return Blob{}, err
	}
	if now, err := linked.Stat(); err != nil || !Unchanged(st, now) || im.done != st.Size() {
		return Blob{}, im.changed()
	}
	return im.finish(name, sum, true)
}

// byCopy copies the source into a part, going on where an earlier copy of the
// same file stopped.
func (im *importing) byCopy(ctx context.Context) (Blob, error) {
	part, err := im.store.Part(im.key(), "importing "+im.path)
	if err != nil {
		return Blob{}, err
	}
	defer func() { part.End(ctx.Err() != nil) }()
	if err := part.Room(im.info.Size(), 0, ", or put the data directory on the file's own disk, where it is linked instead of copied"); err != nil {
		return Blob{}, err
	}
	if _, err := copyContext(ctx, part, im.source, im.moved); err != nil {
		return Blob{}, err
	}
	// What was copied must be the file that was inspected, whole.
	if st, err := im.source.Stat(); err != nil || identify(st) != identify(im.info) || im.done != st.Size() {
		return Blob{}, im.changed()
	}
	if _, err := part.Finish(); err != nil {
		return Blob{}, err
	}
	blob, err := im.finish(part.path, part.sum, false)
	if err == nil {
		part.release()
	}
	return blob, err
}

func (im *importing) changed() error {
	return errs.New(errs.InvalidModelFile, "storage.Import", "%s changed while it was imported; try again when it is complete", im.path)
}

// Room checks that need bytes fit into the store, for what is named: "converting
// /models/x". The error is DiskFull.
func (s *Store) Room(what string, need int64) error {
	err := s.room(what, need, "")
	if err != nil && errs.CodeOf(err) != errs.DiskFull {
		return errs.Wrap(err, diskCode(err), "storage.Import", "cannot find out how much room is left in %s", s.dir)
	}
	return err
}

func (s *Store) room(what string, need int64, remedy string) error {
	free, err := s.free(s.dir)
	if err != nil {
		return err
	}
	if need+DiskReserve > free {
		return errs.New(errs.DiskFull, "storage.Import", "%s needs %d MB in %s (and %d MB left over), only %d MB are free; make room%s",
			what, megabytes(need), s.dir, megabytes(DiskReserve), free/1e6, remedy)
	}
	return nil
}

func megabytes(n int64) int64 { return (n + 999_999) / 1e6 }

// finish gives a complete temporary file its digest's name, durably.
func (im *importing) finish(name string, sum hash.Hash, linked bool) (Blob, error) {
	sha := hex.EncodeToString(sum.Sum(nil))
	blob := Blob{SHA256: sha, Path: im.store.Path(sha), Bytes: im.info.Size(), Linked: linked}
	if st, err := os.Stat(blob.Path); err == nil && st.Size() == blob.Bytes {
		old := identify(st)
		im.store.mu.Lock()
		intact := im.store.verified[sha] == old
		im.store.mu.Unlock()
		if intact { // imported before and known to be sound
			blob.Linked = old.inode == identify(im.info).inode
			return blob, os.Remove(name)
		}
	}
	// Renaming also replaces a blob that was damaged since its import.
	if err := os.Rename(name, blob.Path); err != nil {
		return Blob{}, err
	}
	if err := im.store.syncDir(); err != nil {
		return Blob{}, err
	}
	if st, err := os.Stat(blob.Path); err == nil {
		im.store.remember(sha, st)
	}
	return blob, nil
}

// key identifies the source file as it is now.
func (im *importing) key() []byte {
	abs, err := filepath.Abs(im.path)
	if err != nil {
		abs = im.path
	}
	return fmt.Appendf(nil, "%s\x00%d\x00%d", abs, im.info.Size(), im.info.ModTime().UnixNano())
}
