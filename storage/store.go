package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"hyprstream/errs"
)

const (
	blobPrefix    = "sha256-"
	partialPrefix = "partial-"
	linkPrefix    = "link-"
	madePrefix    = "made-"            // a file that is made here to be imported
	partialAge    = 7 * 24 * time.Hour // an interrupted copy not resumed for so long is removed
	// A file changed within this time of its last change may keep its times; such
	// a verification is not remembered.
	timeGranularity = 2 * time.Second
)

// Store is a directory of files by content digest. Its methods may be called
// from several goroutines.
type Store struct {
	dir  string // of the blobs
	free func(dir string) (int64, error)
	link func(from, to string) error
	now  func() time.Time

	links atomic.Uint64 // for names of temporary links; Open has removed older ones

	mu       sync.Mutex
	verified map[string]identity // by digest: files hashed in this process
}

// Blob is an imported file.
type Blob struct {
	SHA256 string // hex
	Path   string
	Bytes  int64
	Linked bool // shares the source's bytes on disk
}

// identity tells whether a file may have changed since it was hashed.
type identity struct {
	inode         uint64
	size          int64
	mtime, change int64 // nanoseconds
}

// Open opens the store in dir, making it where it is missing, and removes
// leftovers of interrupted imports that are too old to be resumed.
func Open(dir string) (*Store, error) {
	const op = "storage.Open"
	blobs, err := filepath.Abs(filepath.Join(dir, "blobs"))
	if err != nil {
		return nil, errs.Wrap(err, errs.InvalidArgument, op, "cannot use %s as a model store", dir)
	}
	if err := os.MkdirAll(blobs, 0o700); err != nil {
		return nil, errs.Wrap(err, diskCode(err), op, "cannot make the model store %s", blobs)
	}
	s := &Store{dir: blobs, free: Free, link: os.Link, now: time.Now, verified: map[string]identity{}}
	entries, err := os.ReadDir(blobs)
	if err != nil {
		return nil, errs.Wrap(err, diskCode(err), op, "cannot list the model store %s", blobs)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		stale := strings.HasPrefix(e.Name(), partialPrefix) && s.now().Sub(info.ModTime()) > partialAge
		if stale || strings.HasPrefix(e.Name(), linkPrefix) || strings.HasPrefix(e.Name(), madePrefix) {
			os.Remove(filepath.Join(blobs, e.Name())) // left over at worst
		}
	}
	return s, nil
}

// Temp is a path for a file that is made to be imported: on the store's disk, so
// that Import only links it. The caller removes it; Open removes what a crash left.
func (s *Store) Temp() string {
	return filepath.Join(s.dir, fmt.Sprintf("%s%d.gguf", madePrefix, s.links.Add(1)))
}

// Path is where the blob of a digest lies, whether or not it is there.
func (s *Store) Path(sha string) string { return filepath.Join(s.dir, blobPrefix+sha) }

// Verify checks that a blob is what was imported: DigestMismatch when its bytes
// are others, NotFound when it is gone. A file that has not been touched since
// this process hashed it is not read again.
func (s *Store) Verify(ctx context.Context, sha string) error {
	const op = "storage.Verify"
	if !validDigest(sha) {
		return errs.New(errs.InvalidArgument, op, "%.80q is not a SHA-256 digest", sha)
	}
	f, st, err := openRegular(op, s.Path(sha))
	if err != nil {
		return errs.Wrap(err, errs.CodeOf(err), op, "the stored file of digest %.12s is not usable; import the model again", sha)
	}
	defer f.Close()
	s.mu.Lock()
	seen, ok := s.verified[sha]
	s.mu.Unlock()
	if ok && seen == identify(st) {
		return nil
	}
	sum := sha256.New()
	if _, err := copyContext(ctx, sum, f, nil); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errs.Wrap(err, errs.InvalidModelFile, op, "cannot read the stored file of digest %.12s", sha)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != sha {
		return errs.New(errs.DigestMismatch, op,
			"the stored file %s has changed since its import (digest %.12s, now %.12s); DROP the model and create it again", s.Path(sha), sha, got)
	}
	s.remember(sha, st)
	return nil
}

// remember notes that a file was hashed as it is in st, unless it is so young
// that a later change might not show in its times.
func (s *Store) remember(sha string, st fs.FileInfo) {
	id := identify(st)
	if s.now().Sub(time.Unix(0, id.change)) < timeGranularity {
		return
	}
	s.mu.Lock()
	s.verified[sha] = id
	s.mu.Unlock()
}

// Remove deletes a blob; one that is not there is no error. A process that has
// the file mapped keeps it until it ends.
func (s *Store) Remove(sha string) error {
	const op = "storage.Remove"
	if !validDigest(sha) {
		return errs.New(errs.InvalidArgument, op, "%.80q is not a SHA-256 digest", sha)
	}
	s.mu.Lock()
	delete(s.verified, sha)
	s.mu.Unlock()
	if err := os.Remove(s.Path(sha)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errs.Wrap(err, diskCode(err), op, "cannot remove the stored file of digest %.12s", sha)
	}
	return nil
}

func validDigest(sha string) bool {
	b, err := hex.DecodeString(sha)
	return err == nil && len(b) == sha256.Size && strings.ToLower(sha) == sha
}

func identify(st fs.FileInfo) identity {
	id := identity{size: st.Size(), mtime: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		id.inode, id.change = sys.Ino, changeTime(sys)
	}
	return id
}

// Free is how many bytes may be written to the file system of dir.
func Free(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// diskCode is the code of a failure to write.
func diskCode(err error) errs.Code {
	switch {
	case NoRoom(err):
		return errs.DiskFull
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return errs.PermissionDenied
	}
	return errs.Internal
}

// copyContext copies src to dst in large pieces, stopping when ctx ends.
func copyContext(ctx context.Context, dst io.Writer, src io.Reader, moved func(n int64)) (int64, error) {
	buf := make([]byte, 1<<20)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := src.Read(buf)
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return total, werr
			}
			total += int64(n)
			if moved != nil {
				moved(int64(n))
			}
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
