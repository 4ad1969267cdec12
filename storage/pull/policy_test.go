package pull

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"hyprstream/errs"
)

// https serves h and makes p trust it.
func https(t *testing.T, p *Puller, h http.Handler) string {
	t.Helper()
	srv := httptest.NewTLSServer(h)
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	p.tls = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	p.web = p.newTransport()
	return srv.URL
}

func TestParse(t *testing.T) {
	sum := strings.Repeat("0123456789abcdef", 4)
	for _, c := range []struct{ url, shown, file, host string }{
		{"hf://org/repo/m.gguf", "hf://org/repo/m.gguf", "m.gguf", "huggingface.co"},
		{"hf://org/re.po@v1.0/sub/m Q4.gguf", "hf://org/re.po@v1.0/sub/m Q4.gguf", "m Q4.gguf", "huggingface.co"},
		{"hf://org/repo@refs%2Fpr%2F1/m.gguf", "hf://org/repo@refs%2Fpr%2F1/m.gguf", "m.gguf", "huggingface.co"},
		{"https://huggingface.co/org/repo/blob/main/m.gguf", "hf://org/repo/m.gguf", "m.gguf", "huggingface.co"},
		{"https://huggingface.co/org/repo/resolve/v2/a/m.gguf?download=true", "hf://org/repo@v2/a/m.gguf", "m.gguf", "huggingface.co"},
		{"oci://docker.io/ai/smollm2", "oci://docker.io/ai/smollm2:latest", "smollm2", "docker.io"},
		{"oci://127.0.0.1:5000/a/b:1b-Q4_K_M", "oci://127.0.0.1:5000/a/b:1b-Q4_K_M", "b-1b-Q4_K_M", "127.0.0.1:5000"},
		{"oci://r.io/a/b@sha256:" + sum, "oci://r.io/a/b@sha256:" + sum, "b", "r.io"},
		{"https://h.io:8443/a/m.gguf?sig=secret#sha256=" + strings.ToUpper(sum), "https://h.io:8443/a/m.gguf#sha256=" + sum, "m.gguf", "h.io:8443"},
		{"HTTP://localhost:80/m.gguf", "http://localhost:80/m.gguf", "m.gguf", "localhost:80"},
		{"http://[::1]/m.gguf", "http://[::1]/m.gguf", "m.gguf", "[::1]"},
	} {
		s, err := Parse(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if s.String() != c.shown || s.File() != c.file || s.Host() != c.host || !IsURL(c.url) {
			t.Errorf("%s is %s, file %s, host %s", c.url, s, s.File(), s.Host())
		}
		if again, err := Parse(s.String()); err != nil || again.String() != s.String() {
			t.Errorf("%s again is %s (%v)", s, again, err)
		}
	}
	for _, c := range []struct {
		url, text string
		code      errs.Code
	}{
		{"hf://m.gguf", "names no repository", errs.InvalidArgument},
		{"hf://org/repo/../x", "names no file", errs.InvalidArgument},
		{"hf://../repo/x", "is no repository", errs.InvalidArgument},
		{"hf://org/repo@/x", "revision", errs.InvalidArgument},
		{"hf://org/repo@..%2F..%2Fapi/x", "revision", errs.InvalidArgument},
		{"hf://user:hunter2@org/repo/x", "HF_TOKEN", errs.InvalidArgument},
		{"oci://user:hunter2@r.io/a", "docker login", errs.InvalidArgument},
		{"oci://r.io", "REGISTRY/NAME", errs.InvalidArgument},
		{"https://user:hunter2@h.io/m.gguf", "user name or password", errs.InvalidArgument},
		{"https://", "cannot be read", errs.InvalidArgument},
		{"https://h.io/m.gguf#sha256=abc", "64 hexadecimal", errs.InvalidArgument},
		{"https://h.io/m.gguf#md5=abc", "sha256=", errs.InvalidArgument},
		{"http://h.io/m.gguf", "use https://", errs.PermissionDenied},
		{"http://127.0.0.1.h.io/m.gguf", "use https://", errs.PermissionDenied},
		{"s3://bucket/m.gguf", "given as a path", errs.Unsupported},
		{"file:///m.gguf", "path alone", errs.Unsupported},
	} {
		_, err := Parse(c.url)
		if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %s: %v", c.url, errs.CodeOf(err), err)
		}
	}
	for _, path := range []string{"/m.gguf", "m.gguf", "C:\\m.gguf", "a:b/m.gguf", ""} {
		if IsURL(path) {
			t.Errorf("%q is taken for a URL", path)
		}
	}
}

func TestRedirects(t *testing.T) {
	data := gguf(10_000, 1)
	file := &site{data: data, tag: `"x"`}
	plain := serve(t, file)
	p := open(t, t.TempDir(), nil)
	var to string
	url := https(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/file" {
			file.ServeHTTP(w, r)
			return
		}
		http.Redirect(w, r, to, http.StatusFound)
	})) + "/m.gguf"
	to = "/file"
	want(t, p, url, data).Discard()
	for _, c := range []struct{ to, text string }{
		{plain + "/m.gguf", "from https to http"},
		{"/m.gguf", "more than 10 times"},
		{"https://u:hunter2@h.io/", "password"},
		{"ftp://h.io/x", "no web address"},
	} {
		to = c.to
		wantErr(t, p, url, errs.SourceUnavailable, c.text)
	}
	over := serve(t, http.RedirectHandler("http://models.invalid/m.gguf?sig=hidden", http.StatusFound))
	wantErr(t, p, over+"/m.gguf", errs.SourceUnavailable, "over http")
}

func TestUntrustedCertificate(t *testing.T) {
	srv := httptest.NewTLSServer(&site{data: gguf(1000, 1)})
	t.Cleanup(srv.Close)
	wantErr(t, open(t, t.TempDir(), nil), srv.URL+"/m.gguf", errs.SourceUnavailable, "SSL_CERT_FILE")
}

func TestPolicy(t *testing.T) {
	data := gguf(10_000, 1)
	inside := serve(t, &site{data: data})
	host := strings.TrimPrefix(inside, "http://")
	away := serve(t, http.RedirectHandler(inside+"/m.gguf", http.StatusFound))
	awayHost := strings.TrimPrefix(away, "http://")
	t.Run("nothing", func(t *testing.T) {
		p := open(t, t.TempDir(), []string{})
		wantErr(t, p, "hf://org/repo/m.gguf", errs.PermissionDenied, "--allow-pull hf")
		wantErr(t, p, "oci://r.io/a:b", errs.PermissionDenied, "--allow-pull oci", "--allow-pull r.io")
		wantErr(t, p, inside+"/m.gguf", errs.PermissionDenied, "--allow-pull https")
	})
	t.Run("by scheme: public addresses only", func(t *testing.T) {
		p := open(t, t.TempDir(), []string{"https", "oci"})
		wantErr(t, p, inside+"/m.gguf", errs.PermissionDenied, "inside this network", "--allow-pull "+host)
		for _, u := range []string{"https://localhost/x", "https://169.254.169.254/latest/meta-data", "https://[::ffff:10.0.0.1]/x", "oci://127.0.0.1:1/a:b"} {
			wantErr(t, p, u, errs.PermissionDenied, "inside this network")
		}
	})
	t.Run("by host", func(t *testing.T) {
		want(t, open(t, t.TempDir(), []string{host}), inside+"/m.gguf", data).Discard()
		want(t, open(t, t.TempDir(), []string{"127.0.0.1"}), away+"/m.gguf", data).Discard()
	})
	t.Run("a redirect inwards", func(t *testing.T) {
		wantErr(t, open(t, t.TempDir(), []string{awayHost}), away+"/m.gguf", errs.PermissionDenied, "inside this network", host)
	})
	t.Run("the hub's mirror", func(t *testing.T) {
		t.Setenv("HF_ENDPOINT", inside)
		want(t, open(t, t.TempDir(), []string{"hf"}), "hf://org/repo/m.gguf", data).Discard()
		wantErr(t, open(t, t.TempDir(), []string{"hf"}), away+"/m.gguf", errs.PermissionDenied, "--allow-pull https")
	})
	for _, bad := range []string{"", "https://x", "a b", "u@h"} {
		if _, err := Open(t.TempDir(), Options{Allow: []string{bad}}); errs.CodeOf(err) != errs.InvalidArgument {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for ip, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "172.32.0.1": true, "100.128.0.1": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.100.100.200": false,
		"0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fd00::1": false, "ff02::1": false, "::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
	} {
		if got := public(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: public %v", ip, got)
		}
	}
}
