package database

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"hyprstream/errs"
)

// Clients pull what --allow-pull names, and ai.queries shows how far a pull is.
func TestPulls(t *testing.T) {
	data, err := os.ReadFile("../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		_ = http.NewResponseController(w).Flush()
		<-seen
		_, _ = w.Write(data[len(data)/2:])
	}))
	t.Cleanup(web.Close)
	host := strings.TrimPrefix(web.URL, "http://")
	create := "CREATE MODEL m FROM '" + web.URL + "/tiny.gguf'"

	for _, allow := range [][]string{nil, {"hf", "oci", "https"}} {
		s := openConfig(t, Config{Dir: t.TempDir(), AllowDirs: []string{t.TempDir()}, AllowPull: allow})
		if _, err := s.Exec(t.Context(), create); errs.CodeOf(err) != errs.PermissionDenied || !strings.Contains(err.Error(), "--allow-pull") {
			t.Errorf("%v: %v", allow, err)
		}
	}
	s := openConfig(t, Config{Dir: t.TempDir(), AllowDirs: []string{t.TempDir()}, AllowPull: []string{host}})
	side, err := s.db.Session(t.Context(), SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Exec(t.Context(), create)
		done <- err
	}()
	for got := ""; got != "0.5"; {
		got = sql(t, side, "SELECT coalesce(max(round(progress, 1)), 0) FROM ai.queries WHERE statement LIKE 'CREATE MODEL%'")
		select {
		case err := <-done:
			t.Fatalf("the pull ended early: %v", err)
		default:
		}
	}
	close(seen)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := sql(t, side, "SELECT name, source FROM ai.models"); got != "m|"+web.URL+"/tiny.gguf" {
		t.Error(got)
	}
}

func openConfig(t *testing.T, cfg Config) *Session {
	t.Helper()
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s, err := db.Session(t.Context(), SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
