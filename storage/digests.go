package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"

	"hyprstream/errs"
)

// Digests lists the blobs that are there, in hex. Imports on their way are not
// among them.
func (s *Store) Digests() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, errs.Wrap(err, diskCode(err), "storage.Digests", "cannot list the model store %s", s.dir)
	}
	var out []string
	for _, e := range entries {
		if sha, ok := strings.CutPrefix(e.Name(), blobPrefix); ok && validDigest(sha) {
			out = append(out, sha)
		}
	}
	return out, nil
}

// Digest is a file's SHA-256 in hex. progress hears of bytes read. Errors:
// NotFound, InvalidModelFile, the context's.
func Digest(ctx context.Context, path string, progress func(done, total int64)) (string, error) {
	const op = "storage.Digest"
	f, st, err := openRegular(op, path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum, done := sha256.New(), int64(0)
	_, err = copyContext(ctx, sum, f, func(n int64) {
		done += n
		progress(done, st.Size())
	})
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", errs.Wrap(err, errs.InvalidModelFile, op, "cannot read %s", path)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
