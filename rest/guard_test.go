package rest

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestHosts(t *testing.T) {
	for _, c := range []struct {
		host  string
		hosts []string
		want  bool
	}{
		{"127.0.0.1:8080", nil, true},
		{"localhost", nil, true},
		{"LOCALHOST:8080", nil, true},
		{"app.localhost:8080", nil, true},
		{"[::1]:8080", nil, true},
		{"127.9.9.9", nil, true},
		{"", nil, false},
		{"evil.example:8080", nil, false},
		{"127.0.0.1.evil.example", nil, false},
		{"localhost.evil.example", nil, false},
		{"evillocalhost", nil, false},
		{"10.0.0.5:8080", nil, false},
		{"10.0.0.5:8080", []string{"10.0.0.5"}, true},
		{"db.example:8080", []string{"db.example:8080"}, true},
		{"10.0.0.5:8080", []string{"0.0.0.0"}, true},
		{"[fd00::1]:8080", []string{"::"}, true},
		{"evil.example", []string{"0.0.0.0"}, false},
	} {
		if got := hostAllowed(c.host, c.hosts); got != c.want {
			t.Errorf("hostAllowed(%q, %q) = %v", c.host, c.hosts, got)
		}
	}
}

func TestForeignOrigin(t *testing.T) {
	for _, c := range []struct {
		name   string
		method string
		header http.Header
		ok     bool
	}{
		{"a program", "POST", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, true},
		{"no type at all", "POST", nil, true},
		{"own page", "POST", http.Header{"Origin": {"http://127.0.0.1:8080"}, "Content-Type": {"application/json; charset=utf-8"}}, true},
		{"own page, a form", "POST", http.Header{"Origin": {"http://127.0.0.1:8080"}, "Content-Type": {"text/plain"}}, false},
		{"own page over the other name", "POST", http.Header{"Origin": {"http://localhost:8080"}, "Content-Type": {"application/json"}}, false},
		{"another port", "POST", http.Header{"Origin": {"http://127.0.0.1:3000"}, "Content-Type": {"application/json"}}, false},
		{"another site", "POST", http.Header{"Origin": {"https://evil.example"}, "Content-Type": {"application/json"}}, false},
		{"a sandboxed frame", "POST", http.Header{"Origin": {"null"}, "Content-Type": {"application/json"}}, false},
		{"an image of another site", "GET", http.Header{"Sec-Fetch-Site": {"cross-site"}}, false},
		{"another port, no origin", "GET", http.Header{"Sec-Fetch-Site": {"same-site"}}, false},
		{"own page's fetch", "GET", http.Header{"Sec-Fetch-Site": {"same-origin"}}, true},
		{"typed into the address bar", "GET", http.Header{"Sec-Fetch-Site": {"none"}}, true},
		{"another site's preflight", "OPTIONS", http.Header{"Origin": {"https://evil.example"}}, false},
	} {
		r := httptest.NewRequest(c.method, "http://127.0.0.1:8080/v1/sql", nil)
		for k, v := range c.header {
			r.Header[k] = v
		}
		if got := foreignOrigin(r); (got == "") != c.ok {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
