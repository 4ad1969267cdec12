package storage

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"hyprstream/errs"
)

// A child process imports or makes a file under a limit on files' sizes, which
// fails as a full disk does: in the midst of it, whatever was free before.
const limitName = "STORAGE_TEST_LIMIT"

func TestMain(m *testing.M) {
	if os.Getenv(limitName) != "" {
		limited()
		return
	}
	os.Exit(m.Run())
}

// limited does what its arguments say: a store's directory, a file, and how.
func limited() {
	dir, path, how := os.Args[1], os.Args[2], os.Args[3]
	s, err := Open(dir)
	if err != nil {
		panic(err)
	}
	s.link = func(string, string) error { return syscall.EXDEV }
	n, err := strconv.ParseUint(os.Getenv(limitName), 10, 64)
	if err != nil {
		panic(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		panic(err)
	}
	var blob Blob
	switch how {
	case "import":
		blob, err = s.Import(context.Background(), path, nil)
	case "killed":
		blob, err = s.Import(context.Background(), path, func(done, total int64) {
			if done > total/2 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		})
	case "make":
		blob, _, err = s.Make("making "+path, func(w io.Writer) error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		})
	}
	fmt.Println(errs.CodeOf(err), blob.SHA256, err)
}

func TestFullDisk(t *testing.T) {
	for _, how := range []string{"import", "make"} {
		t.Run(how, func(t *testing.T) {
			s, path, sha := open(t, 8<<20)
			dir := strings.TrimSuffix(s.dir, "/blobs")
			do := func(limit string) string {
				cmd := exec.Command(os.Args[0], dir, path, how)
				cmd.Env = append(os.Environ(), limitName+"="+limit)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatal(err, string(out))
				}
				return string(out)
			}
			said := do("5000000")
			for _, part := range []string{"DISK_FULL", s.dir, "MB are free", "make room and repeat"} {
				if !strings.Contains(said, part) {
					t.Errorf("%q is not in %s", part, said)
				}
			}
			if how == "make" && !strings.Contains(said, "making "+path) {
				t.Error(said)
			}
			if how == "import" && !(strings.Contains(said, "importing "+path) && strings.Contains(said, "5 MB or more are needed")) {
				t.Error(said)
			}
			if left := names(t, s); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
			if said := do("1000000000"); !strings.Contains(said, sha) {
				t.Error("with room:", said)
			}
			if left := names(t, s); len(left) != 1 || left[0] != blobPrefix+sha {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// A copy whose process is killed goes on where it was.
func TestKilledImport(t *testing.T) {
	s, path, sha := open(t, 8<<20)
	cmd := exec.Command(os.Args[0], filepath.Dir(s.dir), path, "killed")
	cmd.Env = append(os.Environ(), limitName+"=1000000000")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatal(err, string(out))
	}
	left := names(t, s)
	if len(left) != 1 || !strings.HasPrefix(left[0], partialPrefix) {
		t.Fatalf("left: %v", left)
	}
	begun, err := os.Stat(filepath.Join(s.dir, left[0]))
	if err != nil || begun.Size() < 4<<20 {
		t.Fatal(begun, err)
	}
	again, err := Open(filepath.Dir(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	copyOnly(again)
	blob, err := again.Import(t.Context(), path, nil)
	if err != nil || blob.SHA256 != sha {
		t.Fatal(blob, err)
	}
	if now, err := os.Stat(blob.Path); err != nil || !os.SameFile(now, begun) {
		t.Error("another copy was begun", err)
	}
}

func TestIsFull(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if IsFull(f) {
		t.Error("there is room")
	}
	if full, err := os.OpenFile("/dev/full", os.O_RDWR, 0); err == nil {
		defer full.Close()
		if !IsFull(full) {
			t.Error("/dev/full has no room")
		}
	}
}
