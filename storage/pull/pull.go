package pull

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"hyprstream/errs"
	"hyprstream/storage"
)

// Options of a Puller.
type Options struct {
	// Allow names what may be pulled: "hf", "oci" or "https" (public addresses),
	// and HOST or HOST:PORT (also private ones). nil: everything. Empty: nothing.
	Allow  []string
	Logger *slog.Logger // nil: no log
}

// Puller fetches files into a directory. Its methods may be called from several goroutines.
type Puller struct {
	dir     string
	policy  policy
	log     *slog.Logger
	tls     *tls.Config
	proxies sync.Map // HOST:PORT of proxies in use
	web     *http.Transport
	free    func(dir string) (int64, error)

	attempts  int                              // without a byte more, before giving up
	backoff   func(failures int) time.Duration // before the next attempt
	stall     time.Duration                    // of silence, after which a connection is given up
	syncEvery int64                            // bytes
	now       func() time.Time
}

const maxBytes = 4 << 40 // more than any model file has

// Open makes a Puller whose partial downloads lie in dir, and removes those left
// there for more than a week.
func Open(dir string, opt Options) (*Puller, error) {
	p := &Puller{
		dir: dir, policy: policy{opt.Allow != nil, opt.Allow}, log: opt.Logger, free: storage.Free,
		attempts: 6, stall: time.Minute, syncEvery: 64 << 20, now: time.Now,
		backoff: func(n int) time.Duration { return min(time.Second<<(n-1), 30*time.Second) },
	}
	if err := CheckAllow(opt.Allow); err != nil {
		return nil, err
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError(err, dir)
	}
	if err := sweep(dir, p.now()); err != nil {
		return nil, diskError(err, dir)
	}
	p.web = p.newTransport()
	return p, nil
}

// Close lets go of idle connections.
func (p *Puller) Close() { p.web.CloseIdleConnections() }

// File is a whole download. Whoever has it ends it with Keep or Discard.
type File struct {
	Path     string
	SHA256   string // hex, of the bytes at Path
	Bytes    int64
	Verified bool // a digest was promised, and it is SHA256
	part     *part
}

// Keep leaves the file where it is for a later pull of the same URL.
func (f *File) Keep() { f.part.close() }

// Discard ends the download: what is left of it is removed.
func (f *File) Discard() { f.part.remove() }

// Pull fetches a file; s names one (Source.Repository says whether). adapter takes a registry's adapter layer and not its model
// layer. progress hears of the bytes that are there and those of the whole file,
// 0 where the server does not say, on the caller's goroutine.
//
// When ctx ends or the network fails for long, what is there is kept, and the
// same call goes on from it.
//
// Errors: PermissionDenied (the policy, or the server's), NotFound,
// SourceUnavailable (no network, or a server that fails), DigestMismatch,
// InvalidModelFile (not GGUF: after its first bytes), DiskFull, AlreadyExists
// (somebody pulls it now), the context's.
func (p *Puller) Pull(ctx context.Context, s Source, adapter bool, progress func(done, total int64)) (*File, error) {
	if err := p.policy.source(s); err != nil {
		return nil, err
	}
	j := &job{p: p, source: s, progress: progress}
	err := j.locate(ctx, adapter)
	if err == nil {
		err = j.open()
	}
	if err != nil {
		return nil, j.ended(ctx, err)
	}
	if err := j.fetch(ctx); err != nil {
		j.part.leave()
		return nil, j.ended(ctx, err)
	}
	return &File{Path: j.part.path, SHA256: j.part.digest(), Bytes: j.part.have, Verified: j.part.SHA256 != "", part: j.part}, nil
}

// job is one pull. One goroutine works on it.
type job struct {
	p        *Puller
	source   Source
	target   target
	part     *part
	progress func(done, total int64)
	raw      bool // any file: not only a GGUF one
	checked  bool // the first bytes are a GGUF file's
	served   bool // a server has answered something
}

// open takes up the partial download of the target.
func (j *job) open() (err error) {
	j.part, err = openPart(j.p.dir, partName(j.target.key))
	return err
}

func partName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// ended gives the context's error where that is what ended the pull.
func (j *job) ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return diskError(err, j.p.dir)
}

// checkSpace refuses what the disk cannot hold. need is in bytes.
func (j *job) checkSpace(need int64) error {
	free, err := j.p.free(j.p.dir)
	if err != nil {
		return err
	}
	if need+storage.DiskReserve > free {
		return errs.New(errs.DiskFull, op, "downloading %s needs %d MB in %s (and %d MB left over), only %d MB are free; make room, or start with another --data directory",
			j.source, need/1e6+1, filepath.Dir(j.part.path), storage.DiskReserve/1_000_000, free/1e6)
	}
	return nil
}
