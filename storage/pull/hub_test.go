package pull

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hyprstream/errs"
)

// hub is laid out as Hugging Face is: resolve/ redirects to storage elsewhere,
// with the LFS pointer's digest and size in headers of the redirect.
type hub struct {
	mu     sync.Mutex
	store  string
	files  map[string][]byte // by REPO/resolve/REVISION/FILE
	token  string            // that gated files need
	lie    string            // a digest in place of the right one
	gotURL []string
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gotURL = append(h.gotURL, r.URL.EscapedPath())
	data, ok := h.files[strings.TrimPrefix(r.URL.Path, "/")]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		return
	case h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token:
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	sum := hexSum(data)
	if h.lie != "" {
		sum = h.lie
	}
	w.Header().Set("X-Linked-Etag", `"`+sum+`"`)
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(data)))
	http.Redirect(w, r, h.store+"/blob?Signature=hidden", http.StatusFound)
}

// noWait is a backoff that does something between attempts.
func noWait(f func()) func(int) time.Duration {
	return func(int) time.Duration {
		f()
		return 0
	}
}

func startHub(t *testing.T, data []byte) (*hub, *site, *[]string) {
	t.Helper()
	store := &site{data: data, tag: `"storage-1"`}
	var seen []string // Authorization headers that reach the storage
	var mu sync.Mutex
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Get("Authorization"))
		mu.Unlock()
		store.ServeHTTP(w, r)
	}))
	h := &hub{store: s, files: map[string][]byte{"org/repo/resolve/main/m.gguf": data, "org/repo/resolve/refs/pr/1/a b/m.gguf": data}}
	t.Setenv("HF_ENDPOINT", serve(t, h))
	t.Setenv("HF_TOKEN", "")
	return h, store, &seen
}

func TestHub(t *testing.T) {
	data := gguf(100_000, 1)
	h, store, _ := startHub(t, data)
	store.cuts = []int{30_000}
	p := open(t, t.TempDir(), nil)
	// The storage's tag changes between attempts, as with another mirror of the same file.
	p.backoff = noWait(func() { store.change(func() { store.tag = `"storage-2"` }) })
	f := want(t, p, "hf://org/repo/m.gguf", data)
	if !f.Verified || len(store.ranges) != 2 || store.ranges[1] == "" || store.ifRange[1] != "" {
		t.Errorf("verified %v, ranges %q, if %q", f.Verified, store.ranges, store.ifRange)
	}
	f.Discard()
	want(t, p, "hf://org/repo@refs%2Fpr%2F1/a b/m.gguf", data).Discard()
	if got := h.gotURL[len(h.gotURL)-1]; got != "/org/repo/resolve/refs%2Fpr%2F1/a%20b/m.gguf" {
		t.Errorf("asked for %s", got)
	}
	wantErr(t, p, "hf://org/repo/other.gguf", errs.NotFound, "hf://org/repo/other.gguf", "revision")
}

func TestHubFileChangedMeanwhile(t *testing.T) {
	h, store, _ := startHub(t, gguf(100_000, 1))
	store.cuts = []int{30_000}
	next := gguf(100_000, 2)
	p := open(t, t.TempDir(), nil)
	p.backoff = noWait(func() {
		store.change(func() { store.data = next })
		h.mu.Lock()
		defer h.mu.Unlock()
		h.files["org/repo/resolve/main/m.gguf"] = next
	})
	want(t, p, "hf://org/repo/m.gguf", next).Discard()
}

func TestHubDigest(t *testing.T) {
	data := gguf(100_000, 1)
	h, store, _ := startHub(t, data)
	h.lie = strings.Repeat("cd", 32)
	p := open(t, t.TempDir(), nil)
	wantErr(t, p, "hf://org/repo/m.gguf", errs.DigestMismatch, "cdcd", "thrown away")
	h.lie = ""
	store.change(func() { store.data = data[:50_000] })
	wantErr(t, p, "hf://org/repo/m.gguf", errs.InvalidModelFile, "should have 100000 bytes", "50000")
}

func TestHubToken(t *testing.T) {
	data := gguf(10_000, 1)
	h, _, seen := startHub(t, data)
	h.token = "hf_secret"
	p := open(t, t.TempDir(), nil)
	wantErr(t, p, "hf://org/repo/m.gguf", errs.PermissionDenied, "HF_TOKEN", "gated")
	t.Setenv("HF_TOKEN", "hf_secret")
	want(t, p, "hf://org/repo/m.gguf", data).Discard()
	if len(*seen) != 1 || (*seen)[0] != "" { // the same host name, another port
		t.Errorf("the storage was given %q", *seen)
	}
}
