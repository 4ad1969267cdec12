package flightsql

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/keepalive"

	"hyprstream/database"
	"hyprstream/errs"
)

// Options of a server. The zero value serves without authentication or TLS,
// which is for the loopback only; refusing other addresses is the caller's job.
type Options struct {
	Logger    *slog.Logger     // nil: none
	Token     string           // "": no authentication
	TLS       *tls.Config      // nil: plain text
	TTL       time.Duration    // of unused tickets and prepared statements, and of a session without a connection; 0: 10 minutes
	Handles   int              // tickets, and prepared statements, kept at once; 0: 10,000
	IdleTTL   time.Duration    // of a session whose connection asks nothing; 0: 12 hours
	Sessions  int              // kept at once; 0: 1,000
	Version   string           // of the product, for SqlInfo
	Allocator memory.Allocator // nil: Go's
}

// messageBytes bounds a single message from a client. Batches of an ingest are
// larger than queries.
const messageBytes = 256 << 20

// Server is a Flight SQL server over a database it does not own.
type Server struct {
	service *service
	grpc    *grpc.Server
	stop    chan struct{}
	once    sync.Once
	janitor sync.WaitGroup
}

// New makes a server; Serve starts it.
func New(db *database.DB, opt Options) (*Server, error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.TTL == 0 {
		opt.TTL = 10 * time.Minute
	}
	if opt.Handles == 0 {
		opt.Handles = 10_000
	}
	if opt.IdleTTL == 0 {
		opt.IdleTTL = 12 * time.Hour
	}
	if opt.Sessions == 0 {
		opt.Sessions = 1000
	}
	if opt.Allocator == nil {
		opt.Allocator = memory.DefaultAllocator
	}
	svc, err := newService(db, opt)
	if err != nil {
		return nil, err
	}
	s := &Server{service: svc, grpc: grpc.NewServer(svc.grpcOptions()...), stop: make(chan struct{})}
	flight.RegisterFlightServiceServer(s.grpc, &transport{
		FlightServer: flightsql.NewFlightServerWithAllocator(svc, svc.mem),
		service:      svc,
	})
	s.janitor.Add(1)
	go s.sweep()
	return s, nil
}

// Serve answers calls on the listener until Shutdown, and closes it.
func (s *Server) Serve(lis net.Listener) error {
	err := s.grpc.Serve(lis)
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Shutdown takes no new calls and lets running ones finish until ctx ends, then
// cancels them. When it returns, nothing of the server runs any more.
func (s *Server) Shutdown(ctx context.Context) error {
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		s.grpc.GracefulStop()
	}()
	select {
	case <-graceful:
	case <-ctx.Done():
		s.grpc.Stop()
		<-graceful
	}
	s.once.Do(func() { close(s.stop) })
	s.janitor.Wait()
	s.service.sessions.closeAll()
	return ctx.Err()
}

// sweep drops handles that nobody uses.
func (s *Server) sweep() {
	defer s.janitor.Done()
	tick := time.NewTicker(max(min(s.service.opt.TTL, s.service.opt.IdleTTL)/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			s.service.tickets.sweep(now)
			s.service.prepared.sweep(now)
			s.service.sessions.sweep(now)
		case <-s.stop:
			return
		}
	}
}

// service implements the Flight SQL commands.
type service struct {
	flightsql.BaseServer
	opt      Options
	log      *slog.Logger
	mem      memory.Allocator
	sessions *sessions
	tickets  *handles[*ticket]
	prepared *handles[*prepared]
	running  running
}

func newService(db *database.DB, opt Options) (*service, error) {
	s := &service{opt: opt, log: opt.Logger, mem: opt.Allocator}
	s.Alloc = opt.Allocator
	s.running.byID = map[string]context.CancelCauseFunc{}
	s.tickets = newHandles(opt.TTL, opt.Handles, (*ticket).release, func(t *ticket) bool { return s.sessions.has(t.plan.session) })
	s.prepared = newHandles(opt.TTL, opt.Handles, (*prepared).release, func(p *prepared) bool { return s.sessions.has(p.plan.session) })
	s.sessions = newSessions(db, opt, s.forget)
	return s, s.registerInfo()
}

// forget drops what a session that ends has left.
func (s *service) forget(sess *session) {
	s.tickets.dropWhere(func(t *ticket) bool { return t.plan.session == sess })
	s.prepared.dropWhere(func(p *prepared) bool { return p.plan.session == sess })
}

func (s *service) grpcOptions() []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(messageBytes),
		grpc.MaxSendMsgSize(messageBytes),
		grpc.StatsHandler(s.sessions),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.streamed),
		// Clients ping while they wait for a long generation; let them.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		// Notices a client whose machine vanished.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
	}
	if s.opt.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.opt.TLS)))
	}
	return opts
}

// unary and streamed surround every call: authentication before, the one
// translation of errors after, and a panic becomes an error of that call.
func (s *service) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (res any, err error) {
	defer s.finish(info.FullMethod, time.Now(), &err)
	if err := s.authorise(ctx); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (s *service) streamed(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer s.finish(info.FullMethod, time.Now(), &err)
	if err := s.authorise(stream.Context()); err != nil {
		return err
	}
	return handler(srv, stream)
}

func (s *service) finish(method string, start time.Time, err *error) {
	if p := recover(); p != nil {
		s.log.Error("panic in a call", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = errs.New(errs.Internal, method, "the server failed on this call; its log says more")
	}
	s.log.Debug("call", "method", method, "elapsed", time.Since(start), "code", string(errs.CodeOf(*err)))
	*err = toStatus(*err)
}
