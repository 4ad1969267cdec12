package pull

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

const hubHome = "https://huggingface.co"

// endpoint is the hub, or the mirror that HF_ENDPOINT names. One that cannot be
// used is found when it is asked.
func endpoint() *url.URL {
	if u, err := url.Parse(strings.TrimRight(os.Getenv("HF_ENDPOINT"), "/")); err == nil && u.Host != "" && u.User == nil &&
		(u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())) {
		return u
	}
	u, _ := url.Parse(hubHome) // a constant
	return u
}

// withToken asks the hub with HF_TOKEN.
func (t *target) withToken() {
	home := t.home
	t.home = func(r *http.Request) (*http.Response, error) {
		if token := os.Getenv("HF_TOKEN"); token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return home(r)
	}
}

// hub makes the target of a file in a repository. Its digest comes with the
// hub's answer: the LFS pointer's.
func (j *job) hub() {
	s, t := j.source, &j.target
	t.url = endpoint().JoinPath(strings.Split(s.repo, "/")...).JoinPath("resolve")
	t.url = t.url.JoinPath(url.PathEscape(s.revision))
	for _, segment := range strings.Split(s.file, "/") {
		t.url = t.url.JoinPath(url.PathEscape(segment))
	}
	t.key = t.url.String()
	t.withToken()
	t.learn = func(h http.Header) {
		tag := h.Get("X-Linked-Etag")
		if tag == "" {
			tag = h.Get("ETag") // a mirror that serves the file itself
		}
		if sum := strings.ToLower(strings.Trim(tag, `"`)); len(sum) == 64 {
			if _, err := hex.DecodeString(sum); err == nil {
				t.sha = sum
			}
		}
		if n, err := strconv.ParseInt(h.Get("X-Linked-Size"), 10, 64); err == nil && n > 0 {
			t.size = n
		}
	}
}
