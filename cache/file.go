package cache

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// errDamaged is any sign that the file is not as it was written.
var errDamaged = errors.New("the file is damaged")

// guarded turns a fault or a panic on a damaged page, which bbolt reads straight
// from the mapped file, into errDamaged.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errDamaged, r)
		}
	}()
	return f()
}

// open opens the file as it is, or a new one in place of a damaged one. It is
// called with file held, or before there are others.
func (s *Store) open() error {
	err := s.openFile()
	if !errors.Is(err, errDamaged) {
		return err
	}
	if err := s.moveAside(err); err != nil {
		return err
	}
	return s.openFile()
}

func (s *Store) openFile() error {
	var db *bbolt.DB
	err := guarded(func() (err error) {
		db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
			Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
		})
		return err
	})
	if err != nil {
		var system syscall.Errno // no permission, a full disk: nothing is wrong with the file
		if !errors.As(err, &system) && !errors.Is(err, bolterrors.ErrTimeout) && !errors.Is(err, errDamaged) {
			err = fmt.Errorf("%w: %w", errDamaged, err)
		}
		return err
	}
	var size Stats
	err = guarded(func() (err error) {
		size, err = prepare(db)
		return err
	})
	if err != nil {
		return err // db is not closed: after a panic its locks are in doubt
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db, s.stats.Entries, s.stats.Bytes = db, size.Entries, size.Bytes
	return nil
}

// replace begins an empty file. It is called with file held.
func (s *Store) replace() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return s.open()
}

// view reads. What goes wrong ends as a miss.
func (s *Store) view(f func(*bbolt.Tx) error) {
	if err := s.do(func(db *bbolt.DB) error { return db.View(f) }); err != nil {
		s.log.Debug("the cache was not read", "err", err)
	}
}

// update writes, and says whether it did. Why it did not (a full disk) is said
// once until it does again.
func (s *Store) update(f func(*bbolt.Tx) error) bool {
	err := s.do(func(db *bbolt.DB) error { return db.Update(f) })
	s.mu.Lock()
	first := err != nil && !s.unwritten
	s.unwritten = err != nil
	s.mu.Unlock()
	if first {
		s.log.Warn("the cache cannot be written; statements go on without", "file", s.path, "err", err)
	}
	return err == nil
}

var errOutOfUse = errors.New("the file is out of use")

// do makes a transaction. A file that turns out to be damaged is replaced.
func (s *Store) do(f func(*bbolt.DB) error) error {
	s.file.RLock()
	db := s.db
	err := errOutOfUse
	if db != nil {
		err = guarded(func() error { return f(db) })
	}
	s.file.RUnlock()
	if errors.Is(err, errDamaged) {
		s.discard(db, err)
	}
	return err
}

// discard moves a damaged file aside and begins a new one.
func (s *Store) discard(db *bbolt.DB, damage error) {
	s.file.Lock()
	defer s.file.Unlock()
	if s.db != db {
		return // another call was first
	}
	s.db = nil // not closed: after a panic its locks are in doubt
	err := s.moveAside(damage)
	if err == nil {
		err = s.open()
	}
	if err != nil {
		s.log.Warn("the cache is out of use until the next start", "file", s.path, "err", err)
	}
}

func (s *Store) moveAside(damage error) error {
	aside := s.path + ".damaged"
	s.log.Warn("the cache is damaged; it is moved aside and begins empty", "file", s.path, "aside", aside, "err", damage)
	return os.Rename(s.path, aside)
}
