package storage

import (
	"os"
	"path/filepath"

	"hyprstream/errs"
)

// Adopt makes a file of the store's file system a blob without a copy: it is
// moved. sha is its digest in hex, as whoever wrote the file computed it; the
// blob is read and checked when it is first verified. The file must be
// synchronised, and nobody may write to it. Errors: InvalidArgument, DiskFull,
// PermissionDenied, Internal.
func (s *Store) Adopt(path, sha string) (Blob, error) {
	const op = "storage.Adopt"
	if !validDigest(sha) {
		return Blob{}, errs.New(errs.InvalidArgument, op, "%.80q is not a SHA-256 digest", sha)
	}
	st, err := os.Stat(path)
	if err != nil {
		return Blob{}, errs.Wrap(err, diskCode(err), op, "cannot keep %s", path)
	}
	blob := Blob{SHA256: sha, Path: s.Path(sha), Bytes: st.Size()}
	s.mu.Lock()
	delete(s.verified, sha)
	s.mu.Unlock()
	// Renaming also replaces a blob that was damaged since its import.
	if err := os.Rename(path, blob.Path); err != nil {
		return Blob{}, errs.Wrap(err, diskCode(err), op, "cannot move %s into %s", path, s.dir)
	}
	return blob, errs.Wrap(s.syncDir(), errs.Internal, op, "cannot synchronise %s", s.dir)
}

// Downloads is a directory for files to be adopted, on the blobs' file system.
func (s *Store) Downloads() string { return filepath.Join(s.dir, "downloads") }

// syncDir makes the names in the store's directory durable.
func (s *Store) syncDir() error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
