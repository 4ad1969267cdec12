package flightsql

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"google.golang.org/grpc/metadata"

	"hyprstream/errs"
)

// authorise checks the token of a call; with no token configured every call may
// pass. A password equal to the token is as good: drivers know both forms.
func (s *service) authorise(ctx context.Context) error {
	if s.opt.Token == "" {
		return nil
	}
	for _, header := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		secret, _ := cutSession(secretOf(header))
		if sameSecret(secretOf(header), s.opt.Token) || sameSecret(secret, s.opt.Token) {
			return nil
		}
	}
	return errs.New(errs.Unauthenticated, "flightsql", "this server wants its token: send it as `authorization: Bearer TOKEN`, or as the password of any user")
}

// secretOf takes the token out of a Bearer header or the password out of a
// Basic one.
func secretOf(header string) string {
	scheme, rest, _ := strings.Cut(header, " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		return strings.TrimSpace(rest)
	case "basic":
		plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(rest), "=")) // with padding or without
		if err != nil {
			return ""
		}
		_, password, _ := strings.Cut(string(plain), ":")
		return password
	}
	return ""
}

// sameSecret compares in a time that tells nothing of either, length included.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// sessionMark stands between the secret and the session's id in a token that
// Handshake gave.
const sessionMark = ".session-"

// cutSession takes the session's id off a token; id is "" where there is none.
func cutSession(token string) (secret, id string) {
	i := strings.LastIndex(token, sessionMark)
	if i < 0 {
		return token, ""
	}
	return token[:i], token[i+len(sessionMark):]
}

// sessionOf is the id of the session that a call's token names, "" for none.
func sessionOf(ctx context.Context) string {
	for _, header := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		if _, id := cutSession(secretOf(header)); id != "" {
			return id
		}
	}
	return ""
}

// Handshake exchanges user and password, which the interceptor has checked, for the
// token that later calls bear: it names the session as well, on any connection.
func (t *transport) Handshake(stream flight.FlightService_HandshakeServer) error {
	for _, header := range metadata.ValueFromIncomingContext(stream.Context(), "authorization") {
		secret, _ := cutSession(secretOf(header))
		if secret == "" {
			continue
		}
		sess, err := t.service.sessions.of(stream.Context())
		if err != nil {
			return err
		}
		return stream.SendHeader(metadata.Pairs("authorization", "Bearer "+secret+sessionMark+sess.id))
	}
	return nil
}
