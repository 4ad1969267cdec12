package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hyprstream/errs"
	"hyprstream/storage"
)

// transient is a failure that another attempt may not meet.
type transient struct {
	cause error
	after time.Duration // as the server asks, 0: as we like
}

func (t *transient) Error() string { return t.cause.Error() }
func (t *transient) Unwrap() error { return t.cause }

var (
	errCutOff  = errors.New("the connection was cut")
	errStalled = errors.New("the server fell silent")
	errChanged = errors.New("the file changed on the server")
)

// retry calls f until it succeeds, fails for good, or fails p.attempts times
// without anything gained; got says how much is there.
func (j *job) retry(ctx context.Context, got func() int64, f func(context.Context) error) error {
	failures, best := 0, got()
	for {
		err := f(ctx)
		var again *transient
		if err == nil || ctx.Err() != nil || !errors.As(err, &again) {
			return err
		}
		if n := got(); n > best {
			failures, best = 0, n
		}
		failures++
		if limit := j.p.attempts; failures >= limit || !j.served && failures >= 2 {
			return j.unreachable(again.cause)
		}
		j.p.log.Info("a download goes on after a failure", "source", j.source, "bytes", got(), "err", again.cause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(j.p.backoff(failures), again.after)):
		}
	}
}

// fetch completes the part.
func (j *job) fetch(ctx context.Context) error {
	pt := j.part
	known := pt.promised() && pt.SHA256 == j.target.sha && pt.Blob == j.target.blob
	if !known || pt.have != pt.Size || pt.Size == 0 {
		err := j.retry(ctx, func() int64 { return pt.have }, j.attempt)
		if serr := pt.sync(); err == nil {
			err = serr
		}
		if err != nil {
			return err
		}
	}
	got, wanted, err := pt.compare()
	if err == nil && got != wanted {
		pt.remove()
		return errs.New(errs.DigestMismatch, op, "%s arrived with the digest %s, not the promised %s: it was damaged on the way or replaced; it is thrown away, try again", j.source, got, wanted)
	}
	return err
}

// attempt asks for what is missing and takes what comes.
func (j *job) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(j.p.stall, func() { cancel(errStalled) })
	defer silence.Stop()
	from := j.part.have
	if j.part.Size > 0 {
		from = min(from, j.part.Size-1) // a range of no bytes cannot be asked for
	}
	resp, err := j.target.get(ctx, j.rangeHeader(from))
	if err != nil {
		return j.failure(ctx, err)
	}
	defer resp.Body.Close()
	j.served = true
	body, err := j.accept(resp, from)
	if err != nil {
		return err
	}
	return j.take(ctx, body, func() { silence.Reset(j.p.stall) })
}

// rangeHeader asks for the bytes behind from, of the same file as before.
func (j *job) rangeHeader(from int64) http.Header {
	h := http.Header{"Accept-Encoding": {"identity"}, "User-Agent": {"hyprstream"}}
	pt := j.part
	if from <= 0 || !pt.promised() && pt.ETag == "" && pt.Modified == "" {
		return h
	}
	last := ""
	if pt.Size > 0 {
		last = strconv.FormatInt(pt.Size-1, 10)
	}
	h.Set("Range", fmt.Sprintf("bytes=%d-%s", from, last))
	switch {
	case j.byDigest():
	case pt.ETag != "":
		h.Set("If-Range", pt.ETag)
	default:
		h.Set("If-Range", pt.Modified)
	}
	return h
}

// accept reads a response's headers, decides whether it continues the part, and
// gives the bytes to append.
func (j *job) accept(resp *http.Response, from int64) (io.Reader, error) {
	now, err := j.describe(resp)
	if err != nil {
		return nil, err
	}
	pt := j.part
	switch resp.StatusCode {
	case http.StatusPartialContent:
		start, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || start != from || pt.Size > 0 && total != pt.Size || !j.sameFile(now) {
			return nil, j.anew()
		}
		if _, err := io.CopyN(io.Discard, resp.Body, pt.have-from); err != nil {
			return nil, &transient{cause: errCutOff}
		}
		if pt.Size == 0 {
			return resp.Body, nil
		}
		if err := j.checkSpace(pt.Size - pt.have); err != nil {
			return nil, err
		}
		return io.LimitReader(resp.Body, pt.Size-pt.have), nil
	case http.StatusOK:
		if err := j.checkSize(now.Size); err != nil {
			return nil, err
		}
		if err := j.checkSpace(now.Size); err != nil {
			return nil, err
		}
		j.checked = false
		return resp.Body, pt.begin(now)
	case http.StatusRequestedRangeNotSatisfiable:
		return nil, j.anew()
	}
	return nil, j.refused(resp)
}

// byDigest says whether the digest alone tells if a file has changed: a hub's or
// registry's servers of the same file have different tags.
func (j *job) byDigest() bool { return j.source.Kind != Web && j.part.promised() }

// sameFile says whether a response continues the part.
func (j *job) sameFile(now state) bool {
	pt := j.part
	if now.promised() && (now.SHA256 != pt.SHA256 || now.Blob != pt.Blob) {
		return false
	}
	return j.byDigest() || pt.ETag == "" || now.ETag == "" || pt.ETag == now.ETag
}

// anew forgets what is there; the next attempt begins at the first byte.
func (j *job) anew() error {
	if err := j.part.begin(state{}); err != nil {
		return err
	}
	return &transient{cause: errChanged}
}

// describe is what a response says of the whole file.
func (j *job) describe(resp *http.Response) (state, error) {
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return state{}, errs.New(errs.SourceUnavailable, op, "%s answers with the file encoded (%s), though it was asked not to; download it by other means and give its path", resp.Request.URL.Host, e)
	}
	s := state{SHA256: j.target.sha, Blob: j.target.blob, Modified: resp.Header.Get("Last-Modified"), Size: max(resp.ContentLength, 0)}
	if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, `"`) { // weak ones say nothing of bytes
		s.ETag = tag
	}
	if want := j.target.size; want > 0 && resp.StatusCode == http.StatusOK {
		if s.Size > 0 && s.Size != want {
			return s, errs.New(errs.InvalidModelFile, op, "%s should have %d bytes, but the server sends %d: it is damaged there", j.source, want, s.Size)
		}
		s.Size = want
	}
	return s, nil
}

func (j *job) checkSize(n int64) error {
	if n > maxBytes {
		return errs.New(errs.InvalidModelFile, op, "%s claims %d bytes, more than any model has", j.source, n)
	}
	return nil
}

// take appends what the body holds.
func (j *job) take(ctx context.Context, body io.Reader, alive func()) error {
	pt := j.part
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			alive()
			if _, err := pt.Write(buf[:n]); err != nil {
				return err
			}
			if err := j.afterWrite(); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
			continue
		case !errors.Is(err, io.EOF):
			return j.failure(ctx, err)
		case pt.Size > 0 && pt.have < pt.Size:
			return &transient{cause: errCutOff}
		}
		pt.Size = pt.have
		return j.checkHead(true)
	}
}

func (j *job) afterWrite() error {
	pt := j.part
	if pt.Size > 0 && pt.have > pt.Size {
		pt.remove()
		return errs.New(errs.InvalidModelFile, op, "%s sends more than the %d bytes it should have", j.source, pt.Size)
	}
	if err := j.checkHead(false); err != nil {
		return err
	}
	if pt.have-pt.Synced >= j.p.syncEvery {
		if pt.Size == 0 { // nothing was known when it began
			if err := errors.Join(j.checkSize(pt.have), j.checkSpace(0)); err != nil {
				return err
			}
		}
		if err := pt.sync(); err != nil {
			return err
		}
	}
	if j.progress != nil {
		j.progress(pt.have, pt.Size)
	}
	return nil
}

// checkHead looks at the first bytes once they are there, so that gigabytes of
// something else are not fetched.
func (j *job) checkHead(whole bool) error {
	if j.raw || j.checked || j.part.have < 64 && !whole {
		return nil
	}
	head := make([]byte, 64)
	n, err := j.part.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := storage.CheckHead(j.source.String(), head[:n]); err != nil {
		j.part.remove()
		return err
	}
	j.checked = true
	return nil
}

// contentRange reads "bytes 10-99/100"; total is -1 where it is "*".
func contentRange(text string) (start, total int64, ok bool) {
	var end int64
	if _, err := fmt.Sscanf(text, "bytes %d-%d/%d", &start, &end, &total); err == nil {
		return start, total, start <= end && end < total
	}
	_, err := fmt.Sscanf(text, "bytes %d-%d/*", &start, &end)
	return start, -1, err == nil && start <= end
}
