package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"

	"hyprstream/errs"
)

// Part is a file of the store on its way, locked against others. What it had from
// an earlier attempt is compared with what is written now, and overwritten from the
// first difference on: what a power failure left cannot become a blob.
type Part struct {
	store  *Store
	what   string // for errors: "importing /models/x.gguf"
	file   *os.File
	path   string
	size   int64 // bytes it is to have, 0: unknown
	old    int64 // bytes that were there
	done   int64 // bytes that are written, or were found to be there
	differ bool  // from what was there
	have   []byte
	sum    hash.Hash
}

// Part opens the part of a key, or makes it; Open removes those that are a week
// old. Errors: AlreadyExists where somebody works on it; DiskFull; PermissionDenied.
func (s *Store) Part(key []byte, what string) (*Part, error) {
	p := &Part{store: s, what: what, sum: sha256.New()}
	sum := sha256.Sum256(key)
	p.path = filepath.Join(s.dir, partialPrefix+hex.EncodeToString(sum[:])+".gguf")
	f, free, err := OpenLocked(p.path)
	if err != nil {
		return nil, p.failed(err)
	}
	if !free {
		return nil, errs.New(errs.AlreadyExists, "storage.Part", "%s is being done already; wait for that to end", what)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, p.failed(err)
	}
	p.file, p.old = f, st.Size()
	return p, nil
}

// Path is where the part lies.
func (p *Part) Path() string { return p.path }

// Room checks that the part can grow to size bytes, with more beside it. The error
// is DiskFull, which ends with remedy.
func (p *Part) Room(size, more int64, remedy string) error {
	p.size = size
	return p.store.room(p.what, max(0, size-p.old)+more, remedy)
}

// Write implements io.Writer.
func (p *Part) Write(b []byte) (int, error) {
	if !p.differ {
		n := min(int64(len(b)), max(0, p.old-p.done))
		if int64(cap(p.have)) < n {
			p.have = make([]byte, n)
		}
		m, _ := p.file.ReadAt(p.have[:n], p.done) // what cannot be read is written again
		p.differ = m < len(b) || !bytes.Equal(p.have[:m], b)
	}
	n := len(b)
	if p.differ {
		var err error
		if n, err = p.file.WriteAt(b, p.done); err != nil {
			return n, p.failed(err)
		}
	}
	p.sum.Write(b)
	p.done += int64(n)
	return n, nil
}

// Finish cuts off what an earlier attempt has left behind the end, puts the part
// on disk, and returns its digest in hex.
func (p *Part) Finish() (string, error) {
	if p.done < p.old {
		if err := p.file.Truncate(p.done); err != nil {
			return "", p.failed(err)
		}
	}
	if err := p.file.Sync(); err != nil {
		return "", p.failed(err)
	}
	return hex.EncodeToString(p.sum.Sum(nil)), nil
}

// Adopt makes a finished part the blob of its digest, and lets go of it.
func (p *Part) Adopt() (Blob, error) {
	blob, err := p.store.Adopt(p.path, hex.EncodeToString(p.sum.Sum(nil)))
	if err == nil {
		p.release()
	}
	return blob, err
}

// release lets go of a part whose name is another's business by now.
func (p *Part) release() {
	p.file.Close()
	p.file = nil
}

// End lets go of the part, which stays for a later attempt where keep says so and
// there is something to go on with. After Adopt it does nothing.
func (p *Part) End(keep bool) {
	if p.file == nil {
		return
	}
	if !keep || p.done == 0 && p.old == 0 {
		os.Remove(p.path) // before the lock goes: another may make it anew
	}
	p.release()
}

func (p *Part) failed(err error) error {
	if diskCode(err) == errs.DiskFull {
		return p.store.Full(err, p.what, p.size-p.done)
	}
	return errs.Wrap(err, diskCode(err), "storage.Part", "cannot write into %s", p.store.dir)
}

// Full is the error of a disk that has filled up in the midst of what: err is
// what the system said, need the bytes that there was no room for, as far as known.
func (s *Store) Full(err error, what string, need int64) error {
	free := "an unknown number of"
	if n, err := s.free(s.dir); err == nil {
		free = fmt.Sprint(n / 1e6)
	}
	return errs.Wrap(err, errs.DiskFull, "storage.Full", "%s: the disk of %s is full (%d MB or more are needed, %s MB are free): make room and repeat the statement",
		what, s.dir, megabytes(max(need, 1)), free)
}

// IsFull says whether a file cannot grow. What it tries is left behind its end.
func IsFull(f *os.File) bool {
	end, err := f.Stat()
	if err != nil {
		return false
	}
	_, err = f.WriteAt(make([]byte, 1<<20), end.Size())
	return diskCode(errors.Join(err, f.Sync())) == errs.DiskFull
}
