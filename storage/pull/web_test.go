package pull

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hyprstream/errs"
)

// gguf is n bytes that begin as a GGUF file; seed tells them apart.
func gguf(n int, seed byte) []byte {
	b := bytes.Repeat([]byte{seed, 1, 2, 3, 5, 7, 11}, n/7+1)[:n]
	copy(b, "GGUF\x03\x00\x00\x00")
	return b
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// site is a web server with one file and faults to order.
type site struct {
	mu       sync.Mutex
	data     []byte
	tag      string   // ETag
	cuts     []int    // bytes after which each of the next responses is cut
	ranges   []string // Range headers seen
	ifRange  []string
	noRange  bool
	status   []int // of the next responses, instead of the file
	declared int   // Content-Length, where it is not the file's
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.ifRange = append(s.ifRange, r.Header.Get("If-Range"))
	if len(s.status) > 0 {
		code := s.status[0]
		s.status = s.status[1:]
		w.WriteHeader(code)
		return
	}
	if s.tag != "" {
		w.Header().Set("ETag", s.tag)
	}
	if s.noRange {
		r.Header.Del("Range")
	}
	if s.declared > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(s.declared))
		_, _ = w.Write(s.data)
		return
	}
	if len(s.cuts) == 0 {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.data))
		return
	}
	n := s.cuts[0]
	s.cuts = s.cuts[1:]
	http.ServeContent(&cutter{w, n}, r, "", time.Time{}, bytes.NewReader(s.data))
}

// cutter cuts the connection after left bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	_, err := c.ResponseWriter.Write(b[:n])
	c.left -= n
	if n < len(b) {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func (s *site) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func open(t *testing.T, dir string, allow []string) *Puller {
	t.Helper()
	p, err := Open(dir, Options{Allow: allow})
	if err != nil {
		t.Fatal(err)
	}
	p.backoff = func(int) time.Duration { return time.Millisecond }
	t.Cleanup(p.Close)
	return p
}

func parse(t *testing.T, url string) Source {
	t.Helper()
	s, err := Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// want pulls and compares what came with data.
func want(t *testing.T, p *Puller, url string, data []byte) *File {
	t.Helper()
	f, err := p.Pull(t.Context(), parse(t, url), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Path)
	if err != nil || !bytes.Equal(got, data) || f.SHA256 != hexSum(data) || f.Bytes != int64(len(data)) {
		t.Fatalf("%d bytes of digest %s, want %d of %s (%v)", len(got), f.SHA256, len(data), hexSum(data), err)
	}
	return f
}

// wantErr pulls and looks at the error.
func wantErr(t *testing.T, p *Puller, url string, code errs.Code, texts ...string) {
	t.Helper()
	f, err := p.Pull(t.Context(), parse(t, url), false, nil)
	if err == nil {
		f.Discard()
		t.Fatalf("no error, want %s", code)
	}
	if errs.CodeOf(err) != code {
		t.Errorf("%s: %v, want %s", errs.CodeOf(err), err, code)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q lacks %q", err, text)
		}
	}
}

func TestCutConnectionsGoOn(t *testing.T) {
	s := &site{data: gguf(100_000, 1), tag: `"one"`, cuts: []int{30_000, 10, 0, 40_000}, status: []int{503}}
	p := open(t, t.TempDir(), nil)
	var last int64
	f, err := p.Pull(t.Context(), parse(t, serve(t, s)+"/m.gguf"), false, func(done, total int64) {
		if done < last || total != 100_000 {
			t.Errorf("progress %d after %d, of %d", done, last, total)
		}
		last = done
	})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(f.Path)
	if !bytes.Equal(got, s.data) || last != 100_000 || f.Verified {
		t.Fatalf("%d bytes, progress %d, verified %v", len(got), last, f.Verified)
	}
	if len(s.ranges) != 6 || s.ranges[2] == "" || s.ifRange[2] != `"one"` || !strings.HasSuffix(s.ranges[5], "-99999") {
		t.Errorf("asked for %q, if %q", s.ranges, s.ifRange)
	}
	f.Discard()
	if left, _ := os.ReadDir(p.dir); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestGoesOnInAnotherProcess(t *testing.T) {
	for name, sum := range map[string]bool{"with a digest": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			s := &site{data: gguf(100_000, 2), tag: `"one"`}
			dir, url := t.TempDir(), serve(t, s)+"/m.gguf"
			if sum {
				url += "#sha256=" + hexSum(s.data)
			}
			ctx, cancel := context.WithCancel(t.Context())
			s.cuts = slices.Repeat([]int{20_000}, 2)
			first := open(t, dir, nil)
			_, err := first.Pull(ctx, parse(t, url), false, func(done, _ int64) {
				if done > 25_000 {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%v", err)
			}
			s.change(func() { s.cuts, s.ranges = nil, nil })
			f := want(t, open(t, dir, nil), url, s.data)
			if f.Verified != sum {
				t.Errorf("verified %v", f.Verified)
			}
			if len(s.ranges) != 1 || !strings.HasPrefix(s.ranges[0], "bytes=") || strings.HasPrefix(s.ranges[0], "bytes=0") {
				t.Errorf("asked for %q", s.ranges)
			}
			f.Keep()
			f = want(t, open(t, dir, nil), url, s.data) // whole already
			f.Discard()
		})
	}
}

func TestAFileChangedMeanwhileBeginsAnew(t *testing.T) {
	for name, tags := range map[string][2]string{"ETag": {`"one"`, `"two"`}, "weak ETag": {`W/"one"`, `W/"two"`}, "none": {"", ""}} {
		t.Run(name, func(t *testing.T) {
			next := gguf(100_000, 4) // of the same size
			s := &site{data: gguf(100_000, 3), tag: tags[0], cuts: []int{50_000}}
			url := serve(t, s) + "/m.gguf"
			p := open(t, t.TempDir(), nil)
			p.backoff = func(int) time.Duration {
				s.change(func() { s.data, s.tag = next, tags[1] })
				return 0
			}
			want(t, p, url, next).Discard()
		})
	}
}

func TestWrongAnswers(t *testing.T) {
	data := gguf(50_000, 5)
	dir := t.TempDir()
	p := open(t, dir, nil)
	t.Run("another digest", func(t *testing.T) {
		url := serve(t, &site{data: data}) + "/m.gguf#sha256=" + strings.Repeat("ab", 32)
		wantErr(t, p, url, errs.DigestMismatch, hexSum(data), "abab", "try again")
	})
	t.Run("fewer bytes than it says", func(t *testing.T) {
		wantErr(t, p, serve(t, &site{data: data, declared: 60_000})+"/m.gguf", errs.SourceUnavailable, "cut", "could not be fetched")
	})
	t.Run("no ranges", func(t *testing.T) {
		want(t, p, serve(t, &site{data: data, noRange: true, tag: `"x"`, cuts: []int{20_000}})+"/m.gguf", data).Discard()
	})
	t.Run("never ends", func(t *testing.T) {
		wantErr(t, p, serve(t, &site{data: data, noRange: true, tag: `"x"`, cuts: slices.Repeat([]int{20_000}, 100)})+"/m.gguf", errs.SourceUnavailable, "could not be fetched")
	})
	for _, c := range []struct {
		status int
		code   errs.Code
		text   string
	}{{404, errs.NotFound, "check the name"}, {403, errs.PermissionDenied, "give its path"}, {401, errs.PermissionDenied, "401"}, {400, errs.SourceUnavailable, "answers 400"}} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			wantErr(t, p, serve(t, &site{status: []int{c.status}})+"/m.gguf?token=hidden", c.code, c.text)
		})
	}
	t.Run("a range of something else", func(t *testing.T) {
		url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"x"`)
			if r.Header.Get("Range") != "" { // one byte off
				w.Header().Set("Content-Range", "bytes 5-49999/50000")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(data[5:])
				return
			}
			w.Header().Set("Content-Length", "50000")
			_, _ = w.Write(data[:9_000])
			panic(http.ErrAbortHandler)
		}))
		wantErr(t, p, url+"/m.gguf", errs.SourceUnavailable)
	})
	t.Run("absurd size", func(t *testing.T) {
		wantErr(t, p, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9000000000000000")
			_, _ = w.Write(data)
		}))+"/m.gguf", errs.InvalidModelFile, "9000000000000000")
	})
	t.Run("encoded", func(t *testing.T) {
		wantErr(t, p, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(data)
		}))+"/m.gguf", errs.SourceUnavailable, "gzip")
	})
}

func TestNotGGUFIsRefusedAtOnce(t *testing.T) {
	sent := make(chan int, 1)
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4000000000")
		piece, n := bytes.Repeat([]byte("<html>"), 10_000), 0
		for n < 4_000_000_000 {
			k, err := w.Write(piece)
			if n += k; err != nil {
				break
			}
		}
		sent <- n
	}))
	p := open(t, t.TempDir(), nil)
	p.free = func(string) (int64, error) { return 1 << 40, nil }
	wantErr(t, p, url+"/m.gguf", errs.InvalidModelFile, "web page", "/m.gguf")
	if n := <-sent; n > 100_000_000 {
		t.Errorf("%d bytes were sent", n)
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, "*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestSlowServers(t *testing.T) {
	data := gguf(4_000, 6)
	var tries int
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"x"`)
		if tries++; tries == 1 { // falls silent in the middle
			w.Header().Set("Content-Length", "4000")
			_, _ = w.Write(data[:1000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	p := open(t, t.TempDir(), nil)
	p.stall = 50 * time.Millisecond
	want(t, p, url+"/m.gguf", data).Discard()
	if tries != 2 {
		t.Errorf("%d attempts", tries)
	}
}

func TestSpaceIsCheckedFirst(t *testing.T) {
	s := &site{data: gguf(100_000, 7)}
	p := open(t, t.TempDir(), nil)
	p.free = func(string) (int64, error) { return 64<<20 + 1000, nil }
	wantErr(t, p, serve(t, s)+"/m.gguf", errs.DiskFull, "needs 1 MB", "make room")
	if part, err := os.ReadDir(p.dir); err != nil || len(part) > 0 {
		t.Errorf("%v %v", part, err)
	}
}

func TestOnlyOnePullOfAFile(t *testing.T) {
	s := &site{data: gguf(100_000, 8)}
	p := open(t, t.TempDir(), nil)
	url := serve(t, s) + "/m.gguf"
	f := want(t, p, url, s.data)
	wantErr(t, p, url, errs.AlreadyExists, "being downloaded already")
	f.Discard()
	want(t, p, url, s.data).Discard()
}

func TestStaleDownloadsAreSwept(t *testing.T) {
	dir := t.TempDir()
	s := &site{data: gguf(100_000, 9), tag: `"a"`}
	p := open(t, dir, nil)
	want(t, p, serve(t, s)+"/m.gguf", s.data).Keep()
	if err := sweep(dir, time.Now().Add(partAge-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("young files: %v", left)
	}
	if err := sweep(dir, time.Now().Add(partAge+time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("old files: %v", left)
	}
}

func TestOffline(t *testing.T) {
	p := open(t, t.TempDir(), nil)
	wantErr(t, p, "https://model-host.invalid/m.gguf?key=hidden", errs.SourceUnavailable, "model-host.invalid", "offline", "HTTPS_PROXY", "give its path")
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	wantErr(t, p, srv.URL+"/m.gguf", errs.SourceUnavailable, "cannot be reached")
}
