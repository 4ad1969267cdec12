package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"regexp"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"hyprstream/errs"
)

// maxMessage is what a reply may weigh; the server sends about 2 MB at a time.
const maxMessage = 64 << 20

// endpoint is a server's Flight address: host:port, or grpc://host:port, or
// grpc+tls://host:port.
type endpoint struct {
	address string
	tls     bool
	ca      string
}

func splitScheme(address string) (scheme, hostport string) {
	if s, rest, ok := strings.Cut(address, "://"); ok {
		return s, strings.TrimSuffix(rest, "/")
	}
	return "", address
}

// remote is a connection to a server. The server keeps one SQL session for it.
type remote struct {
	client  *flightsql.Client
	address string
	end     endpoint
	token   string
}

func dial(ctx context.Context, e endpoint, token string) (Client, error) {
	scheme, hostport := splitScheme(e.address)
	switch scheme {
	case "", "grpc", "grpc+tcp":
	case "grpc+tls", "grpcs":
		e.tls = true
	default:
		return nil, errs.New(errs.InvalidArgument, "cli", "the server address %q must be host:port, grpc://host:port or grpc+tls://host:port", e.address)
	}
	if _, _, err := net.SplitHostPort(hostport); err != nil {
		return nil, errs.New(errs.InvalidArgument, "cli", "the server address %q has no port; the Flight port is 8815 unless serve was told otherwise", e.address)
	}
	creds := insecure.NewCredentials()
	if e.tls {
		conf, err := tlsConfig(e.ca)
		if err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(conf)
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	}
	if isLoopback(hostport) {
		opts = append(opts, grpc.WithNoProxy())
	}
	if token != "" {
		if !e.tls && !isLoopback(hostport) {
			return nil, errs.New(errs.PermissionDenied, "cli", "the token would travel to %s in the clear; use --server grpc+tls://%s", hostport, hostport)
		}
		opts = append(opts, grpc.WithPerRPCCredentials(bearer{token}))
	}
	c, err := flightsql.NewClientCtx(ctx, "passthrough:///"+hostport, nil, nil, opts...)
	if err != nil {
		return nil, errs.Wrap(err, errs.EngineUnavailable, "cli", "no connection to the server at %s", hostport)
	}
	return &remote{client: c, address: hostport, end: e, token: token}, nil
}

func tlsConfig(ca string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, errs.Wrap(err, errs.InvalidArgument, "cli", "the certificate of the server cannot be read")
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errs.New(errs.InvalidArgument, "cli", "%s holds no PEM certificate", ca)
	}
	return conf, nil
}

// bearer sends the token with every call. dial has seen to it that it is not
// sent in the clear to another machine.
type bearer struct{ token string }

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearer) RequireTransportSecurity() bool { return false }

// Query prepares, binds and runs one statement. Rows come as the server makes them.
func (r *remote) Query(ctx context.Context, sql string, args ...any) (Result, error) {
	parent := ctx
	ctx, cancel := context.WithCancel(parent)
	st, err := r.client.Prepare(ctx, sql)
	if err != nil {
		cancel()
		return nil, r.failed(parent, err)
	}
	if len(args) > 0 {
		rec, err := parameters(args)
		if err != nil {
			cancel()
			return nil, err
		}
		st.SetParameters(rec)
		rec.Release()
	}
	res := &remoteResult{remote: r, ctx: ctx, cancel: cancel, stmt: st}
	res.refs.Store(1)
	if err := res.start(); err != nil {
		res.Release()
		return nil, r.failed(parent, err)
	}
	return res, nil
}

func (r *remote) Sibling(ctx context.Context) (Client, error) { return dial(ctx, r.end, r.token) }

func (r *remote) Close() error { return r.client.Close() }

// coded is the message of a status of ours: the code and the text.
var coded = regexp.MustCompile(`^\[([A-Z_]+)\] (?s:(.*))$`)

// failed turns a gRPC status back into the server's error.
func (r *remote) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ended(ctx, err)
	}
	var own *errs.Error
	if errors.As(err, &own) {
		return err
	}
	st, _ := status.FromError(err)
	if m := coded.FindStringSubmatch(st.Message()); m != nil {
		return errs.New(errs.Code(m[1]), "cli", "%s", m[2])
	}
	switch st.Code() {
	case codes.Unavailable:
		return errs.New(errs.EngineUnavailable, "cli", "no answer from the server at %s (%s); is it running? hyprstream serve starts one", r.address, st.Message())
	case codes.Unauthenticated:
		return errs.New(errs.Unauthenticated, "cli", "%s", st.Message())
	case codes.Canceled:
		return errs.New(errs.Cancelled, "cli", "%s", st.Message())
	}
	return errs.Wrap(err, errs.Internal, "cli", "the server's answer")
}

// noRows is the schema of a statement without a result set.
var noRows = arrow.NewSchema(nil, nil)
