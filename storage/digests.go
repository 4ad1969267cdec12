package storage

import (
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
