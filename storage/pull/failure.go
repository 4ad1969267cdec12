package pull

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"hyprstream/errs"
)

const maxRetryAfter = time.Minute

// failure says whether what net/http reports may pass.
func (j *job) failure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		return &transient{cause: errStalled}
	}
	var own *errs.Error
	if errors.As(err, &own) {
		return own
	}
	if known := j.registryError(err); known != nil {
		return known
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return errs.Wrap(cert.Err, errs.SourceUnavailable, op, "%s shows a certificate that this machine does not trust (SSL_CERT_FILE names other authorities)", j.source.Host())
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return &transient{cause: errCutOff}
	}
	return &transient{cause: bare(err)}
}

// bare is an error without the URLs that net/http puts before it: their queries
// may carry keys.
func bare(err error) error {
	var e *url.Error
	for errors.As(err, &e) {
		err = e.Err
	}
	return err
}

// unreachable is what is said when the attempts are used up.
func (j *job) unreachable(cause error) error {
	host := j.source.Host()
	kept := "what has arrived is kept, and the same statement goes on from there"
	if j.part == nil || j.part.have == 0 {
		kept = "try again later"
	}
	if j.served {
		return errs.Wrap(cause, errs.SourceUnavailable, op, "%s could not be fetched from %s: %s", j.source, host, kept)
	}
	why := "is this machine offline, or behind a proxy (HTTPS_PROXY names it)?"
	var dns *net.DNSError
	if errors.As(cause, &dns) {
		why = "its name cannot be resolved: " + why
	}
	if j.source.Kind == Hub {
		why += " HF_ENDPOINT names a mirror."
	}
	return errs.Wrap(cause, errs.SourceUnavailable, op, "%s cannot be reached: %s %s; or download %s elsewhere, copy it here and give its path", host, why, kept, j.source)
}

// refused explains a status that is no file.
func (j *job) refused(resp *http.Response) error {
	status := resp.StatusCode
	if status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests || status >= 500 {
		wait := time.Duration(0)
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			wait = min(time.Duration(n)*time.Second, maxRetryAfter)
		}
		return &transient{cause: errors.New("the server answers " + resp.Status), after: wait}
	}
	return j.verdict(status, resp.Status)
}

// verdict is the error of a status that another attempt would meet again.
func (j *job) verdict(status int, text string) error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return errs.New(errs.PermissionDenied, op, "%s is not given to us (%s): %s", j.source, text, j.remedy())
	case http.StatusNotFound, http.StatusGone:
		if j.source.Repository() {
			return errs.New(errs.NotFound, op, "%s is not there (%s): there is no such repository or revision, or it is private; check the name as its page spells it, or set HF_TOKEN (of the server, where one runs) to a token that may read it", j.source, text)
		}
		return errs.New(errs.NotFound, op, "%s is not there (%s): check the name%s", j.source, text,
			map[string]string{Hub: ", the file as its page spells it, and the revision", Registry: " and the tag"}[j.source.Kind])
	}
	return errs.New(errs.SourceUnavailable, op, "%s answers %s instead of %s; download it by other means and give its path", j.source.Host(), strings.TrimSpace(text), j.source)
}

// remedy is the remedy for what needs a login.
func (j *job) remedy() string {
	switch j.source.Kind {
	case Hub:
		return "it does not exist, is private, or is gated. For a gated one accept its terms on its page; then set HF_TOKEN (of the server, where one runs) to a token that may read it"
	case Registry:
		return "`docker login " + j.source.Host() + "` (as the user that runs the server, where one runs) stores a login that is used here"
	}
	return "download it by other means and give its path"
}

// registryError translates what the OCI library reports of a registry; nil: it is
// something else.
func (j *job) registryError(err error) error {
	var answer *errcode.ErrorResponse
	switch {
	case errors.As(err, &answer):
		j.served = true
		return j.refused(&http.Response{StatusCode: answer.StatusCode, Status: strconv.Itoa(answer.StatusCode) + " " + http.StatusText(answer.StatusCode)})
	case errors.Is(err, errdef.ErrNotFound):
		return j.verdict(http.StatusNotFound, "404 Not Found")
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return j.verdict(http.StatusUnauthorized, "401 Unauthorized")
	case j.source.Kind == Registry && !errors.As(err, new(*url.Error)) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, new(net.Error)):
		return errs.Wrap(err, errs.SourceUnavailable, op, "the registry %s answers in a way that is not understood", j.source.Host())
	}
	return nil
}
