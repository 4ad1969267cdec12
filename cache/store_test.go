package cache

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// logged is a log that tests read.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

func open(t *testing.T, path string, budget int64) (*Store, *logged) {
	t.Helper()
	log := &logged{}
	s, err := Open(path, budget, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func key(i int) Key { return sha256.Sum256(fmt.Append(nil, i)) }

func value(i int) []byte { return fmt.Appendf(nil, "value %d %s", i, strings.Repeat("x", i%200)) }

func fill(s *Store, from, to int) {
	for i := from; i < to; i++ {
		s.Put(key(i), value(i))
	}
}

// found says which of the keys from…to have their value; a wrong one is an error.
func found(t *testing.T, s *Store, from, to int) (have []int) {
	t.Helper()
	var keys []Key
	for i := from; i < to; i++ {
		keys = append(keys, key(i))
	}
	for n, v := range s.Get(keys) {
		if v == nil {
			continue
		}
		if !bytes.Equal(v, value(from+n)) {
			t.Errorf("key %d has %q", from+n, v)
		}
		have = append(have, from+n)
	}
	return have
}

func wantAll(t *testing.T, s *Store, from, to int) {
	t.Helper()
	if n := len(found(t, s, from, to)); n != to-from {
		t.Errorf("%d of %d entries from %d are there", n, to-from, from)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestKeepsOverRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	s, _ := open(t, path, 1<<20)
	fill(s, 0, 500)
	wantAll(t, s, 0, 500) // pending
	s.Put(key(7), []byte("value 7 replaced"))
	closeStore(t, s)
	s, _ = open(t, path, 1<<20)
	defer closeStore(t, s)
	if v := s.Get([]Key{key(7), key(500)}); string(v[0]) != "value 7 replaced" || v[1] != nil {
		t.Errorf("%q", v)
	}
	wantAll(t, s, 8, 500)
	if st := s.Stats(); st.Entries != 500 || st.Bytes < 500*200 || st.Budget != 1<<20 || st.Hits != 493 || st.Misses != 1 {
		t.Errorf("%+v", st)
	}
}

// The file as it is while the store is open is what a kill -9 leaves.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	s, _ := open(t, filepath.Join(dir, "cache.db"), 1<<20)
	defer closeStore(t, s)
	for round := range 3 {
		fill(s, round*100, round*100+100)
		eventually(t, "the entries are on disk", func() bool { return s.Stats().Entries == int64(round*100+100) })
		fill(s, 1000, 1010) // lost or kept, never half of one
		left := filepath.Join(t.TempDir(), "cache.db")
		text, err := os.ReadFile(filepath.Join(dir, "cache.db"))
		if err == nil {
			err = os.WriteFile(left, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		again, log := open(t, left, 1<<20)
		wantAll(t, again, 0, round*100+100)
		found(t, again, 1000, 1010)
		if log.count("damaged") > 0 {
			t.Error("a killed store's file is taken as damaged")
		}
		closeStore(t, again)
		if err := s.Clear(); err != nil {
			t.Fatal(err)
		}
		fill(s, 0, round*100+100)
	}
}

// The least recently used go first, and the file stays near its budget.
func TestBudget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	const budget = 300_000 // about 1000 entries
	s, _ := open(t, path, budget)
	for round := range 20 {
		fill(s, round*500, round*500+500)
		s.flush()
		wantAll(t, s, 0, 50) // used in every round
	}
	closeStore(t, s)
	s, _ = open(t, path, budget)
	wantAll(t, s, 0, 50)
	wantAll(t, s, 9500, 10000)
	if old := found(t, s, 50, 8000); len(old) > 0 {
		t.Errorf("%d old entries are left", len(old))
	}
	if st := s.Stats(); st.Bytes > budget || st.Bytes < budget*9/10 {
		t.Errorf("%+v", st)
	}
	closeStore(t, s)
	if info, err := os.Stat(path); err != nil || info.Size() > 4*budget {
		t.Errorf("%v %v: the file outgrows its budget", info.Size(), err)
	}
	s, _ = open(t, path, 3000) // a smaller budget
	defer closeStore(t, s)
	eventually(t, "the new budget is kept", func() bool { return s.Stats().Bytes <= 3000 })
}

func TestClear(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	s, _ := open(t, path, 10<<20)
	fill(s, 0, 20000)
	s.flush()
	if n := s.Stats().Entries; n != 20000 {
		t.Errorf("%d entries are on disk", n)
	}
	fill(s, 20000, 20010)
	if err := s.Clear(); err != nil {
		t.Fatal(err)
	}
	if have := found(t, s, 0, 20010); len(have) > 0 || s.Stats().Entries != 0 {
		t.Errorf("%d entries are left, %+v", len(have), s.Stats())
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 1<<20 {
		t.Errorf("the file has %d bytes still, %v", info.Size(), err)
	}
	fill(s, 0, 10)
	closeStore(t, s)
	s, _ = open(t, path, 10<<20)
	defer closeStore(t, s)
	wantAll(t, s, 0, 10)
}

// written makes a closed file with 2000 entries and gives it through change.
func written(t *testing.T, change func([]byte) []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cache.db")
	s, _ := open(t, path, 10<<20)
	fill(s, 0, 2000)
	closeStore(t, s)
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func overwrite(from, to int) func([]byte) []byte {
	return func(b []byte) []byte {
		for i := from; i < min(to, len(b)); i++ {
			b[i] = 0xa5
		}
		return b
	}
}

func TestDamage(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"another file":    func([]byte) []byte { return []byte("this is no cache") },
		"no meta page":    overwrite(0, 8192),
		"all overwritten": overwrite(0, 1<<30),
		"no data":         overwrite(8192, 1<<30),
		"cut off":         func(b []byte) []byte { return b[:16384] },
		"cut to one page": func(b []byte) []byte { return b[:4096] },
		"format": func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte("format\x00\x00\x00\x00\x00\x00\x00\x01"), []byte("format\x00\x00\x00\x00\x00\x00\x00\x09"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := written(t, change)
			s, log := open(t, path, 10<<20)
			if have := found(t, s, 0, 2000); len(have) == 2000 {
				t.Error("nothing was damaged")
			}
			fill(s, 0, 2000)
			s.flush()
			fill(s, 0, 2000) // the first time it may have been found damaged at the write
			closeStore(t, s)
			if _, err := os.Stat(path + ".damaged"); err != nil || log.count("moved aside") != 1 {
				t.Errorf("%v; %d warnings", err, log.count("moved aside"))
			}
			s, _ = open(t, path, 10<<20)
			defer closeStore(t, s)
			wantAll(t, s, 0, 2000)
		})
	}
}

// A damaged value is a miss, never a wrong answer.
func TestDamagedValues(t *testing.T) {
	path := written(t, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("xxxxxxxx"), []byte("xxxxxxxy")) })
	s, log := open(t, path, 10<<20)
	defer closeStore(t, s)
	have := found(t, s, 0, 2000)
	if len(have) == 0 || len(have) > 100 || log.count("moved aside") > 0 {
		t.Errorf("%d whole values; 80 have no x eight times", len(have))
	}
}

// What stands for a full disk is a limit of the process on its files' size.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	s, log := open(t, path, 100<<20)
	fill(s, 0, 10)
	s.flush()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	limit := syscall.Rlimit{Cur: 256 << 10, Max: was.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		fill(s, 10, 5000)
		s.flush()
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if log.count("cannot be written") != 1 {
		t.Errorf("%d warnings\n%s", log.count("cannot be written"), log.buf.String())
	}
	wantAll(t, s, 0, 10)
	fill(s, 10, 5000) // there is room again
	closeStore(t, s)
	s, _ = open(t, path, 100<<20)
	defer closeStore(t, s)
	wantAll(t, s, 0, 5000)
}

func TestSideBySide(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "cache.db"), 100_000)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 300 {
				n := (g*131 + i) % 500
				s.Put(key(n), value(n))
				found(t, s, n, n+20)
				if i%100 == 99 {
					s.flush()
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			if err := s.Clear(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	closeStore(t, s)
}
