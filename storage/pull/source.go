package pull

import (
	"cmp"
	"encoding/hex"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"

	"oras.land/oras-go/v2/registry"

	"hyprstream/errs"
)

// Kinds of source.
const (
	Hub      = "hf"
	Registry = "oci"
	Web      = "https" // and http on the loopback
)

// Source is a parsed URL of a file, or of a repository.
type Source struct {
	Kind string // Hub, Registry or Web

	web      *url.URL // of Web, without a fragment
	sha      string   // of Web: the digest the caller named; "" is none
	repo     string   // of Hub: org/name
	revision string   // of Hub
	file     string   // of Hub: the path in the repository; "" is all of it
	ref      registry.Reference
}

var (
	urlForm    = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*)://(.*)$`)
	hubSegment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	hubRoot    = regexp.MustCompile(`^/([^/]+/[^/]+)(?:/tree/([^/]+))?/?$`)
	hubPage    = regexp.MustCompile(`^/([^/]+/[^/]+)/(?:blob|resolve)/([^/]+)/(.+)$`)
)

const forms = "hf://ORG/REPO, hf://ORG/REPO/FILE, oci://REGISTRY/NAME:TAG and https://HOST/FILE"

// SHA256 is the digest that the caller named with the URL, "" for none.
func (s Source) SHA256() string { return s.sha }

// IsURL says whether what follows FROM is a URL and no path.
func IsURL(text string) bool { return urlForm.MatchString(text) }

// Parse reads a URL. Errors: InvalidArgument and Unsupported, with the remedy;
// they never repeat a password.
func Parse(text string) (Source, error) {
	m := urlForm.FindStringSubmatch(text)
	if m == nil {
		return Source{}, invalid("%q is no URL: the forms are %s", text, forms)
	}
	scheme, rest := strings.ToLower(m[1]), m[2]
	// An @ before the first slash ends a user name; behind it, it begins a revision or a digest.
	if host, _, _ := strings.Cut(rest, "/"); strings.Contains(host, "@") {
		return Source{}, invalid("a URL must not carry a user name or password, which would be kept and shown: leave it out; " +
			"hf:// takes HF_TOKEN from the environment, oci:// what `docker login` stored, and what else needs a password is downloaded by other means and given as a path")
	}
	switch scheme {
	case "hf":
		return parseHub(rest)
	case "oci":
		return parseRegistry(rest)
	case "https", "http":
		return parseWeb(text)
	case "file":
		return Source{}, errs.New(errs.Unsupported, op, "file:// is not needed: give the path alone")
	}
	return Source{}, errs.New(errs.Unsupported, op, "%s:// is not known: the forms are %s; what lies elsewhere is downloaded by other means and given as a path", scheme, forms)
}

const op = "pull"

func invalid(format string, args ...any) error {
	return errs.New(errs.InvalidArgument, op, format, args...)
}

func parseHub(rest string) (Source, error) {
	parts := strings.Split(rest, "/")
	if len(parts) < 2 {
		return Source{}, invalid("hf://%s names no repository: write hf://ORG/REPO or hf://ORG/REPO/FILE.gguf, with @REVISION behind REPO for another revision than main", rest)
	}
	if len(parts) == 3 && parts[2] == "" {
		parts = parts[:2]
	}
	name, revision, found := strings.Cut(parts[1], "@")
	if !found {
		revision = "main"
	}
	revision, err := url.PathUnescape(revision)
	if err != nil || revision == "" || strings.ContainsAny(revision, "?#\\") || strings.Contains(revision, "..") {
		return Source{}, invalid("hf://%s names no usable revision behind @; it is a branch, a tag or a commit", rest)
	}
	if !hubSegment.MatchString(parts[0]) || !hubSegment.MatchString(name) {
		return Source{}, invalid("hf://%s: %q is no repository; its form is ORG/REPO", rest, parts[0]+"/"+name)
	}
	for _, s := range parts[2:] {
		if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "?#\\") {
			return Source{}, invalid("hf://%s names no file of a repository; its form is hf://ORG/REPO/FILE.gguf", rest)
		}
	}
	return Source{Kind: Hub, repo: parts[0] + "/" + name, revision: revision, file: strings.Join(parts[2:], "/")}, nil
}

func parseRegistry(rest string) (Source, error) {
	ref, err := registry.ParseReference(rest)
	if err != nil || strings.ContainsAny(rest, "?#") {
		return Source{}, invalid("oci://%s is no reference: its form is oci://REGISTRY/NAME:TAG or oci://REGISTRY/NAME@sha256:DIGEST, such as oci://docker.io/ai/smollm2:latest", rest)
	}
	if ref.Reference == "" {
		ref.Reference = "latest"
	}
	return Source{Kind: Registry, ref: ref}, nil
}

func parseWeb(text string) (Source, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return Source{}, invalid("the URL cannot be read; its form is https://HOST/FILE.gguf")
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return Source{}, errs.New(errs.PermissionDenied, op, "http://%s is refused, since anybody on the way could change the file: use https://, or download it by other means and give its path", u.Host)
	}
	s := Source{Kind: Web}
	if u.Fragment != "" {
		sum, found := strings.CutPrefix(u.Fragment, "sha256=")
		if raw, err := hex.DecodeString(sum); !found || err != nil || len(raw) != 32 {
			return Source{}, invalid("#%s is not understood: behind # stands sha256= and the file's digest, 64 hexadecimal digits", u.Fragment)
		}
		s.sha = strings.ToLower(sum)
	}
	u.Fragment, u.RawFragment = "", ""
	if m := hubPage.FindStringSubmatch(u.Path); m != nil && u.Host == "huggingface.co" && s.sha == "" { // copied from the browser
		return parseHub(strings.Replace(m[1]+"@"+m[2]+"/"+m[3], "@main/", "/", 1))
	}
	if m := hubRoot.FindStringSubmatch(u.Path); m != nil && u.Host == "huggingface.co" && s.sha == "" {
		return parseHub(m[1] + "@" + cmp.Or(m[2], "main"))
	}
	s.web = u
	return s, nil
}

// Host is the server that is asked first, with its port where one is given.
func (s Source) Host() string {
	switch s.Kind {
	case Registry:
		return s.ref.Registry
	case Web:
		return s.web.Host
	}
	return endpoint().Host
}

// File is the file's or the repository's name, as a path would end.
func (s Source) File() string {
	switch s.Kind {
	case Registry:
		name := path.Base(s.ref.Repository)
		if s.ref.Reference != "latest" && s.ref.ValidateReferenceAsDigest() != nil {
			name += "-" + s.ref.Reference
		}
		return name
	case Web:
		if base := path.Base(s.web.Path); base != "/" && base != "." {
			return base
		}
		return s.web.Hostname()
	}
	if s.Repository() {
		return path.Base(s.repo)
	}
	return path.Base(s.file)
}

// String is the URL as it may be kept and shown: without a query, which may
// carry a key.
func (s Source) String() string {
	switch s.Kind {
	case Registry:
		return "oci://" + s.ref.String()
	case Web:
		u := *s.web
		u.RawQuery = ""
		if s.sha != "" {
			u.Fragment = "sha256=" + s.sha
		}
		return u.String()
	}
	at := ""
	if s.revision != "main" {
		at = "@" + url.PathEscape(s.revision)
	}
	if s.Repository() {
		return "hf://" + s.repo + at
	}
	return "hf://" + s.repo + at + "/" + s.file
}

// Repository says whether s is a repository, which List and Folder fetch, and
// not a file, which Pull does.
func (s Source) Repository() bool { return s.Kind == Hub && s.file == "" }

// loopback says whether a host without its port is this machine by its name.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
