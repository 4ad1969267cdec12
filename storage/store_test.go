package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hyprstream/errs"
)

// open gives an empty store and a file outside it that holds the tiny model
// with extra bytes behind its tensors, so that copies take several steps.
func open(t *testing.T, extra int) (s *Store, path string, sha string) {
	t.Helper()
	data, err := os.ReadFile("../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, bytes.Repeat([]byte{7}, extra)...)
	path = filepath.Join(t.TempDir(), "my model.gguf")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return s, path, hex.EncodeToString(sum[:])
}

func copyOnly(s *Store) { s.link = func(string, string) error { return syscall.EXDEV } }

func names(t *testing.T, s *Store) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestImport(t *testing.T) {
	for _, linked := range []bool{true, false} {
		t.Run(map[bool]string{true: "link", false: "copy"}[linked], func(t *testing.T) {
			s, path, sha := open(t, 3<<20)
			if !linked {
				copyOnly(s)
			}
			var last, total int64
			for range 2 { // importing again changes nothing
				blob, err := s.Import(t.Context(), path, func(d, n int64) { last, total = d, n })
				if err != nil {
					t.Fatal(err)
				}
				if blob.SHA256 != sha || blob.Linked != linked || blob.Path != s.Path(sha) || blob.Bytes != total || last != total {
					t.Errorf("%+v, progress %d of %d", blob, last, total)
				}
				if got := names(t, s); len(got) != 1 || got[0] != "sha256-"+sha {
					t.Errorf("store holds %v", got)
				}
			}
			if err := s.Verify(t.Context(), sha); err != nil {
				t.Error(err)
			}
			if err := s.Remove(sha); err != nil || len(names(t, s)) != 0 {
				t.Errorf("%v, left %v", err, names(t, s))
			}
			if err := s.Remove(sha); err != nil {
				t.Errorf("removing what is gone: %v", err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("the source is gone: %v", err)
			}
		})
	}
}

func TestImportBySymbolicLink(t *testing.T) {
	s, path, sha := open(t, 0)
	link := filepath.Join(t.TempDir(), "snapshot.gguf")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), link, nil); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(s.Path(sha)); err != nil || !st.Mode().IsRegular() {
		t.Errorf("the blob is %v, %v", st.Mode(), err)
	}
}

func TestImportResumes(t *testing.T) {
	for name, spoil := range map[string]func([]byte){
		"as it was left": func([]byte) {},
		"with a damaged end": func(b []byte) {
			clear(b[len(b)-100:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, path, sha := open(t, 8<<20)
			copyOnly(s)
			ctx, cancel := context.WithCancel(t.Context())
			_, err := s.Import(ctx, path, func(done, total int64) {
				if done > total/2 {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("cancelled import gave %v", err)
			}
			left := names(t, s)
			if len(left) != 1 || !strings.HasPrefix(left[0], partialPrefix) {
				t.Fatalf("store holds %v", left)
			}
			partial := filepath.Join(s.dir, left[0])
			data, err := os.ReadFile(partial)
			if err != nil || len(data) < 4<<20 {
				t.Fatalf("%d bytes kept, %v", len(data), err)
			}
			spoil(data)
			if err := os.WriteFile(partial, data, 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := Open(filepath.Dir(s.dir)) // as after a restart
			if err != nil {
				t.Fatal(err)
			}
			copyOnly(again)
			// Space for the rest alone is enough.
			again.free = func(string) (int64, error) { return DiskReserve + 6<<20, nil }
			blob, err := again.Import(t.Context(), path, nil)
			if err != nil || blob.SHA256 != sha {
				t.Fatalf("%+v, %v", blob, err)
			}
			if err := again.Verify(t.Context(), sha); err != nil || len(names(t, again)) != 1 {
				t.Errorf("%v, store holds %v", err, names(t, again))
			}
		})
	}
}

func TestImportRefuses(t *testing.T) {
	cases := map[string]struct {
		prepare func(s *Store, path string) string
		code    errs.Code
		want    string
	}{
		"disk full": {func(s *Store, path string) string {
			copyOnly(s)
			s.free = func(string) (int64, error) { return 65 << 20, nil }
			return path
		}, errs.DiskFull, "only 68 MB are free"},
		"missing": {func(_ *Store, path string) string { return path + "x" }, errs.NotFound, "there is no file"},
		"not a model": {func(_ *Store, path string) string {
			os.WriteFile(path, []byte("<html>"), 0o600)
			return path
		}, errs.InvalidModelFile, "web page"},
		"truncated": {func(_ *Store, path string) string {
			os.Truncate(path, 100_000)
			return path
		}, errs.InvalidModelFile, "truncated"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, path, _ := open(t, 4<<20)
			_, err := s.Import(t.Context(), c.prepare(s, path), nil)
			if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", errs.CodeOf(err), err)
			}
			if left := names(t, s); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A file that is written to while it is imported.
func TestImportOfAFileThatChanges(t *testing.T) {
	write := func(flag int) func(string) error {
		return func(path string) error {
			f, err := os.OpenFile(path, flag|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.Write([]byte("more"))
			return errors.Join(err, f.Close())
		}
	}
	for name, change := range map[string]func(path string) error{
		"grows":          write(os.O_APPEND),
		"is overwritten": write(0),
		"is cut off":     func(path string) error { return os.Truncate(path, 1<<20) },
	} {
		for _, linked := range []bool{true, false} {
			s, path, _ := open(t, 4<<20)
			if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if !linked {
				copyOnly(s)
			}
			changed := false
			_, err := s.Import(t.Context(), path, func(done, _ int64) {
				if done > 0 && !changed {
					changed = true
					if err := change(path); err != nil {
						t.Error(err)
					}
				}
			})
			if errs.CodeOf(err) != errs.InvalidModelFile || !strings.Contains(err.Error(), "changed while") || len(names(t, s)) != 0 {
				t.Errorf("%s, linked %v: %v, left %v", name, linked, err, names(t, s))
			}
		}
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	s, path, sha := open(t, 0)
	copyOnly(s)
	blob, err := s.Import(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(time.Hour) // as if time had passed: verifications are remembered
	s.now = func() time.Time { return old }
	if err := s.Verify(t.Context(), sha); err != nil {
		t.Fatal(err)
	}
	if len(s.verified) != 1 {
		t.Error("a verification was not remembered")
	}
	f, err := os.OpenFile(blob.Path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // past the granularity of the file's times
	f.WriteAt([]byte{0xff}, blob.Bytes-1)
	f.Close()
	if err := s.Verify(t.Context(), sha); errs.CodeOf(err) != errs.DigestMismatch {
		t.Errorf("a changed byte gave %v", err)
	}
	// Importing again repairs it.
	if _, err := s.Import(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), sha); err != nil {
		t.Error(err)
	}
	if err := s.Verify(t.Context(), strings.Repeat("0", 64)); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("a missing blob gave %v", err)
	}
	if err := s.Verify(t.Context(), "../../etc/passwd"); errs.CodeOf(err) != errs.InvalidArgument {
		t.Errorf("a path for a digest gave %v", err)
	}
}

func TestOpenCleansUp(t *testing.T) {
	s, _, _ := open(t, 0)
	for name, age := range map[string]time.Duration{"partial-old": 8 * 24 * time.Hour, "partial-new": time.Hour, "link-1": 0, "sha256-00": 8 * 24 * time.Hour} {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(filepath.Dir(s.dir)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(t, s), " "); got != "partial-new sha256-00" {
		t.Errorf("left %q", got)
	}
}
