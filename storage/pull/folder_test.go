package pull

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hyprstream/errs"
	"hyprstream/storage/pull/pulltest"
)

func repository() map[string][]byte {
	return map[string][]byte{
		"README.md": []byte("# A model"), "config.json": []byte(`{"architectures":["X"]}`), "1_Pooling/config.json": []byte(`{"a":1}`),
		"model-1.safetensors": gguf(100_000, 1), "model-2.safetensors": gguf(120_000, 2), "x/y/z.gguf": gguf(1000, 3),
	}
}

func startRepository(t *testing.T, h *pulltest.Hub) (commit string, files map[string][]byte) {
	t.Helper()
	files = repository()
	commit = h.Push("org/repo", files)
	t.Setenv("HF_ENDPOINT", serve(t, h))
	t.Setenv("HF_TOKEN", "")
	return commit, files
}

func list(t *testing.T, p *Puller, url string) *Repository {
	t.Helper()
	r, err := p.List(t.Context(), parse(t, url))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// holds compares a folder's file with what it should be.
func holds(t *testing.T, f *Folder, name string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(filepath.Join(f.Dir, name)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes, want %d: %v", name, len(got), len(want), err)
	}
}

func none(int64) {}

func TestRepositoryIsListed(t *testing.T) {
	for _, page := range []int{0, 1, 3} {
		h := &pulltest.Hub{Page: page}
		commit, files := startRepository(t, h)
		p := open(t, t.TempDir(), nil)
		for _, url := range []string{"hf://org/repo", "hf://org/repo/", "hf://org/repo@" + commit, "https://huggingface.co/org/repo/tree/main"} {
			r := list(t, p, url)
			if r.Commit != commit || len(r.Files) != len(files) {
				t.Errorf("%d: %s: %+v", page, url, r)
			}
			for _, e := range r.Files {
				if int(e.Bytes) != len(files[e.Path]) {
					t.Errorf("%+v", e)
				}
			}
			if got := r.File("a.gguf").String(); !strings.HasPrefix(got, "hf://org/repo") || !strings.HasSuffix(got, "/a.gguf") {
				t.Error(got)
			}
		}
	}
}

func TestFolder(t *testing.T) {
	cuts := []int{30_000, 10, 20_000}
	h := &pulltest.Hub{Serve: func(w http.ResponseWriter, r *http.Request, f http.Handler) {
		if len(cuts) == 0 || !strings.HasSuffix(r.URL.Path, "model-2.safetensors") {
			f.ServeHTTP(w, r)
			return
		}
		n := cuts[0]
		cuts = cuts[1:]
		f.ServeHTTP(&cutter{w, n}, r)
	}}
	_, files := startRepository(t, h)
	p := open(t, t.TempDir(), nil)
	r := list(t, p, "hf://org/repo")
	h.Push("org/repo", map[string][]byte{"config.json": []byte("{}")}) // meanwhile
	f := p.Folder(r)
	total := int64(0)
	for _, e := range r.Files {
		total += e.Bytes
	}
	if n := f.Missing(r.Files); n != total {
		t.Errorf("%d bytes are missing, want %d", n, total)
	}
	last := int64(0)
	if err := f.Add(t.Context(), r.Files, func(done int64) {
		if done < last {
			t.Errorf("progress %d after %d", done, last)
		}
		last = done
	}); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		holds(t, f, name, data)
	}
	if last != total || f.Missing(r.Files) != 0 || !p.Owns(f.Dir) || p.Owns(filepath.Dir(f.Dir)) || len(cuts) != 0 {
		t.Errorf("progress %d of %d, %d missing, %s, cuts left %d", last, total, f.Missing(r.Files), f.Dir, len(cuts))
	}
	err := p.Folder(r).Add(t.Context(), r.Files, none)
	if errs.CodeOf(err) != errs.AlreadyExists {
		t.Error(err)
	}
	f.Discard()
	if left, err := os.ReadDir(p.dir); err != nil || len(left) != 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

// What an ended pull has fetched is there for the next, also after a push that leaves it as it is.
func TestFolderGoesOn(t *testing.T) {
	var asked []string
	h := &pulltest.Hub{Asked: func(path string) { asked = append(asked, path) }}
	_, files := startRepository(t, h)
	dir := t.TempDir()
	p := open(t, dir, nil)
	r := list(t, p, "hf://org/repo")
	ctx, cancel := context.WithCancel(t.Context())
	f := p.Folder(r)
	err := f.Add(ctx, r.Files, func(done int64) {
		if done > 150_000 { // in the second of the large ones
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	held := f.Dir
	f.Keep()
	if _, err := os.Stat(held); !os.IsNotExist(err) {
		t.Error(err)
	}
	// A process that was killed leaves its directory.
	if err := os.MkdirAll(filepath.Join(dir, "0"+folderEnding, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	next := repository()
	next["README.md"] = []byte("# Another text")
	h.Push("org/repo", next)
	p = open(t, dir, nil)
	if left, err := filepath.Glob(filepath.Join(dir, "*"+folderEnding)); err != nil || len(left) != 0 {
		t.Errorf("left over: %v %v", left, err)
	}
	asked = nil
	r = list(t, p, "hf://org/repo")
	f = p.Folder(r)
	if n := f.Missing(r.Files); n == 0 || n > 100_000 {
		t.Errorf("%d bytes are missing", n)
	}
	if err := f.Add(t.Context(), r.Files, none); err != nil {
		t.Fatal(err)
	}
	holds(t, f, "README.md", next["README.md"])
	holds(t, f, "model-2.safetensors", files["model-2.safetensors"])
	for _, path := range asked {
		if strings.HasSuffix(path, "config.json") || strings.HasSuffix(path, "model-1.safetensors") {
			t.Errorf("fetched again: %s", path)
		}
	}
	f.Discard()
}

func TestKilledFolderGoesOn(t *testing.T) {
	big := gguf(2_000_000, 1)
	var first sync.Once
	var ranges []string
	h := &pulltest.Hub{Serve: func(w http.ResponseWriter, r *http.Request, f http.Handler) {
		held := false
		first.Do(func() { held = true })
		if !held {
			ranges = append(ranges, r.Header.Get("Range"))
			f.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", "2000000")
		_, _ = w.Write(big[:1_500_000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // the child is killed
	}}
	commit := h.Push("org/repo", map[string][]byte{"a.safetensors": big, "b.json": []byte("{}")})
	o := order{Dir: t.TempDir(), URL: "hf://org/repo", SyncEvery: 500_000}
	env := "HF_ENDPOINT=" + serve(t, h)
	cmd, lines := start(t, o, env)
	for lines.Scan() && lines.Text() != "1500000" {
	}
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if got := outcome(t, o, env); got != "pulled "+commit {
		t.Fatal(got)
	}
	if len(ranges) != 2 || ranges[0] != "bytes=1500000-1999999" {
		t.Errorf("asked for %q", ranges)
	}
}

func TestFolderDigests(t *testing.T) {
	for _, name := range []string{"config.json", "model-1.safetensors"} {
		h := &pulltest.Hub{Spoil: func(file string, data []byte) []byte {
			if file == name {
				data = bytes.Clone(data)
				data[len(data)-2] ^= 1
			}
			return data
		}}
		startRepository(t, h)
		p := open(t, t.TempDir(), nil)
		r := list(t, p, "hf://org/repo")
		f := p.Folder(r)
		if err := f.Add(t.Context(), r.Files, none); errs.CodeOf(err) != errs.DigestMismatch || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		f.Discard()
	}
}

func TestRepositoryErrors(t *testing.T) {
	h := &pulltest.Hub{Token: "hf_secret"}
	_, files := startRepository(t, h)
	p := open(t, t.TempDir(), nil)
	wantListErr := func(p *Puller, url string, code errs.Code, texts ...string) {
		t.Helper()
		_, err := p.List(t.Context(), parse(t, url))
		if errs.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", url, err, code)
		}
		for _, text := range texts {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%v lacks %q", err, text)
			}
		}
	}
	wantListErr(p, "hf://org/absent", errs.NotFound, "hf://org/absent", "no such repository", "private", "HF_TOKEN")
	wantListErr(p, "hf://org/repo@v9", errs.NotFound, "revision")
	wantListErr(open(t, t.TempDir(), []string{"oci"}), "hf://org/repo", errs.PermissionDenied, "--allow-pull hf")

	r := list(t, p, "hf://org/repo") // of a gated one the list is public
	f := p.Folder(r)
	err := f.Add(t.Context(), r.Files, none)
	if errs.CodeOf(err) != errs.PermissionDenied || !strings.Contains(err.Error(), "accept its terms") || !strings.Contains(err.Error(), "HF_TOKEN") {
		t.Error(err)
	}
	t.Setenv("HF_TOKEN", "hf_secret")
	if err := f.Add(t.Context(), r.Files, none); err != nil {
		t.Fatal(err)
	}
	holds(t, f, "config.json", files["config.json"])
	f.Discard()

	for _, c := range []struct{ revision, tree, text string }{
		{`{"sha":"../../x"}`, `[]`, "commit"},
		{`{"sha":"` + r.Commit + `"}`, `<html>`, "list of files"},
		{`{"sha":"` + r.Commit + `"}`, `[{"type":"file","path":"a","size":1,"oid":"x"}]`, "no digest"},
	} {
		t.Setenv("HF_ENDPOINT", serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := c.tree
			if strings.Contains(r.URL.Path, "/revision/") {
				text = c.revision
			}
			_, _ = w.Write([]byte(text))
		})))
		wantListErr(p, "hf://org/repo", errs.SourceUnavailable, c.text)
	}
	outside := p.Folder(r)
	if err := outside.Add(t.Context(), []Entry{{Path: "../x", Bytes: 1, blob: r.Commit}}, none); errs.CodeOf(err) != errs.InvalidModelFile {
		t.Error(err)
	}
}
