package storage

import (
	"os"
	"strings"
	"testing"

	"hyprstream/errs"
)

// A file that is made to be imported takes no room twice, and a crash leaves it
// only until the next start.
func TestTemp(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile("../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	made, left := s.Temp(), s.Temp()
	for _, path := range []string{made, left} {
		if err := os.WriteFile(path, model, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blob, err := s.Import(t.Context(), made, nil)
	if err != nil || !blob.Linked {
		t.Errorf("linked: %v, %v", blob.Linked, err)
	}
	if all, err := s.Digests(); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a crash left is there after the next start: %v", err)
	}
}

func TestRoom(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.free = func(string) (int64, error) { return 100 << 20, nil }
	if err := s.Room("converting x", 30<<20); err != nil {
		t.Error(err)
	}
	if err := s.Room("converting x", 40<<20); errs.CodeOf(err) != errs.DiskFull || !strings.HasPrefix(err.Error(), "converting x needs 42 MB") {
		t.Error(err)
	}
}
