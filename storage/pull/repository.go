package pull

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"hyprstream/errs"
)

const (
	maxAnswer  = 64 << 20 // bytes of one answer of the hub's API
	maxEntries = 100_000
)

// Entry is a file of a repository.
type Entry struct {
	Path  string // from the repository's root
	Bytes int64
	sha   string // hex, of files in LFS
	blob  string // hex, git's object name; of an LFS file that of its pointer
}

// Repository is what a repository of the hub holds at one commit.
type Repository struct {
	Source Source // as it was asked for
	Commit string
	Files  []Entry // by path
}

// File is the source of one file, at the revision that was asked for.
func (r *Repository) File(path string) Source {
	s := r.Source
	s.file = path
	return s
}

var (
	hexName  = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)
	nextLink = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next"?`)
)

// List finds out which commit a repository's revision is, and what that holds.
// What is pushed later does not change what Folder fetches of it.
//
// Errors: PermissionDenied (the policy, or the hub's), NotFound,
// SourceUnavailable, InvalidModelFile (absurd sizes), the context's.
func (p *Puller) List(ctx context.Context, s Source) (*Repository, error) {
	if err := p.policy.source(s); err != nil {
		return nil, err
	}
	j := &job{p: p, source: s}
	j.target = p.newTarget()
	j.target.withToken()
	r := &Repository{Source: s}
	if err := j.list(ctx, r); err != nil {
		return nil, j.ended(ctx, err)
	}
	slices.SortFunc(r.Files, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return r, nil
}

func (j *job) list(ctx context.Context, r *Repository) error {
	var info struct {
		Commit string `json:"sha"`
	}
	api := endpoint().JoinPath("api", "models").JoinPath(strings.Split(j.source.repo, "/")...)
	if _, err := j.ask(ctx, api.JoinPath("revision", url.PathEscape(j.source.revision)), &info); err != nil {
		return err
	}
	if r.Commit = info.Commit; !hexName.MatchString(r.Commit) {
		return j.strange("names no commit")
	}
	u := api.JoinPath("tree", r.Commit)
	for query := "recursive=true"; query != ""; {
		var page []listed
		u.RawQuery = query
		header, err := j.ask(ctx, u, &page)
		if err != nil {
			return err
		}
		if err := j.addPage(r, page); err != nil {
			return err
		}
		query = ""
		if m := nextLink.FindStringSubmatch(strings.Join(header.Values("Link"), ",")); m != nil {
			// Only the query counts: a mirror may repeat the hub's own address, which is not to be asked.
			next, err := url.Parse(m[1])
			if err != nil || len(page) == 0 || next.RawQuery == u.RawQuery {
				return j.strange("names no next page that makes sense")
			}
			query = next.RawQuery
		}
	}
	return nil
}

// listed is a file or a folder as the hub's API describes it.
type listed struct {
	Type string `json:"type"`
	Path string `json:"path"`
	Size int64  `json:"size"`
	OID  string `json:"oid"`
	LFS  *struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	} `json:"lfs"`
}

func (j *job) addPage(r *Repository, page []listed) error {
	for _, l := range page {
		if l.Type != "file" {
			continue
		}
		e := Entry{Path: l.Path, Bytes: l.Size, blob: l.OID}
		if l.LFS != nil {
			e.Bytes, e.sha, e.blob = l.LFS.Size, l.LFS.OID, ""
		}
		if !hexName.MatchString(e.sha+e.blob) || e.Bytes < 0 {
			return j.strange("gives no digest or size of " + e.Path)
		}
		if err := j.checkSize(e.Bytes); err != nil {
			return err
		}
		r.Files = append(r.Files, e)
	}
	if len(r.Files) > maxEntries {
		return errs.New(errs.Unsupported, op, "%s has more than %d files; name the one to pull, or download what is needed and give its path", j.source, maxEntries)
	}
	return nil
}

func (j *job) strange(what string) error {
	return errs.New(errs.SourceUnavailable, op, "%s answers in a way that is not understood: it %s; download %s by other means and give its path", j.source.Host(), what, j.source)
}

// ask reads an answer of the hub's API into v.
func (j *job) ask(ctx context.Context, u *url.URL, v any) (header http.Header, err error) {
	t := j.target
	t.url = u
	err = j.retry(ctx, func() int64 { return 0 }, func(ctx context.Context) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer time.AfterFunc(j.p.stall, func() { cancel(errStalled) }).Stop()
		resp, err := t.get(ctx, http.Header{"Accept": {"application/json"}, "Accept-Encoding": {"identity"}, "User-Agent": {"hyprstream"}})
		if err != nil {
			return j.failure(ctx, err)
		}
		defer resp.Body.Close()
		j.served = true
		if resp.StatusCode != http.StatusOK {
			return j.refused(resp)
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		switch {
		case err != nil:
			return j.failure(ctx, err)
		case len(text) > maxAnswer || json.Unmarshal(text, v) != nil:
			return j.strange("sends something else than a list of files")
		}
		header = resp.Header
		return nil
	})
	return header, err
}
