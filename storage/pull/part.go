package pull

import (
	"crypto/sha1" //nolint:gosec // git's names of objects
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hyprstream/errs"
	"hyprstream/storage"
)

const (
	partEnding  = ".part"
	stateEnding = ".json"
	partAge     = 7 * 24 * time.Hour // a download not gone on with for so long is removed
)

// state is what a part is a part of.
type state struct {
	ETag     string `json:"etag,omitempty"` // strong ones only
	Modified string `json:"modified,omitempty"`
	SHA256   string `json:"sha256,omitempty"` // as promised by the server or the caller
	Blob     string `json:"blob,omitempty"`   // as SHA256, git's name of the content: of the hub's small files
	Size     int64  `json:"size,omitempty"`   // 0: unknown
	Synced   int64  `json:"synced"`           // bytes that a power failure leaves
}

// part is a download on its way, locked against others.
type part struct {
	state
	file *os.File
	path string
	have int64     // bytes in file
	sum  hash.Hash // of them
}

// openPart opens or makes the part of a key. AlreadyExists: somebody else works on it.
func openPart(dir, key string) (*part, error) {
	pt := &part{path: filepath.Join(dir, key+partEnding), sum: sha256.New()}
	f, free, err := storage.OpenLocked(pt.path)
	if err != nil {
		return nil, diskError(err, dir)
	}
	if !free {
		return nil, errs.New(errs.AlreadyExists, op, "this file is being downloaded already; wait for that to end")
	}
	pt.file = f
	if err := pt.restore(); err != nil {
		pt.file.Close()
		return nil, diskError(err, dir)
	}
	return pt, nil
}

func (pt *part) statePath() string { return strings.TrimSuffix(pt.path, partEnding) + stateEnding }

// restore takes up what an earlier attempt left. Without a promised digest only
// bytes known to be on disk count: a power failure may have left others behind them.
func (pt *part) restore() error {
	text, err := os.ReadFile(pt.statePath())
	if err != nil || json.Unmarshal(text, &pt.state) != nil {
		pt.state = state{}
		return pt.file.Truncate(0)
	}
	end, err := pt.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if !pt.promised() {
		end = min(end, pt.Synced)
	}
	if pt.Size > 0 {
		end = min(end, pt.Size)
	}
	if err := pt.file.Truncate(end); err != nil {
		return err
	}
	if _, err := pt.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	pt.have, err = io.Copy(pt.sum, pt.file)
	return err
}

// begin starts anew with a file of which s is known.
func (pt *part) begin(s state) error {
	if err := pt.file.Truncate(0); err != nil {
		return err
	}
	if _, err := pt.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	pt.state, pt.have = s, 0
	pt.Synced = 0
	pt.sum.Reset()
	return pt.save()
}

func (pt *part) Write(b []byte) (int, error) {
	n, err := pt.file.Write(b)
	pt.sum.Write(b[:n])
	pt.have += int64(n)
	return n, err
}

// sync puts what is there on disk and notes it.
func (pt *part) sync() error {
	if err := pt.file.Sync(); err != nil {
		return err
	}
	pt.Synced = pt.have
	return pt.save()
}

func (pt *part) save() error {
	text, err := json.Marshal(pt.state)
	if err != nil {
		return err
	}
	tmp := pt.statePath() + ".new"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, pt.statePath())
}

func (pt *part) digest() string { return hex.EncodeToString(pt.sum.Sum(nil)) }

// promised says whether a digest decides in the end.
func (s state) promised() bool { return s.SHA256 != "" || s.Blob != "" }

// compare gives the digest of what is there, and the promised one; the same
// where none is.
func (pt *part) compare() (got, wanted string, err error) {
	switch {
	case pt.SHA256 != "":
		return "sha256:" + pt.digest(), "sha256:" + pt.SHA256, nil
	case pt.Blob == "":
		return "", "", nil
	}
	sum := sha1.New() //nolint:gosec // it is git's
	fmt.Fprintf(sum, "blob %d\x00", pt.have)
	_, err = io.Copy(sum, io.NewSectionReader(pt.file, 0, pt.have))
	return "sha1:" + hex.EncodeToString(sum.Sum(nil)), "sha1:" + pt.Blob, err
}

// close lets go of the part and leaves it for a later attempt.
func (pt *part) close() { pt.file.Close() }

// leave is close, or remove where there is nothing to go on with.
func (pt *part) leave() {
	if pt.have == 0 {
		pt.remove()
		return
	}
	pt.close()
}

// remove ends the part.
func (pt *part) remove() {
	os.Remove(pt.statePath()) // first: bytes without it count for nothing
	os.Remove(pt.path)
	pt.file.Close()
}

// sweep removes what has been left for too long, and folders: what they hold are
// parts.
func sweep(dir string, now time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		} else if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > partAge {
			os.Remove(filepath.Join(dir, e.Name())) // left over at worst
		}
	}
	return nil
}

// diskError explains a failure to write in dir.
func diskError(err error, dir string) error {
	if errors.As(err, new(*errs.Error)) {
		return err
	}
	if storage.NoRoom(err) {
		return errs.Wrap(err, errs.DiskFull, op, "the download does not fit on the disk of %s; make room and repeat the statement, which goes on from here", dir)
	}
	return errs.Wrap(err, errs.Internal, op, "the download cannot be kept in %s", dir)
}
