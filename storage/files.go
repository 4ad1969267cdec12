package storage

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// OpenLocked opens a file, made where there is none, and locks it until it is
// closed. free is false where somebody else has the lock.
func OpenLocked(path string) (f *os.File, free bool, err error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, false, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			return nil, false, nil
		}
		here, err1 := f.Stat()
		there, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(here, there) {
			return f, true, nil
		}
		f.Close() // its owner has just removed or renamed it
	}
}

// Unchanged says whether a file is still the one it was, by its size and time. The
// change time is left out: linking a file, as an import does, alters it.
func Unchanged(was, now fs.FileInfo) bool {
	return os.SameFile(was, now) && now.Size() == was.Size() && now.ModTime().Equal(was.ModTime())
}

// NoRoom says whether a failure to write is for want of room.
func NoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) // the last: ulimit -f
}
