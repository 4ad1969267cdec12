package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"hyprstream/errs"
	"hyprstream/storage/convert/converttest"
	"hyprstream/storage/peft/pefttest"
	"hyprstream/storage/pull"
	"hyprstream/storage/pull/pulltest"
)

// asking is a hub that remembers which files were asked for.
type asking struct {
	pulltest.Hub
	mu    sync.Mutex
	files []string
}

func (a *asking) names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.Sorted(slices.Values(a.files))
	a.files = nil
	return list
}

func startHub(t *testing.T, dir string) (*Statements, *asking) {
	t.Helper()
	a := &asking{}
	a.Asked = func(p string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if strings.Contains(p, "/resolve/") {
			a.files = append(a.files, path.Base(p))
		}
	}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	t.Setenv("HF_ENDPOINT", srv.URL)
	t.Setenv("HF_TOKEN", "")
	s, _ := startPulls(t, dir, func(*http.Request) {})
	// What clients may read is elsewhere: what was pulled needs no leave.
	s.Allow = func(p string) (string, error) {
		if strings.HasPrefix(p, dir) {
			return "", errs.New(errs.PermissionDenied, "test", "%s is of the server", p)
		}
		return p, nil
	}
	return s, a
}

// read is a directory's files, with others in addition.
func read(t *testing.T, dir string, more map[string][]byte) map[string][]byte {
	t.Helper()
	files, err := pulltest.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, more)
	return files
}

// sharded is a model in two files with an index, and what need not be fetched.
func sharded(t *testing.T) map[string][]byte {
	s := converttest.Sized(1, 128, 512)
	var names [2][]string
	var index []string
	for i, name := range slices.Sorted(maps.Keys(s.Tensors)) {
		names[i%2] = append(names[i%2], name)
		index = append(index, fmt.Sprintf("%q:\"model-%d.safetensors\"", name, i%2))
	}
	return read(t, s.Write(t, map[string][]byte{
		"model.safetensors": nil, "model-0.safetensors": s.Shard(names[0]...), "model-1.safetensors": s.Shard(names[1]...),
		"model.safetensors.index.json": []byte(`{"weight_map":{` + strings.Join(index, ",") + "}}"),
	}), map[string][]byte{
		"consolidated.safetensors": []byte("x"), "pytorch_model.bin": []byte("x"), "onnx/model.onnx": []byte("x"), "a.png": []byte("x"), "README.md": []byte("x"),
	})
}

// What is made of a repository is what is made of the same files in a directory.
func TestRepositoryModel(t *testing.T) {
	dir := t.TempDir()
	s, hub := startHub(t, dir)
	files := sharded(t)
	hub.Push("org/Sample-1B", files)
	var seen []float64
	ctx := WithProgress(t.Context(), func(f float64) { seen = append(seen, f) })
	if said, err := s.Run(ctx, "CREATE MODEL m FROM 'hf://org/Sample-1B'"); err != nil || !strings.Contains(said, "model m created: llama") {
		t.Fatal(said, err)
	}
	if got := hub.names(); !slices.Equal(got, []string{"config.json", "model-0.safetensors", "model-1.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json"}) {
		t.Error(got)
	}
	if !slices.IsSorted(seen) || seen[0] > 0.3 || seen[len(seen)-1] != 1 {
		t.Error(seen)
	}
	local := t.TempDir()
	for name, data := range files {
		if path.Base(name) == name {
			if err := os.WriteFile(filepath.Join(local, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(t, s, "CREATE MODEL other FROM '"+local+"'")
	m, err1 := s.Catalog.FindModel("m")
	other, err2 := s.Catalog.FindModel("other")
	if err1 != nil || err2 != nil || m.SHA256 != other.SHA256 || m.Source != "hf://org/Sample-1B" {
		t.Errorf("%+v %+v %v %v", m, other, err1, err2)
	}
	if n := downloads(t, dir); n != 0 {
		t.Errorf("%d downloads are left", n)
	}
	if names := left(t, dir); len(names) != 1 {
		t.Error(names)
	}
}

func TestRepositoryAdapter(t *testing.T) {
	dir := t.TempDir()
	s, hub := startHub(t, dir)
	hub.Push("org/lora", read(t, peftDir(t, 1), map[string][]byte{"README.md": []byte("x"), "optimizer.pt": []byte("x")}))
	run(t, s, "CREATE MODEL tiny FROM '"+testdata(t, "tiny.gguf")+"'")
	run(t, s, "CREATE ADAPTER a FOR MODEL tiny FROM 'hf://org/lora'")
	run(t, s, "CREATE ADAPTER b FOR MODEL tiny FROM '"+peftDir(t, 1)+"'")
	a, _ := s.Catalog.findAdapter("a")
	b, _ := s.Catalog.findAdapter("b")
	if a.SHA256 != b.SHA256 || a.Rank != 4 || a.Source != "hf://org/lora" || downloads(t, dir) != 0 {
		t.Errorf("%+v %+v", a, b)
	}
	if got := hub.names(); len(got) != 2 {
		t.Error(got)
	}
	// Another model may fit what this one does not: it stays.
	hub.Push("org/lora", read(t, pefttest.Save(t, pefttest.Config(4, 8, map[string]any{"base_sha256": strings.Repeat("0", 64)}), pefttest.Tiny(2)), nil))
	if _, err := s.Run(t.Context(), "CREATE ADAPTER c FOR MODEL tiny FROM 'hf://org/lora'"); err == nil || !strings.Contains(err.Error(), "digest 000000000000") {
		t.Error(err)
	}
}

func TestRepositoryErrors(t *testing.T) {
	dir := t.TempDir()
	s, hub := startHub(t, dir)
	gguf, err := os.ReadFile(testdata(t, "tiny.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	many := map[string][]byte{"README.md": []byte("x")}
	for i := range 12 {
		many[fmt.Sprintf("m-%02d.gguf", i)] = []byte("GGUF")
	}
	model := read(t, converttest.New().Write(t, nil), nil)
	other := converttest.New()
	other.Config["architectures"] = []string{"MambaForCausalLM"}
	mamba := read(t, other.Write(t, nil), map[string][]byte{"gguf/m.gguf": []byte("GGUF")})
	damaged := maps.Clone(model)
	damaged["model.safetensors"] = damaged["model.safetensors"][:900]
	indexed := maps.Clone(model)
	indexed["model.safetensors.index.json"] = []byte(`{"weight_map":{"a":"../config.json"}}`)
	for name, files := range map[string]map[string][]byte{
		"one": {"sub/tiny.gguf": gguf, "README.md": []byte("x")}, "many": many, "model": model, "mamba": mamba, "damaged": damaged, "indexed": indexed,
		"pickle": {"pytorch_model.bin": []byte("x"), "config.json": []byte("{}"), "training_args.bin": []byte("x")},
		"none":   {"README.md": []byte("x"), "onnx/model.onnx": []byte("x")}, "lora": read(t, peftDir(t, 1), nil),
		"lorapickle": {"adapter_config.json": []byte("{}"), "adapter_model.bin": []byte("x")},
	} {
		hub.Push("org/"+name, files)
	}
	run(t, s, "CREATE MODEL tiny FROM 'hf://org/one'")
	hub.names()
	for _, c := range []struct {
		sql  string
		code errs.Code
		want []string
	}{
		{"CREATE MODEL x FROM 'hf://org/many'", errs.InvalidArgument, []string{"12 GGUF files", "'hf://org/many/m-00.gguf' (0.0 MB)", "m-09.gguf", "and 2 more"}},
		{"CREATE MODEL x FROM 'hf://org/pickle'", errs.Unsupported, []string{"pytorch_model.bin, a Python pickle", "runs whatever code"}},
		{"CREATE MODEL x FROM 'hf://org/none'", errs.InvalidModelFile, []string{"hf://org/none holds no model", "README.md, onnx/model.onnx"}},
		{"CREATE MODEL x FROM 'hf://org/absent@v1'", errs.NotFound, []string{"hf://org/absent@v1", "private"}},
		{"CREATE MODEL x FROM 'hf://org/lora'", errs.InvalidArgument, []string{"CREATE ADAPTER name FOR MODEL model FROM 'hf://org/lora'"}},
		{"CREATE MODEL x FROM 'hf://org/mamba'", errs.Unsupported, []string{"hf://org/mamba/config.json: the architecture MambaForCausalLM", "'hf://org/mamba/gguf/m.gguf'"}},
		{"CREATE MODEL x FROM 'hf://org/damaged'", errs.InvalidModelFile, []string{"hf://org/damaged/model.safetensors", "truncated"}},
		{"CREATE MODEL x FROM 'hf://org/indexed'", errs.InvalidModelFile, []string{"../config.json", "incomplete"}},
		{"CREATE ADAPTER x FOR MODEL tiny FROM 'hf://org/model'", errs.InvalidArgument, []string{"CREATE MODEL name FROM 'hf://org/model'"}},
		{"CREATE ADAPTER x FOR MODEL tiny FROM 'hf://org/none'", errs.InvalidModelFile, []string{"adapter_config.json and adapter_model.safetensors"}},
		{"CREATE ADAPTER x FOR MODEL tiny FROM 'hf://org/lorapickle'", errs.Unsupported, []string{"adapter_model.bin, a Python pickle"}},
	} {
		_, err := s.Run(t.Context(), c.sql)
		if errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.sql, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v lacks %q", c.sql, err, want)
			}
		}
		if got := hub.names(); strings.Contains(c.sql, "mamba") && slices.Contains(got, "model.safetensors") {
			t.Errorf("%s: asked for %s", c.sql, got)
		}
		if n := downloads(t, dir); n != 0 {
			t.Errorf("%s leaves %d downloads", c.sql, n)
		}
	}
}

// A statement that is repeated fetches what is missing: after a cancellation in the
// download, one in the conversion, and a lie.
func TestRepositoryGoesOn(t *testing.T) {
	dir := t.TempDir()
	s, hub := startHub(t, dir)
	files := sharded(t)
	hub.Push("org/m", files)
	lie := "model-1.safetensors"
	hub.Spoil = func(name string, data []byte) []byte {
		if name == lie {
			data = bytes.Clone(data)
			data[len(data)-1]++
		}
		return data
	}
	create := "CREATE MODEL m FROM 'hf://org/m'"
	until := func(share float64) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		ctx = WithProgress(ctx, func(f float64) {
			if f > share {
				cancel()
			}
		})
		if _, err := s.Run(ctx, create); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	hub.Serve = func(w http.ResponseWriter, r *http.Request, f http.Handler) {
		if path.Base(r.URL.Path) == "model-0.safetensors" && r.Header.Get("Range") == "" {
			w.Header().Set("Content-Length", strconv.Itoa(len(files["model-0.safetensors"])))
			_, _ = w.Write(files["model-0.safetensors"][:200_000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // the rest never comes
			return
		}
		f.ServeHTTP(w, r)
	}
	until(0.02)
	hub.names()
	if _, err := s.Run(t.Context(), create); errs.CodeOf(err) != errs.DigestMismatch || !strings.Contains(err.Error(), lie) {
		t.Fatal(err)
	}
	if got := hub.names(); !slices.Equal(got, []string{"model-0.safetensors", "model-1.safetensors"}) {
		t.Error(got)
	}
	lie = ""
	until(pullShare + 0.1) // in the conversion
	if got := hub.names(); !slices.Equal(got, []string{"model-1.safetensors"}) {
		t.Error(got)
	}
	p, err := pull.Open(filepath.Join(dir, "blobs", "downloads"), pull.Options{}) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	s.Pulls = p
	run(t, s, create)
	if got := hub.names(); len(got) != 0 || downloads(t, dir) != 0 {
		t.Errorf("asked for %s, %d downloads are left", got, downloads(t, dir))
	}
}

// tight is a store with room for some bytes only.
type tight struct {
	Files
	room int64
	need int64
}

func (f *tight) Room(what string, need int64) error {
	if f.need = need; need > f.room {
		return errs.New(errs.DiskFull, "test", "%s needs %d", what, need)
	}
	return nil
}

// Room is looked for before the weights are fetched: for them and for what is made of them.
func TestRepositoryNeedsRoom(t *testing.T) {
	s, hub := startHub(t, t.TempDir())
	files := sharded(t)
	hub.Push("org/m", files)
	store := &tight{Files: s.Files}
	s.Files = store
	create := "CREATE MODEL m FROM 'hf://org/m' WITH (quantize = 'Q8_0')"
	if _, err := s.Run(t.Context(), create); errs.CodeOf(err) != errs.DiskFull || !strings.Contains(err.Error(), "pulling and converting hf://org/m") {
		t.Fatal(err)
	}
	weights := int64(len(files["model-0.safetensors"]) + len(files["model-1.safetensors"]))
	if got := hub.names(); slices.Contains(got, "model-0.safetensors") || store.need < 2*weights || store.need > 3*weights {
		t.Errorf("asked for %s, %d bytes are needed for %d of weights", got, store.need, weights)
	}
}
