package states

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hyprstream/errs"
	"hyprstream/storage"
)

const (
	ending    = ".state"
	temporary = ".tmp"
)

// Store is a directory of states. Its methods may be called from any goroutine.
type Store struct {
	dir    string
	budget int64 // bytes
	log    *slog.Logger

	mu     sync.Mutex
	files  map[string]Info // guarded by mu: by session
	bytes  int64           // guarded by mu: of files
	serial int             // guarded by mu: of temporary files
}

// Open opens a directory, made where it is not there, and removes what is damaged, left
// over from a crash or beyond the budget of bytes.
func Open(dir string, budget int64, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the states of dialogues: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the states of dialogues: %w", err)
	}
	s := &Store{dir: dir, budget: budget, log: log, files: map[string]Info{}}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasSuffix(e.Name(), ending) {
			i, err := s.describe(path)
			if err == nil && path == s.path(i.Session) {
				s.files[i.Session] = i
				s.bytes += i.Bytes
				continue
			}
			log.Warn("a dialogue's state is of no use and is removed", "file", e.Name(), "err", err)
		} else if !strings.HasSuffix(e.Name(), temporary) {
			continue // not ours
		}
		s.unlink(path)
	}
	s.shrink()
	return s, nil
}

func (s *Store) describe(path string) (Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	i, _, err := describe(f)
	return i, err
}

// path is a session's file; its name tells nothing of the session's.
func (s *Store) path(session string) string {
	sum := sha256.Sum256([]byte(session))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:])+ending)
}

func (s *Store) unlink(path string) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("a dialogue's state was not removed", "file", filepath.Base(path), "err", err)
	}
}

// Find describes the state of a session, where there is one.
func (s *Store) Find(session string) (Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.files[session]
	return i, ok
}

// List describes all states, by session.
func (s *Store) List() []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.files), func(a, b Info) int { return cmp.Compare(a.Session, b.Session) })
}

// Room says whether a state of so many bytes, used then, would stay.
func (s *Store) Room(session string, bytes int64, used time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, i := range s.files {
		if name != session && i.Used.After(used) {
			bytes += i.Bytes
		}
	}
	return bytes <= s.budget
}

// Put keeps a state in place of its session's one before, as used at st.Used. It does
// not where stays, asked last and under a lock that Remove takes too, says no.
// Errors: errs.DiskFull, the context's; nothing was changed then.
func (s *Store) Put(ctx context.Context, st State, stays func() bool) error {
	s.mu.Lock()
	s.serial++
	temp := filepath.Join(s.dir, fmt.Sprintf("%d%s", s.serial, temporary))
	s.mu.Unlock()
	if err := writeFile(ctx, temp, st); err != nil {
		s.unlink(temp)
		code := errs.CodeOf(err)
		if storage.NoRoom(err) {
			code = errs.DiskFull
		}
		return errs.Wrap(err, code, "states.Put", "a dialogue's state cannot be written to %s", s.dir)
	}
	i, err := s.describe(temp)
	if err != nil {
		s.unlink(temp)
		return errs.Wrap(err, errs.Internal, "states.Put", "a dialogue's state is not as it was written")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !stays() {
		s.unlink(temp)
		return nil
	}
	if err := os.Rename(temp, s.path(i.Session)); err != nil {
		s.unlink(temp)
		return errs.Wrap(err, errs.Internal, "states.Put", "a dialogue's state cannot be put in its place")
	}
	s.bytes += i.Bytes - s.files[i.Session].Bytes
	s.files[i.Session] = i
	s.shrink()
	return nil
}

func writeFile(ctx context.Context, path string, st State) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(ctx, f, st)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Chtimes(path, st.Used, st.Used)
}

// shrink removes what was used longest ago until the rest is within the budget. It is
// called with mu held, or before there are others.
func (s *Store) shrink() {
	if s.bytes <= s.budget {
		return
	}
	for _, i := range slices.SortedFunc(maps.Values(s.files), func(a, b Info) int { return a.Used.Compare(b.Used) }) {
		if s.bytes <= s.budget {
			return
		}
		s.remove(i.Session)
	}
}

// remove is called with mu held, or before there are others.
func (s *Store) remove(session string) {
	if i, ok := s.files[session]; ok {
		delete(s.files, session)
		s.bytes -= i.Bytes
		s.unlink(s.path(session))
	}
}

// Load reads the state of a session, checked, and notes its use. One that is damaged
// is removed. Errors: errs.NotFound, the context's.
func (s *Store) Load(ctx context.Context, session string) (State, error) {
	const op = "states.Load"
	was, ok := s.Find(session)
	if !ok {
		return State{}, errs.New(errs.NotFound, op, "no state of this dialogue is kept")
	}
	f, err := os.Open(s.path(session))
	if err == nil {
		defer f.Close()
		var st State
		if st, err = read(ctx, f); err == nil && st.Session == session {
			s.touch(session)
			return st, nil
		}
	}
	if ctx.Err() != nil {
		return State{}, ctx.Err()
	}
	s.log.Warn("a dialogue's state is of no use and is removed", "file", filepath.Base(s.path(session)), "err", err)
	s.RemoveIf(func(i Info) bool { return i.Session == session && i.Made.Equal(was.Made) })
	return State{}, errs.Wrap(errors.Join(errDamaged, err), errs.NotFound, op, "the state of this dialogue is of no use")
}

func (s *Store) touch(session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.files[session]
	if !ok {
		return
	}
	i.Used = time.Now()
	s.files[session] = i
	if err := os.Chtimes(s.path(session), i.Used, i.Used); err != nil {
		s.log.Debug("a dialogue's use was not noted", "err", err)
	}
}

// Remove removes the state of a session.
func (s *Store) Remove(session string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(session)
}

// RemoveIf removes the states that are to go.
func (s *Store) RemoveIf(goes func(Info) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session, i := range s.files {
		if goes(i) {
			s.remove(session)
		}
	}
}
