package cache

import (
	"crypto/sha256"
	"log/slog"
	"sync"

	"go.etcd.io/bbolt"

	"hyprstream/errs"
)

// Key names a value; keys are digests, spread evenly.
type Key = [sha256.Size]byte

// Stats are a store's size, as on disk, and what it was asked since Open.
type Stats struct {
	Entries, Bytes int64 // Bytes is about what the entries take in the file
	Budget         int64 // bytes
	Hits, Misses   int64
}

// Store is an open cache file. Its methods may be called from any goroutine.
type Store struct {
	path   string
	budget int64
	log    *slog.Logger
	stop   chan struct{}
	done   chan struct{}
	wake   chan struct{} // has one item while there is something to write

	turn sync.Mutex   // held for a flush, and while the store is emptied
	file sync.RWMutex // held for reading while db is used, for writing while it is replaced
	db   *bbolt.DB    // nil: closed, or the file could not be made again

	mu           sync.Mutex // guards the fields below
	pending      map[Key][]byte
	pendingBytes int64
	writing      map[Key][]byte   // being committed by the writer
	touched      map[Key]struct{} // read while old
	stats        Stats
	unwritten    bool // the last transaction failed, and that was said
}

// Open opens the store in a file, making it when it is not there and moving a
// damaged one aside. budget bounds the bytes of its entries. Errors: the file
// cannot be read or made.
func Open(path string, budget int64, log *slog.Logger) (*Store, error) {
	s := &Store{path: path, budget: budget, log: log,
		stop: make(chan struct{}), done: make(chan struct{}), wake: make(chan struct{}, 1),
		pending: map[Key][]byte{}, touched: map[Key]struct{}{}}
	s.stats.Budget = budget
	if err := s.open(); err != nil {
		return nil, errs.Wrap(err, errs.Internal, "cache.Open", "the cache %s cannot be opened", path)
	}
	s.signal() // a smaller budget than last time is kept from the start
	go s.run()
	return s, nil
}

// Close writes what is pending and closes the file. It may be called once.
func (s *Store) Close() error {
	close(s.stop)
	<-s.done
	s.file.Lock()
	defer s.file.Unlock()
	db := s.db
	s.db = nil
	if db == nil {
		return nil
	}
	return guarded(db.Close)
}

// Get finds the values of keys, in one transaction; nil for a key that has none.
func (s *Store) Get(keys []Key) [][]byte {
	values := make([][]byte, len(keys))
	var ask []int // what is on disk, if anywhere
	s.mu.Lock()
	for i, k := range keys {
		if values[i] = s.pending[k]; values[i] == nil {
			values[i] = s.writing[k]
		}
		if values[i] == nil {
			ask = append(ask, i)
		}
	}
	s.mu.Unlock()
	var old []Key
	if len(ask) > 0 {
		s.view(func(tx *bbolt.Tx) error {
			old = lookUp(tx, keys, ask, values)
			return nil
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if v != nil {
			s.stats.Hits++
		} else {
			s.stats.Misses++
		}
	}
	for _, k := range old[:min(len(old), maxTouched-len(s.touched))] {
		s.touched[k] = struct{}{}
	}
	if len(old) > 0 {
		s.signal()
	}
	return values
}

// Put keeps a value, which is not empty and which the caller does not change
// afterwards: for Get at once, on disk about a second later.
func (s *Store) Put(key Key, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pendingBytes > maxPending {
		return // the disk does not keep up
	}
	if _, again := s.pending[key]; !again {
		s.pendingBytes += cost(len(value))
	}
	s.pending[key] = value
	s.signal()
}

// Stats says how full the store is.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Clear drops all entries and gives the disk's space back.
func (s *Store) Clear() error {
	s.turn.Lock() // or the writer would bring back what it has taken
	defer s.turn.Unlock()
	s.file.Lock()
	defer s.file.Unlock()
	s.mu.Lock()
	s.pending, s.pendingBytes, s.touched = map[Key][]byte{}, 0, map[Key]struct{}{}
	s.mu.Unlock()
	if s.db != nil {
		if err := guarded(s.db.Close); err != nil {
			s.log.Warn("cache not closed cleanly", "file", s.path, "err", err)
		}
		s.db = nil
	}
	if err := s.replace(); err != nil {
		return errs.Wrap(err, errs.Internal, "CLEAR CACHE", "the cache %s cannot be emptied", s.path)
	}
	return nil
}

// signal tells the writer that there is work.
func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // it has been told
	}
}
