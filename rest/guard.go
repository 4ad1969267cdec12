package rest

import (
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"hyprstream/errs"
)

// guardHost refuses requests whose Host header is not a name of this server.
// A page that rebinds its own DNS name to 127.0.0.1 is stopped here: its
// requests still carry the page's name.
func (s *server) guardHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.opt.Token == "" && !hostAllowed(r.Host, s.opt.Hosts) {
			s.fail(w, r, errs.New(errs.PermissionDenied, "rest",
				"the Host header %q is not a name of this server; use http://127.0.0.1 or the address given to --http", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostAllowed says whether the Host header hostport is the loopback or one of hosts.
func hostAllowed(hostport string, hosts []string) bool {
	host := hostOnly(hostport)
	if host == "" {
		return false
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true // browsers resolve these to the loopback themselves
	}
	addr, err := netip.ParseAddr(host)
	numeric := err == nil
	if numeric && addr.IsLoopback() {
		return true
	}
	for _, h := range hosts {
		h = hostOnly(h)
		if h == host {
			return true
		}
		// A rebinding attack needs a name, so every numeric address of a
		// listener on all interfaces is its own.
		if any, err := netip.ParseAddr(h); err == nil && any.IsUnspecified() && numeric {
			return true
		}
	}
	return false
}

// hostOnly strips the port, brackets and the case from a host.
func hostOnly(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// guardOrigin refuses requests that a page of another origin makes in a
// browser. Programs send neither Origin nor Sec-Fetch-Site and pass.
func (s *server) guardOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reason := foreignOrigin(r); reason != "" {
			s.fail(w, r, errs.New(errs.PermissionDenied, "rest", "%s; pages of other origins may not use this server", reason))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// foreignOrigin says why r comes from another origin, or "" where it does not.
func foreignOrigin(r *http.Request) string {
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "cross-site", "same-site": // same-site: another port or subdomain, still another origin
		return "the browser calls this request " + site
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return ""
	}
	u, err := url.Parse(origin)
	if err != nil || !strings.EqualFold(u.Host, r.Host) || u.Host == "" {
		return "the Origin " + origin + " is not this server's"
	}
	// A form cannot send application/json, so a POST that is not JSON is no
	// script of ours. Without an Origin (curl -d) any type is read as JSON.
	if r.Method == http.MethodPost {
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
			return "a browser's POST must have Content-Type application/json"
		}
	}
	return ""
}

// guardToken asks for the bearer token where one is configured.
func (s *server) guardToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.opt.Token != "" {
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if !strings.EqualFold(scheme, "bearer") || subtle.ConstantTimeCompare([]byte(token), []byte(s.opt.Token)) != 1 {
				w.Header().Set("WWW-Authenticate", `Bearer realm="hyprstream"`)
				s.fail(w, r, errs.New(errs.Unauthenticated, "rest", "this server needs the header \"Authorization: Bearer <token>\" with the token it was started with"))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, s.opt.MaxBody)
		next.ServeHTTP(w, r)
	})
}
