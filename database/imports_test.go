package database

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert"
	"hyprstream/storage/convert/converttest"
)

// order is what a child process is to do: this test binary, started again.
type order struct {
	Dir, SQL string
	KillAt   float64 // the progress at which it kills itself, 0: never
	FileSize uint64  // limit on files' sizes, 0: none
}

// runStatement is the child. It prints the outcome, or the progress at which it
// ended itself as nothing else can.
func runStatement(text string) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	ctx := context.Background()
	db, err := Open(ctx, Config{Dir: o.Dir})
	if err != nil {
		panic(err)
	}
	s, err := db.Session(ctx, SessionOptions{})
	if err != nil {
		panic(err)
	}
	if o.FileSize > 0 {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: o.FileSize, Max: o.FileSize}); err != nil {
			panic(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		r, err := s.Query(ctx, o.SQL)
		if err == nil {
			r.Close()
		}
		done <- err
	}()
	for {
		select {
		case err := <-done:
			fmt.Println(errs.CodeOf(err), err)
			if err := db.Close(ctx); err != nil {
				panic(err)
			}
			return
		default:
		}
		for _, q := range db.queries.running() {
			if n := q.progress; o.KillAt > 0 && n >= o.KillAt {
				fmt.Println(n)
				if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
					panic(err)
				}
			}
		}
	}
}

// child runs an order and returns what it printed.
func child(t *testing.T, o order) string {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(os.Args[0], "statement", string(text)).Output()
	if killed := err != nil && strings.Contains(err.Error(), "killed"); killed != (o.KillAt > 0) {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// opened is a session on a directory as it was left.
func opened(t *testing.T, dir string) (s *Session, closed func()) {
	t.Helper()
	db, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = db.Session(t.Context(), SessionOptions{}); err != nil {
		t.Fatal(err)
	}
	return s, func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func inStore(t *testing.T, dir, pattern string) int {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "blobs", pattern))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A server that is killed in the midst of a conversion, of the quantisation behind
// it or of the import of what was made leaves no model, and the statement then
// makes the file that it makes otherwise.
func TestKilledImports(t *testing.T) {
	model := converttest.Sized(1, 1024, 2048).Write(t, nil)
	gguf := filepath.Join(t.TempDir(), "m.gguf")
	write(t, model, gguf)
	const from, quantised = "CREATE MODEL m FROM '%s'", " WITH (quantize = 'Q4_K_M')"
	want := map[string]string{}
	for name, c := range map[string]struct {
		sql  string
		at   []float64
		part int // parts that are left
	}{
		"conversion":                  {fmt.Sprintf(from, model), []float64{0.05, 0.5, 0.9}, 1},
		"conversion and quantisation": {fmt.Sprintf(from, model) + quantised, []float64{0.02, 0.3, 0.45, 0.6}, 1},
		"quantisation":                {fmt.Sprintf(from, gguf) + quantised, []float64{0.05, 0.3}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, at := range c.at {
				said := child(t, order{Dir: dir, SQL: c.sql, KillAt: at})
				if n, err := strconv.ParseFloat(said, 64); err != nil || n < at {
					t.Fatal(said)
				}
				t.Logf("killed at %s", said)
				s, closed := opened(t, dir)
				if n := sql(t, s, "SELECT count(*) FROM ai.models"); n != "0" {
					t.Errorf("%s models", n)
				}
				closed()
				if blobs, made, parts := inStore(t, dir, "sha256-*"), inStore(t, dir, "made-*")+inStore(t, dir, "link-*"), inStore(t, dir, "partial-*"); blobs != 0 || made != 0 || parts != c.part {
					t.Errorf("left: %d blobs, %d half-made files, %d parts", blobs, made, parts)
				}
			}
			s, closed := opened(t, dir)
			defer closed()
			sql(t, s, c.sql)
			fresh := open(t)
			sql(t, fresh, c.sql)
			const q = "SELECT sha256, source_sha256, bytes FROM ai.models"
			if a, b := sql(t, s, q), sql(t, fresh, q); a != b {
				t.Errorf("%s, without a kill %s", a, b)
			} else {
				want[name] = a
			}
			if all := inStore(t, dir, "*"); all != 2 { // the model and the directory of downloads
				t.Errorf("%d files", all)
			}
		})
	}
	if !t.Failed() && want["quantisation"] != want["conversion and quantisation"] {
		t.Error("a directory and its GGUF file are quantised differently:", want)
	}
}

// write converts a directory to a GGUF file.
func write(t *testing.T, dir, path string) {
	t.Helper()
	plan, err := convert.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := plan.Write(t.Context(), f, nil); err != nil {
		t.Fatal(err)
	}
}

// A disk that fills up in the midst of it is told from damage, and nothing is left.
func TestFullDisk(t *testing.T) {
	model := converttest.Sized(1, 512, 1024).Write(t, nil) // some 9 MB, 5 MB in F16
	gguf := filepath.Join(t.TempDir(), "m.gguf")
	write(t, model, gguf)
	for name, c := range map[string]struct {
		sql, want string
	}{
		"conversion":   {"CREATE MODEL m FROM '" + model + "'", "converting " + model},
		"quantisation": {"CREATE MODEL m FROM '" + gguf + "' WITH (quantize = 'F16')", "quantising " + gguf},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			said := child(t, order{Dir: dir, SQL: c.sql, FileSize: 4_000_000})
			for _, part := range []string{"DISK_FULL", c.want, filepath.Join(dir, "blobs"), "MB are free", "make room and repeat"} {
				if !strings.Contains(said, part) {
					t.Errorf("%q is not in %s", part, said)
				}
			}
			if all := inStore(t, dir, "*"); all != 1 {
				t.Errorf("%d files", all)
			}
			if said := child(t, order{Dir: dir, SQL: c.sql}); said != "<nil>" {
				t.Error("with room:", said)
			}
		})
	}
}

// How far a conversion and a quantisation are shows in ai.queries to others.
func TestImportProgress(t *testing.T) {
	model := converttest.Sized(1, 1024, 2048).Write(t, nil)
	s := open(t)
	other, err := s.db.Session(t.Context(), SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	seen := map[string]bool{}
	for try := 0; len(seen) < 2 && try < 10; try++ { // a busy machine may look too seldom
		done := make(chan error, 1)
		go func() {
			r, err := s.Query(t.Context(), "CREATE OR REPLACE MODEL m FROM '"+model+"' WITH (quantize = 'Q4_K_M')")
			if err == nil {
				r.Close()
			}
			done <- err
		}()
		for running := true; running; {
			select {
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				running = false
			default:
				if now := sql(t, other, "SELECT progress FROM ai.queries WHERE statement LIKE 'CREATE OR REPLACE%'"); now != "" {
					n, err := strconv.ParseFloat(now, 64)
					if err != nil || n < 0 || n > 1 {
						t.Fatal(now, err)
					}
					seen[map[bool]string{true: "converting", false: "quantising"}[n < 0.4]] = true
				}
			}
		}
	}
	if len(seen) != 2 {
		t.Error("seen:", seen)
	}
	// What it was quantised from is known, and is what the directory alone becomes.
	sql(t, s, "CREATE MODEL whole FROM '"+model+"'")
	if got := sql(t, s, "SELECT count(DISTINCT source_sha256), count(DISTINCT sha256) FROM ai.models"); got != "1|2" {
		t.Error(got)
	}
	info, err := storage.Inspect(sql(t, s, "SELECT path FROM ai.models WHERE name = 'm'"))
	if err != nil || info.Quantisation != "Q4_K_M" {
		t.Error(info.Quantisation, err)
	}
}

// A pulled file that is to be quantised is not pulled again when the server is
// killed in the quantisation.
func TestKilledAfterAPull(t *testing.T) {
	model := converttest.Sized(1, 1024, 2048).Write(t, nil)
	gguf := filepath.Join(t.TempDir(), "m.gguf")
	write(t, model, gguf)
	var mu sync.Mutex
	var asked []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Header.Get("Range"))
		mu.Unlock()
		w.Header().Set("ETag", `"one"`)
		http.ServeFile(w, r, gguf)
	}))
	defer web.Close()
	dir := t.TempDir()
	create := "CREATE MODEL m FROM '" + web.URL + "/m.gguf' WITH (quantize = 'Q4_K_M')"
	child(t, order{Dir: dir, SQL: create, KillAt: 0.6})
	before := len(asked)
	if said := child(t, order{Dir: dir, SQL: create}); said != "<nil>" {
		t.Fatal(said)
	}
	st, err := os.Stat(gguf)
	if err != nil {
		t.Fatal(err)
	}
	if last := fmt.Sprintf("bytes=%d-%d", st.Size()-1, st.Size()-1); len(asked) != before+1 || asked[before] != last {
		t.Errorf("asked for %q, wanted %s at the end", asked, last)
	}
	if blobs, downloads := inStore(t, dir, "*"), inStore(t, dir, "downloads/*"); blobs != 2 || downloads != 0 {
		t.Errorf("%d files, %d downloads", blobs, downloads)
	}
}
