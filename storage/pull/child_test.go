package pull

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"hyprstream/errs"
)

// order is what a child process is to do: this test binary, started again.
type order struct {
	Dir, URL  string
	Allow     []string
	SyncEvery int64
	FileSize  uint64 // limit on files' sizes, 0: none
}

const orderName = "PULL_TEST_ORDER"

func TestMain(m *testing.M) {
	if text := os.Getenv(orderName); text != "" {
		child(text)
		return
	}
	os.Exit(m.Run())
}

// child pulls, and prints the bytes it has after each piece, then the outcome.
func child(text string) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	if o.FileSize > 0 {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: o.FileSize, Max: o.FileSize}); err != nil {
			panic(err)
		}
	}
	p, err := Open(o.Dir, Options{Allow: o.Allow})
	if err != nil {
		panic(err)
	}
	p.syncEvery = o.SyncEvery
	s, err := Parse(o.URL)
	if err != nil {
		panic(err)
	}
	if s.Repository() {
		childFolder(p, s)
		return
	}
	f, err := p.Pull(context.Background(), s, false, func(done, _ int64) { fmt.Println(done) })
	if err != nil {
		fmt.Println("failed:", errs.CodeOf(err), err)
		return
	}
	fmt.Println("pulled", f.SHA256)
	f.Keep()
}

func childFolder(p *Puller, s Source) {
	r, err := p.List(context.Background(), s)
	if err != nil {
		fmt.Println("failed:", err)
		return
	}
	f := p.Folder(r)
	if err := f.Add(context.Background(), r.Files, func(done int64) { fmt.Println(done) }); err != nil {
		fmt.Println("failed:", err)
		return
	}
	fmt.Println("pulled", r.Commit)
	f.Keep()
}

func start(t *testing.T, o order, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), orderName+"="+string(text)), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// outcome is the child's last line.
func outcome(t *testing.T, o order, env ...string) string {
	t.Helper()
	cmd, lines := start(t, o, env...)
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, last)
	}
	return last
}

func TestKilledPullGoesOn(t *testing.T) {
	for name, withSum := range map[string]bool{"with a digest": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			data := gguf(2_000_000, 1)
			file := &site{data: data, tag: `"x"`}
			var first sync.Once
			url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				held := false
				first.Do(func() { held = true })
				if !held {
					file.ServeHTTP(w, r)
					return
				}
				w.Header().Set("ETag", `"x"`)
				w.Header().Set("Content-Length", "2000000")
				_, _ = w.Write(data[:1_500_000])
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done() // the child is killed
			})) + "/m.gguf"
			if withSum {
				url += "#sha256=" + hexSum(data)
			}
			o := order{Dir: t.TempDir(), URL: url, SyncEvery: 500_000}
			cmd, lines := start(t, o)
			for lines.Scan() && lines.Text() != "1500000" {
			}
			if err := cmd.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			if got := outcome(t, o); got != "pulled "+hexSum(data) {
				t.Fatal(got)
			}
			var from int
			if _, err := fmt.Sscanf(file.ranges[0], "bytes=%d-", &from); err != nil || from < 500_000 || withSum && from != 1_500_000 {
				t.Errorf("went on from %q", file.ranges)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	data := gguf(1_000_000, 1)
	s := &site{data: data, tag: `"x"`}
	o := order{Dir: t.TempDir(), URL: serve(t, s) + "/m.gguf", SyncEvery: 1 << 20, FileSize: 600_000}
	if got := outcome(t, o); !strings.Contains(got, "DISK_FULL") || !strings.Contains(got, "make room") {
		t.Fatal(got)
	}
	o.FileSize = 0
	if got := outcome(t, o); got != "pulled "+hexSum(data) {
		t.Fatal(got)
	}
	if s.ranges[1] != "bytes=600000-999999" {
		t.Errorf("asked for %q", s.ranges)
	}
}

// TestProxy pulls through a proxy on the loopback, also where clients may reach
// public addresses only.
func TestProxy(t *testing.T) {
	data := gguf(10_000, 1)
	origin := httptest.NewTLSServer(&site{data: data}) // its certificate is example.com's
	t.Cleanup(origin.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: origin.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"HTTPS_PROXY=" + serve(t, tunnel{origin.Listener.Addr().String()}), "NO_PROXY=", "no_proxy=", "https_proxy=", "SSL_CERT_FILE=" + ca}
	for _, allow := range [][]string{nil, {"https"}} {
		if got := outcome(t, order{Dir: t.TempDir(), URL: "https://example.com/m.gguf", Allow: allow, SyncEvery: 1 << 20}, env...); got != "pulled "+hexSum(data) {
			t.Errorf("%v: %s", allow, got)
		}
	}
	got := outcome(t, order{Dir: t.TempDir(), URL: "https://10.0.0.1/m.gguf", Allow: []string{"https"}}, env...)
	if !strings.Contains(got, "PERMISSION_DENIED") {
		t.Error(got)
	}
}

// tunnel is a proxy whose every connection leads to one address.
type tunnel struct{ to string }

func (p tunnel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	out, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer out.Close()
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, in)
		_ = out.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(in, out)
	in.Close()
	<-done
}
