package states

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hyprstream/errs"
)

func open(t *testing.T, dir string, budget int64) *Store {
	t.Helper()
	s, err := Open(dir, budget, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var noon = time.Date(2024, 2, 3, 12, 0, 0, 123, time.UTC)

// state is used so many minutes after noon.
func state(session string, minutes, bytes int) State {
	used := noon.Add(time.Duration(minutes) * time.Minute)
	return State{
		Info: Info{
			Session: session, Model: "m", SHA256: strings.Repeat("ab", 32), Options: "o", Engine: "e",
			Adapters: "a*0.5 ", Made: noon, Used: used,
		},
		Tokens: []int32{1, -2, 1 << 30}, Data: slices.Repeat([]byte{byte(minutes)}, bytes),
	}
}

func put(t *testing.T, s *Store, st State) {
	t.Helper()
	if err := s.Put(t.Context(), st, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
}

func sessions(s *Store) (out []string) {
	for _, i := range s.List() {
		out = append(out, i.Session)
	}
	return out
}

// onDisk is what lies in the directory, in bytes, and how many files.
func onDisk(t *testing.T, dir string) (bytes int64, files int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		bytes += info.Size()
	}
	return bytes, len(entries)
}

func TestStateComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	s := open(t, dir, 1<<20)
	want := state("it's a \x00 session/../x", 1, 5000)
	put(t, s, state(want.Session, 0, 100))
	put(t, s, want)
	put(t, s, state("empty", 2, 0))
	for i := range 2 {
		got, err := s.Load(t.Context(), want.Session)
		if err != nil {
			t.Fatal(err)
		}
		if got.Used, got.Bytes = want.Used, 0; got.Length != 3 || got.Size != 5000 {
			t.Errorf("%+v", got.Info)
		}
		got.Length, got.Size = 0, 0
		if !reflect.DeepEqual(got, want) {
			t.Errorf("opening %d: %+v\nwant %+v", i, got.Info, want.Info)
		}
		s = open(t, dir, 1<<20)
	}
	if n, files := onDisk(t, dir); n != s.bytes || files != 2 {
		t.Errorf("%d bytes in %d files, counted %d", n, files, s.bytes)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info.Mode(), err)
	}
	s.Remove(want.Session)
	s.Remove("none")
	if _, err := s.Load(t.Context(), want.Session); errs.CodeOf(err) != errs.NotFound {
		t.Error(err)
	}
	s.RemoveIf(func(i Info) bool { return i.Session == "empty" })
	if n, files := onDisk(t, dir); n != 0 || files != 0 || s.bytes != 0 {
		t.Errorf("%d bytes in %d files are left", n, files)
	}
}

// Whatever byte is changed or missing, the state is refused and its file is gone:
// at the start, or when it is asked for.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	put(t, s, state("s", 1, 300))
	path := s.path("s")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for reopened := range 2 {
		damage := func(what string, b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if reopened == 1 {
				s = open(t, dir, 1<<20)
			} else {
				s.files["s"], s.bytes = Info{Session: "s", Bytes: 1}, 1
			}
			if _, err := s.Load(t.Context(), "s"); errs.CodeOf(err) != errs.NotFound {
				t.Errorf("%s: %v", what, err)
			}
			if _, files := onDisk(t, dir); files != 0 || len(s.List()) != 0 {
				t.Errorf("%s: the file is still there", what)
			}
		}
		for at := range whole {
			b := slices.Clone(whole)
			b[at] ^= 1 << (at % 8)
			damage(fmt.Sprintf("byte %d", at), b)
			damage(fmt.Sprintf("cut to %d bytes", at), whole[:at])
		}
		damage("longer", append(slices.Clone(whole), 0))
		damage("another's", bytes.ReplaceAll(whole, []byte(`"s"`), []byte(`"r"`)))
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir, 1<<20).Load(t.Context(), "s"); err != nil {
		t.Error("the whole file:", err)
	}
	other := open(t, t.TempDir(), 1<<20) // a whole file under another's name
	if err := os.WriteFile(other.path("r"), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if other = open(t, other.dir, 1<<20); len(other.List()) != 0 {
		t.Error(sessions(other))
	}
}

// The states used last stay, also over a restart, and never more than the budget.
func TestBudget(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	put(t, s, state("x", 0, 1000))
	one := s.bytes
	s.Remove("x")
	s.budget = 5*one + one/2
	for i := range 9 {
		put(t, s, state(fmt.Sprint(i), i, 1000))
		if n, _ := onDisk(t, dir); n > s.budget || n != s.bytes {
			t.Errorf("%d bytes of %d", n, s.budget)
		}
	}
	if got := fmt.Sprint(sessions(s)); got != "[4 5 6 7 8]" {
		t.Error(got)
	}
	if _, err := s.Load(t.Context(), "4"); err != nil { // used now
		t.Fatal(err)
	}
	put(t, s, state("9", 9, 1000))
	if got := fmt.Sprint(sessions(s)); got != "[4 6 7 8 9]" {
		t.Error(got)
	}
	for minutes, room := range map[int]bool{5: false, 10: true, 7: true} {
		if got := s.Room("new", one, noon.Add(time.Duration(minutes)*time.Minute)); got != room {
			t.Errorf("room for one of minute %d: %v", minutes, got)
		}
	}
	if !s.Room("9", 2*one, noon.Add(time.Hour)) || s.Room("9", 6*one, noon.Add(time.Hour)) {
		t.Error("a new one in place of its own old one")
	}
	put(t, s, state("huge", 99, 100_000))
	if n, _ := onDisk(t, dir); n != s.bytes || n > s.budget {
		t.Errorf("%d bytes", n)
	}
	put(t, s, state("a", 1, 1000))
	put(t, s, state("b", 2, 1000))
	if got := fmt.Sprint(sessions(open(t, dir, one))); got != "[4]" {
		t.Errorf("with a smaller budget: %s", got)
	}
}

// What a crash left is swept; what is not the store's stays.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	put(t, s, state("s", 1, 100))
	for _, name := range []string{"1.tmp", "77.tmp", "x.state", "note.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, dir, 1<<20)
	if _, files := onDisk(t, dir); files != 2 || len(s.List()) != 1 {
		t.Errorf("%d files, %v", files, sessions(s))
	}
}

// A session that is dropped while its state is written leaves none.
func TestDroppedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	put(t, s, state("s", 1, 100))
	var mu sync.Mutex
	there := true
	stays := func() bool { mu.Lock(); defer mu.Unlock(); return there }
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := s.Put(t.Context(), state("s", i, 100_000), stays); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		mu.Lock()
		there = false
		mu.Unlock()
		s.Remove("s")
	})
	wg.Wait()
	if n, files := onDisk(t, dir); files != 0 || s.bytes != 0 {
		t.Errorf("%d bytes in %d files, counted %d", n, files, s.bytes)
	}
}

// A full disk, for which a limit of the process on its files' size stands, and an end
// of the time lose nothing but what was to be written.
func TestNotWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<30)
	put(t, s, state("s", 1, 100))
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 << 10, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	var full []error
	for _, n := range []int{65_300, 66_000, 3 << 20} { // the last flush, or one before
		full = append(full, s.Put(t.Context(), state("s", 2, n), func() bool { return true }))
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	for _, err := range full {
		if errs.CodeOf(err) != errs.DiskFull {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, state("s", 2, 3<<20), func() bool { return true }); errs.CodeOf(err) != errs.Cancelled {
		t.Error(err)
	}
	if _, err := s.Load(ctx, "s"); errs.CodeOf(err) != errs.Cancelled {
		t.Error(err)
	}
	if st, err := s.Load(t.Context(), "s"); err != nil || len(st.Data) != 100 {
		t.Error(len(st.Data), err)
	}
	if n, files := onDisk(t, dir); files != 1 || n != s.bytes {
		t.Errorf("%d bytes in %d files", n, files)
	}
	put(t, s, state("s", 3, 3<<20))
}
