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
		if sameSecret(secretOf(header), s.opt.Token) {
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

// Handshake exchanges user and password for the token that later calls bear.
// The interceptor has checked them; what comes back is what the client sent.
func (t *transport) Handshake(stream flight.FlightService_HandshakeServer) error {
	for _, header := range metadata.ValueFromIncomingContext(stream.Context(), "authorization") {
		if secret := secretOf(header); secret != "" {
			return stream.SendHeader(metadata.Pairs("authorization", "Bearer "+secret))
		}
	}
	return nil
}
