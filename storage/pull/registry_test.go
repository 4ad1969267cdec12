package pull

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	registry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"hyprstream/errs"
)

// front stands before a real registry and makes faults.
type front struct {
	mu      sync.Mutex
	inner   http.Handler
	cuts    []int  // bytes after which the next blob responses are cut
	blobsAt string // where blobs are redirected to
	user    string // that the registry wants, with its password
	bearer  bool   // as a token of its own
	asked   []string
	auths   []string // of blob requests
	spoil   bool     // blobs arrive with a byte changed
	spare   bool     // says nothing of a manifest's type and digest, as some registries do
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range"))
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(f.user))
	blob := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
	if blob {
		f.auths = append(f.auths, r.Header.Get("Authorization"))
	}
	switch given := r.Header.Get("Authorization"); {
	case r.URL.Path == "/token":
		if given != basic {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"token":"a-token"}`)
		return
	case f.user != "" && f.bearer && given != "Bearer a-token":
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="s"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	case f.user != "" && !f.bearer && given != basic:
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if blob && f.blobsAt != "" {
		http.Redirect(w, r, f.blobsAt+r.URL.Path, http.StatusTemporaryRedirect)
		return
	}
	if blob && f.spoil {
		w = spoiler{w}
	}
	if blob && len(f.cuts) > 0 {
		n := f.cuts[0]
		f.cuts = f.cuts[1:]
		w = &cutter{w, n}
	}
	if f.spare && !blob {
		w = &sparing{ResponseWriter: w}
	}
	f.inner.ServeHTTP(w, r)
}

type sparing struct{ http.ResponseWriter }

func (s *sparing) WriteHeader(code int) {
	s.Header().Del("Docker-Content-Digest")
	s.Header().Set("Content-Type", "text/plain; charset=utf-8")
	s.ResponseWriter.WriteHeader(code)
}

type spoiler struct{ http.ResponseWriter }

func (s spoiler) Write(b []byte) (int, error) {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return s.ResponseWriter.Write(b)
}

// startRegistry runs a registry and gives its host.
func startRegistry(t *testing.T) (*front, string) {
	t.Helper()
	f := &front{inner: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return f, strings.TrimPrefix(serve(t, f), "http://")
}

type layer struct {
	kind, title string
	data        []byte
}

// push makes an artefact as its publisher's tool would.
func push(t *testing.T, ref, manifestType, configType string, layers ...layer) digest.Digest {
	t.Helper()
	repo, err := remote.NewRepository(ref)
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	blob := func(l layer) v1.Descriptor {
		d := v1.Descriptor{MediaType: l.kind, Digest: digest.FromBytes(l.data), Size: int64(len(l.data))}
		if err := repo.Blobs().Push(t.Context(), d, bytes.NewReader(l.data)); err != nil {
			t.Fatal(err)
		}
		if l.title != "" {
			d.Annotations = map[string]string{v1.AnnotationTitle: l.title}
		}
		return d
	}
	m := v1.Manifest{MediaType: manifestType, Config: blob(layer{kind: configType, data: []byte(`{}`)})}
	m.SchemaVersion = 2
	for _, l := range layers {
		m.Layers = append(m.Layers, blob(l))
	}
	return pushManifest(t, repo, manifestType, m)
}

func pushManifest(t *testing.T, repo *remote.Repository, kind string, m any) digest.Digest {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := v1.Descriptor{MediaType: kind, Digest: digest.FromBytes(text), Size: int64(len(text))}
	if err := repo.PushReference(t.Context(), d, bytes.NewReader(text), repo.Reference.Reference); err != nil {
		t.Fatal(err)
	}
	return d.Digest
}

const (
	ociManifest    = v1.MediaTypeImageManifest
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerConfig   = "application/vnd.docker.ai.model.config.v0.1+json"
	ollamaConfig   = "application/vnd.docker.container.image.v1+json"
)

func pushDocker(t *testing.T, ref string, data []byte) digest.Digest {
	return push(t, ref, ociManifest, dockerConfig,
		layer{kind: "application/vnd.docker.ai.gguf.v3", data: data}, layer{kind: "application/vnd.docker.ai.license", data: []byte("MIT")})
}

func pushOllama(t *testing.T, ref string, data []byte, more ...layer) digest.Digest {
	return push(t, ref, dockerManifest, ollamaConfig, append([]layer{
		{kind: "application/vnd.ollama.image.model", data: data}, {kind: "application/vnd.ollama.image.template", data: []byte("{{ .Prompt }}")},
		{kind: "application/vnd.ollama.image.params", data: []byte(`{"stop":["x"]}`)}}, more...)...)
}

func TestRegistryArtefacts(t *testing.T) {
	f, host := startRegistry(t)
	model, lora, other := gguf(100_000, 1), gguf(5_000, 2), gguf(60_000, 3)
	sum := pushDocker(t, host+"/ai/smol:135M-Q4_K_M", model)
	pushOllama(t, host+"/library/llama:latest", other, layer{kind: "application/vnd.ollama.image.adapter", data: lora})
	push(t, host+"/plain/oras:1", ociManifest, "application/vnd.oci.empty.v1+json", layer{"application/octet-stream", "README.md", []byte("hello")}, layer{"application/octet-stream", "m.GGUF", model})
	f.spare = true
	p := open(t, t.TempDir(), nil)
	for _, c := range []struct {
		url     string
		adapter bool
		data    []byte
	}{
		{"oci://" + host + "/ai/smol:135M-Q4_K_M", false, model},
		{"oci://" + host + "/ai/smol@" + sum.String(), false, model},
		{"oci://" + host + "/library/llama", false, other},
		{"oci://" + host + "/library/llama", true, lora},
		{"oci://" + host + "/plain/oras:1", false, model},
	} {
		file, err := p.Pull(t.Context(), parse(t, c.url), c.adapter, nil)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if file.SHA256 != hexSum(c.data) || !file.Verified {
			t.Errorf("%s: digest %s, verified %v", c.url, file.SHA256, file.Verified)
		}
		file.Discard()
	}
}

func TestRegistryRefusals(t *testing.T) {
	_, host := startRegistry(t)
	model := gguf(10_000, 1)
	push(t, host+"/a/split:1", ociManifest, dockerConfig, layer{"application/vnd.docker.ai.gguf.v3", "", model}, layer{"application/vnd.docker.ai.gguf.v3", "", gguf(10_000, 2)})
	push(t, host+"/a/tensors:1", ociManifest, dockerConfig, layer{"application/vnd.docker.ai.safetensors", "", []byte("x")})
	push(t, host+"/a/image:1", ociManifest, v1.MediaTypeImageConfig, layer{v1.MediaTypeImageLayerGzip, "", []byte("x")})
	push(t, host+"/a/text:1", ociManifest, dockerConfig, layer{"application/vnd.docker.ai.gguf.v3", "", []byte("<!doctype html> no model at all, and some more text to fill the line up")})
	pushDocker(t, host+"/a/model:1", model)
	p := open(t, t.TempDir(), nil)
	for _, c := range []struct {
		ref, text string
		code      errs.Code
	}{
		{"a/split:1", "2 GGUF layers", errs.Unsupported},
		{"a/tensors:1", "holds safetensors", errs.Unsupported},
		{"a/image:1", "its layers are " + v1.MediaTypeImageLayerGzip, errs.InvalidModelFile},
		{"a/text:1", "web page", errs.InvalidModelFile},
		{"a/model:2", "and the tag", errs.NotFound},
		{"a/none:1", "and the tag", errs.NotFound},
		{"a/model@sha256:" + strings.Repeat("ab", 32), "check the name", errs.NotFound},
	} {
		wantErr(t, p, "oci://"+host+"/"+c.ref, c.code, c.text, c.ref)
	}
}

func TestRegistryIndex(t *testing.T) {
	_, host := startRegistry(t)
	model := gguf(10_000, 1)
	sum := pushDocker(t, host+"/a/m:one", model)
	repo, err := remote.NewRepository(host + "/a/m:index")
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	d, err := repo.Resolve(t.Context(), sum.String())
	if err != nil {
		t.Fatal(err)
	}
	index := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{d}}
	index.SchemaVersion = 2
	pushManifest(t, repo, v1.MediaTypeImageIndex, index)
	want(t, open(t, t.TempDir(), nil), "oci://"+host+"/a/m:index", model).Discard()
}

func TestRegistryCutConnections(t *testing.T) {
	f, host := startRegistry(t)
	model := gguf(100_000, 1)
	pushDocker(t, host+"/a/m:1", model)
	f.cuts, f.asked = []int{30_000, 20_000}, nil
	p := open(t, t.TempDir(), nil)
	want(t, p, "oci://"+host+"/a/m:1", model).Keep()
	if got := f.asked[len(f.asked)-1]; !strings.HasSuffix(got, "-99999") || strings.HasSuffix(got, " ") {
		t.Errorf("asked for %q", f.asked)
	}
	f.asked = nil
	want(t, p, "oci://"+host+"/a/m:1", model).Discard() // whole: only the manifest is asked for
	for _, a := range f.asked {
		if strings.Contains(a, "/blobs/") {
			t.Errorf("asked for %s", a)
		}
	}
	f.spoil = true
	wantErr(t, p, "oci://"+host+"/a/m:1", errs.DigestMismatch, "promised")
}

func TestRegistryLogin(t *testing.T) {
	for name, bearer := range map[string]bool{"basic": false, "bearer": true} {
		t.Run(name, func(t *testing.T) {
			f, host := startRegistry(t)
			model := gguf(50_000, 1)
			pushDocker(t, host+"/a/m:1", model)
			elsewhere := &front{inner: f.inner}
			f.user, f.bearer, f.blobsAt = "me:hunter2", bearer, serve(t, elsewhere)
			p := open(t, t.TempDir(), nil)
			wantErr(t, p, "oci://"+host+"/a/m:1", errs.PermissionDenied, "docker login "+host)
			config := `{"auths":{"` + host + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte(f.user)) + `"}}}`
			if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			want(t, p, "oci://"+host+"/a/m:1", model).Discard()
			if len(elsewhere.auths) != 1 || elsewhere.auths[0] != "" {
				t.Errorf("the other server was given %q", elsewhere.auths)
			}
		})
	}
}

func TestRegistryOffline(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	p := open(t, t.TempDir(), nil)
	wantErr(t, p, "oci://registry.invalid/a/m:1", errs.SourceUnavailable, "registry.invalid cannot be reached", "give its path")
}
