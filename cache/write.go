package cache

import (
	"time"

	"go.etcd.io/bbolt"
)

const (
	writeDelay  = time.Second // entries are on disk at latest about so long after their Put
	writeAtOnce = 4 << 20     // bytes pending that are not waited with
	maxPending  = 64 << 20    // bytes pending beyond which new entries are dropped
	maxEvicted  = 10_000      // entries dropped per transaction
	maxTouched  = 10_000      // entries moved to the young end per transaction; the others stay where they are
)

// run is the writer's goroutine.
func (s *Store) run() {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			s.flush()
			return
		case <-s.wake:
		}
		s.pause()
		for over := true; over; {
			over = s.flush()
		}
	}
}

// pause lets entries come together, for one transaction.
func (s *Store) pause() {
	delay := time.NewTimer(writeDelay)
	defer delay.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-delay.C:
			return
		case <-s.wake:
		}
		s.mu.Lock()
		urgent := s.pendingBytes > writeAtOnce
		s.mu.Unlock()
		if urgent {
			return
		}
	}
}

// flush writes what is pending, and says whether the store is over its budget
// still. What cannot be written is dropped.
func (s *Store) flush() (over bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	pending, touched := s.pending, s.touched
	idle := len(pending) == 0 && len(touched) == 0 && s.stats.Bytes <= s.budget
	s.pending, s.pendingBytes, s.writing, s.touched = map[Key][]byte{}, 0, pending, map[Key]struct{}{}
	s.mu.Unlock()
	var size Stats
	wrote := false
	if !idle {
		wrote = s.update(func(tx *bbolt.Tx) (err error) {
			size, err = change(tx, pending, touched, s.budget)
			return err
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = nil
	if !wrote {
		return false
	}
	s.stats.Entries, s.stats.Bytes = size.Entries, size.Bytes
	return size.Bytes > s.budget && size.Entries > 0
}

// change is one transaction: new entries are added, touched ones are moved to
// the young end, and old ones dropped while there are too many.
func change(tx *bbolt.Tx, pending map[Key][]byte, touched map[Key]struct{}, budget int64) (Stats, error) {
	size, err := sums(tx.Bucket(metaBucket))
	if err != nil {
		return size, err
	}
	w := &writer{records: tx.Bucket(recordsBucket), index: tx.Bucket(indexBucket), size: size}
	w.records.FillPercent = 0.95 // numbers rise: pages are filled in order
	for k := range touched {
		if _, again := pending[k]; again {
			continue
		}
		if v, ok := decode(k, w.records.Get(w.index.Get(k[:]))); ok {
			if err := w.put(k, append([]byte(nil), v...)); err != nil {
				return size, err
			}
		}
	}
	for k, v := range pending {
		if err := w.put(k, v); err != nil {
			return size, err
		}
	}
	if err := w.evict(budget); err != nil {
		return size, err
	}
	return w.size, putSums(tx.Bucket(metaBucket), w.size)
}

// writer is a transaction on its way.
type writer struct {
	records, index *bbolt.Bucket
	size           Stats
}

// put adds a record as the youngest, in place of the key's older one.
func (w *writer) put(k Key, value []byte) error {
	if at := w.index.Get(k[:]); at != nil {
		if err := w.drop(append([]byte(nil), at...)); err != nil {
			return err
		}
	}
	n, err := w.records.NextSequence()
	if err != nil {
		return err
	}
	if err := w.records.Put(number(n), encode(k, value)); err != nil {
		return err
	}
	w.size.Entries++
	w.size.Bytes += cost(len(value))
	return w.index.Put(k[:], number(n))
}

// drop deletes a record, not its place in the index.
func (w *writer) drop(at []byte) error {
	r := w.records.Get(at)
	if r == nil {
		return nil
	}
	w.size.Entries--
	w.size.Bytes -= cost(len(r) - recordHead)
	return w.records.Delete(at)
}

// evict drops the oldest records while the store is over its budget, at most
// maxEvicted of them.
func (w *writer) evict(budget int64) error {
	var numbers, keys [][]byte
	over := w.size.Bytes - budget
	c := w.records.Cursor()
	for at, r := c.First(); at != nil && over > 0 && len(keys) < maxEvicted; at, r = c.Next() {
		over -= cost(len(r) - recordHead)
		numbers = append(numbers, append([]byte(nil), at...))
		keys = append(keys, append([]byte(nil), r[:min(len(r), len(Key{}))]...))
	}
	if over > 0 && len(keys) == 0 {
		w.size = Stats{} // the sums were wrong: there is nothing
	}
	for i, at := range numbers { // after the walk: deleting moves a cursor
		if string(w.index.Get(keys[i])) == string(at) {
			if err := w.index.Delete(keys[i]); err != nil {
				return err
			}
		}
		if err := w.drop(at); err != nil {
			return err
		}
	}
	return nil
}
