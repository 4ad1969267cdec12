package catalog

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/storage/pull"
)

// startPulls is start with a puller, and a web server of testdata that tells
// asked of each request for a file.
func startPulls(t *testing.T, dir string, asked func(r *http.Request)) (*Statements, string) {
	t.Helper()
	s, _ := start(t, dir)
	p, err := pull.Open(filepath.Join(dir, "blobs", "downloads"), pull.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	s.Pulls = p
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked(r)
		data, err := os.ReadFile(testdata(t, filepath.Base(r.URL.Path)))
		if r.URL.Path == "/short.gguf" {
			data, err = os.ReadFile(testdata(t, "tiny.gguf"))
			data = data[:len(data)/2]
		}
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", `"`+filepath.Base(r.URL.Path)+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(web.Close)
	return s, web.URL
}

func downloads(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(dir, "blobs", "downloads"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestPulledModels(t *testing.T) {
	dir := t.TempDir()
	var ranges []string
	s, url := startPulls(t, dir, func(r *http.Request) { ranges = append(ranges, r.Header.Get("Range")) })
	for _, c := range []struct {
		sql  string
		code errs.Code
		want string
	}{
		{"CREATE MODEL tiny FROM '@/tiny.gguf?key=hidden'", "", "model tiny created: llama"},
		{"CREATE MODEL IF NOT EXISTS tiny FROM '@/nowhere'", "", "already exists"},
		{"CREATE ADAPTER a FOR MODEL tiny FROM '@/tiny-notemplate.gguf?key=hidden'", errs.InvalidArgument, "CREATE MODEL name FROM '@/tiny-notemplate.gguf'"},
		{"CREATE MODEL plain FROM '@/tiny-notemplate.gguf?key=hidden'", "", "model plain created"},
		{"CREATE ADAPTER a FOR MODEL tiny FROM '@/tiny-lora.gguf'", "", "adapter a created"},
		{"CREATE MODEL x FROM '@/short.gguf?key=hidden'", errs.InvalidModelFile, "@/short.gguf"},
		{"CREATE MODEL x FROM '@/nowhere.gguf'", errs.NotFound, "@/nowhere.gguf"},
		{"CREATE MODEL x FROM 's3://b/x.gguf'", errs.Unsupported, "hf://"},
	} {
		got, err := s.Run(t.Context(), strings.ReplaceAll(c.sql, "@", url))
		want := strings.ReplaceAll(c.want, "@", url)
		if errs.CodeOf(err) != c.code || err == nil && !strings.Contains(got, want) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n  %q %s %v", c.sql, got, errs.CodeOf(err), err)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s tells a secret: %v", c.sql, err)
		}
	}
	if m, err := s.Catalog.FindModel("tiny"); err != nil || m.Source != url+"/tiny.gguf" {
		t.Error(m.Source, err)
	}
	// Of a file that was there whole, one byte is asked for, to see that it is the same.
	if ranges[2] != "bytes=317279-317279" {
		t.Errorf("ranges %q", ranges)
	}
	if n, left := blobs(t, dir), downloads(t, dir); n != 3 || left != 0 {
		t.Errorf("%d blobs, %d downloads left", n, left)
	}
	// The catalog is what Verify holds the adopted file against.
	m, err := s.Catalog.FindModel("tiny")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(testdata(t, "tiny.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(m.Path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d: %v", len(got), len(want), err)
	}
}

// While a file is fetched, which may take hours, other models' files can go.
func TestDropDuringAPull(t *testing.T) {
	dir := t.TempDir()
	var s *Statements
	var url string
	s, url = startPulls(t, dir, func(r *http.Request) {
		if r.URL.Path == "/tiny-notemplate.gguf" {
			if _, err := s.Run(t.Context(), "DROP MODEL tiny"); err != nil {
				t.Error(err)
			}
			if n := blobs(t, dir); n != 0 {
				t.Errorf("%d blobs during the pull", n)
			}
		}
	})
	for _, sql := range []string{"CREATE MODEL tiny FROM '" + url + "/tiny.gguf'", "CREATE MODEL plain FROM '" + url + "/tiny-notemplate.gguf'"} {
		if _, err := s.Run(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if n := blobs(t, dir); n != 1 {
		t.Errorf("%d blobs", n)
	}
}
