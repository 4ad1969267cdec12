package database

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"hyprstream/errs"
)

// lockDir keeps a second process out of a data directory. The file tells who
// has it; the lock itself ends with the process.
func lockDir(dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, "lock")
	l := flock.New(path)
	ok, err := l.TryLock()
	if err != nil {
		return nil, errs.Wrap(err, errs.PermissionDenied, "database.Open", "the data directory %s cannot be locked", dir)
	}
	if !ok {
		who, _ := os.ReadFile(path) // only to make the message better
		return nil, errs.New(errs.EngineUnavailable, "database.Open",
			"the data directory %s is in use by process %s: stop it, send the statement to it, or use another --data",
			dir, strings.TrimSpace(string(who)))
	}
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil {
		_ = l.Unlock()
		return nil, errs.Wrap(err, errs.PermissionDenied, "database.Open", "the data directory %s cannot be written", dir)
	}
	return l.Unlock, nil
}
