package pull

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"hyprstream/errs"
)

// target is a file on a server, as far as it is known before it is asked for.
type target struct {
	key  string // of the part
	url  *url.URL
	sha  string // promised digest in hex, "" is none
	blob string // promised name as a git object in hex, in place of sha; "" is none
	size int64  // bytes it should have, 0: unknown

	home  func(*http.Request) (*http.Response, error) // asks the file's own server, with its credentials
	plain func(*http.Request) (*http.Response, error) // asks others
	learn func(http.Header)                           // hears the own server's headers, also of a redirect; may be nil
}

const maxRedirects = 10

// locate finds the target of the source.
func (j *job) locate(ctx context.Context, adapter bool) error {
	j.target = j.p.newTarget()
	switch j.source.Kind {
	case Hub:
		j.hub()
	case Registry:
		return j.retry(ctx, func() int64 { return 0 }, func(ctx context.Context) error { return j.registry(ctx, adapter) })
	default:
		j.target.url, j.target.sha = j.source.web, j.source.sha
		j.target.key = j.source.web.String() + "#" + j.source.sha
	}
	return nil
}

// newTarget asks without credentials.
func (p *Puller) newTarget() target {
	once := &http.Client{Transport: p.web, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return target{home: once.Do, plain: once.Do}
}

// get asks for the file and follows redirects: never from https to http, and
// with credentials for the file's own server only.
func (t *target) get(ctx context.Context, header http.Header) (*http.Response, error) {
	u, do := t.url, t.home
	for range maxRedirects {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, err
		}
		req.Header = header.Clone()
		resp, err := do(req)
		if err != nil {
			return nil, err
		}
		if t.learn != nil && sameOrigin(u, t.url) {
			t.learn(resp.Header)
		}
		next, err := resp.Location()
		if resp.StatusCode < 300 || resp.StatusCode > 399 || err != nil {
			return resp, nil
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
		resp.Body.Close()
		if err := checkHop(u, next); err != nil {
			return nil, err
		}
		if u, do = next, t.plain; sameOrigin(u, t.url) {
			do = t.home
		}
	}
	return nil, errs.New(errs.SourceUnavailable, op, "%s redirects more than %d times", t.url.Host, maxRedirects)
}

func checkHop(from, to *url.URL) error {
	refuse := func(why string) error {
		return errs.New(errs.SourceUnavailable, op, "%s redirects to %s, %s; download the file by other means and give its path", from.Host, to.Host, why)
	}
	switch {
	case to.Scheme != "https" && to.Scheme != "http", to.Hostname() == "":
		return refuse("which is no web address")
	case to.Scheme == "http" && from.Scheme == "https":
		return refuse("from https to http, where anybody on the way could change the file")
	case to.Scheme == "http" && !loopback(to.Hostname()):
		return refuse("over http, where anybody on the way could change the file")
	case to.User != nil:
		return refuse("with a password in the address")
	}
	return nil
}

func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && withPort(a) == withPort(b)
}
