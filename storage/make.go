package storage

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"hyprstream/errs"
)

// Make brings a GGUF file into the store that write makes, and names it by its
// digest. It appears whole or not at all. what is for errors: "converting
// /adapters/x". Errors: write's; DiskFull;
// PermissionDenied; as Inspect's where the file is not a sound one.
func (s *Store) Make(what string, write func(w io.Writer) error) (Blob, FileInfo, error) {
	const op = "storage.Make"
	name := filepath.Join(s.dir, fmt.Sprintf("%s%d", linkPrefix, s.links.Add(1))) // Open removes it after a crash
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Blob{}, FileInfo{}, errs.Wrap(err, diskCode(err), op, "cannot write into %s", s.dir)
	}
	defer os.Remove(name) // gone already where all went well
	defer f.Close()
	out := &making{f: f}
	sum := sha256.New()
	err = write(io.MultiWriter(out, sum))
	if out.err == nil && err == nil {
		out.err = f.Sync()
	}
	if diskCode(out.err) == errs.DiskFull {
		return Blob{}, FileInfo{}, s.Full(out.err, what, 0)
	}
	if out.err != nil {
		return Blob{}, FileInfo{}, errs.Wrap(out.err, diskCode(out.err), op, "cannot write into %s", s.dir)
	}
	if err != nil {
		return Blob{}, FileInfo{}, err
	}
	st, err := f.Stat()
	if err != nil {
		return Blob{}, FileInfo{}, errs.Wrap(err, diskCode(err), op, "cannot look at %s", name)
	}
	info, err := inspectFile(op, f, st, name)
	if err != nil {
		return Blob{}, info, err
	}
	im := &importing{store: s, path: name, info: st}
	blob, err := im.finish(name, sum, false)
	return blob, info, errs.Wrap(err, diskCode(err), op, "cannot bring %s into %s", name, s.dir)
}

// making tells the disk's errors from those of who writes.
type making struct {
	f   *os.File
	err error
}

func (m *making) Write(p []byte) (int, error) {
	n, err := m.f.Write(p)
	if err != nil {
		m.err = err
	}
	return n, err
}
