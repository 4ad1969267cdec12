package flightsql

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"hyprstream/database"
	"hyprstream/errs"
)

// cookieName is what Arrow's own session middlewares use.
const cookieName = "arrow_flight_session_id"

// maxSessions bounds the clients served at once.
const maxSessions = 1000

// conn is one client connection, tagged into the context of its calls.
type conn struct {
	// Guarded by sessions.mu.
	own   *session              // made for this connection
	joins map[*session]struct{} // every session its calls used, own included
	ended bool
}

type connKey struct{}

// sessions gives each client connection its session and ends it with the
// connection. A client that returns the session cookie keeps its session on
// whatever connection it calls from; the session ends with the last of them.
// It implements stats.Handler, gRPC's only way to see connections end.
type sessions struct {
	db   *database.DB
	log  *slog.Logger
	gone func(*session) // called once when a session ends

	mu      sync.Mutex
	byID    map[string]*session
	closers sync.WaitGroup // goroutines that end sessions
}

func newSessions(db *database.DB, log *slog.Logger, gone func(*session)) *sessions {
	return &sessions{db: db, log: log, gone: gone, byID: map[string]*session{}}
}

// of finds the session of a call, or opens one.
func (m *sessions) of(ctx context.Context) (*session, error) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return nil, errs.New(errs.Internal, "session", "the call came without a connection")
	}
	cookie := incomingCookie(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.byID[cookie]; s != nil {
		m.join(c, s)
		return s, nil
	}
	if c.own == nil {
		if len(m.byID) >= maxSessions {
			return nil, errs.New(errs.QueueFull, "session", "%d clients are connected, as many as this server takes: try again later", maxSessions)
		}
		s, err := newSession(ctx, m.db, database.SessionOptions{Client: "flight", Java: fromJava(ctx)})
		if err != nil {
			return nil, err
		}
		m.byID[s.id] = s
		c.own = s
		m.join(c, s)
	}
	// Clients without a cookie jar ignore it.
	cookieOut := http.Cookie{Name: cookieName, Value: c.own.id, HttpOnly: true}
	if err := grpc.SetHeader(ctx, metadata.Pairs("set-cookie", cookieOut.String())); err != nil {
		m.log.Debug("session cookie not sent", "error", err)
	}
	return c.own, nil
}

// join needs m.mu.
func (m *sessions) join(c *conn, s *session) {
	if _, ok := c.joins[s]; ok {
		return
	}
	c.joins[s] = struct{}{}
	s.conns++
	if c.ended { // the call lost a race with its connection's end
		m.leave(c, s)
	}
}

// leave needs m.mu.
func (m *sessions) leave(c *conn, s *session) {
	delete(c.joins, s)
	if s.conns--; s.conns == 0 {
		m.end(s)
	}
}

// end forgets s and closes it in the background: closing waits for statements
// to stop. It needs m.mu.
func (m *sessions) end(s *session) {
	if m.byID[s.id] != s {
		return
	}
	delete(m.byID, s.id)
	m.closers.Add(1)
	go func() {
		defer m.closers.Done()
		m.gone(s)
		s.close()
	}()
}

// closeOf ends the session of a call, at its client's wish.
func (m *sessions) closeOf(ctx context.Context, s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := ctx.Value(connKey{}).(*conn); ok && c.own == s {
		c.own = nil
	}
	m.end(s)
}

// closeAll ends every session and waits until all have ended.
func (m *sessions) closeAll() {
	m.mu.Lock()
	for _, s := range m.byID {
		m.end(s)
	}
	m.mu.Unlock()
	m.closers.Wait()
}

func (m *sessions) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byID)
}

// TagConn marks the calls of a new connection.
func (m *sessions) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, connKey{}, &conn{joins: map[*session]struct{}{}})
}

// HandleConn ends what belongs to a connection that has ended.
func (m *sessions) HandleConn(ctx context.Context, event stats.ConnStats) {
	if _, ok := event.(*stats.ConnEnd); !ok {
		return
	}
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c.ended = true
	for s := range c.joins {
		m.leave(c, s)
	}
}

// TagRPC and HandleRPC complete stats.Handler; calls are not of interest.
func (m *sessions) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC does nothing.
func (m *sessions) HandleRPC(context.Context, stats.RPCStats) {}

// fromJava says that the client is Java: its JDBC driver (18.3.0) gives -1 for the
// greatest value of every unsigned type, and sends times in milliseconds whatever it is told.
func fromJava(ctx context.Context) bool {
	return slices.ContainsFunc(metadata.ValueFromIncomingContext(ctx, "user-agent"), func(agent string) bool {
		return strings.Contains(agent, "grpc-java")
	})
}

// incomingCookie is the session cookie a client returned, "" for none.
func incomingCookie(ctx context.Context) string {
	for _, line := range metadata.ValueFromIncomingContext(ctx, "cookie") {
		cookies, err := http.ParseCookie(strings.TrimSpace(line))
		if err != nil {
			continue // not ours to judge
		}
		for _, c := range cookies {
			if c.Name == cookieName {
				return c.Value
			}
		}
	}
	return ""
}
