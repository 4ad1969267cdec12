package flightsql

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"hyprstream/database"
	"hyprstream/errs"
)

// cookieName is what Arrow's own session middlewares use.
const cookieName = "arrow_flight_session_id"

// conn is one client connection, tagged into the context of its calls.
type conn struct {
	// Guarded by sessions.mu.
	own   *session              // made for this connection
	lost  bool                  // own was idle for too long and had state of its own: its client is to know
	joins map[*session]struct{} // every session its calls used, own included
	ended bool
}

type connKey struct{}

// sessions gives each client connection its session and ends it with the
// connection. A client that returns the session's id, as a cookie or in the token
// that Handshake gave it, keeps its session on whatever connection it calls from, and
// for a while (Options.TTL) without any. Who asks nothing for long (Options.IdleTTL)
// loses its session too. It implements stats.Handler, gRPC's only way to see
// connections end.
type sessions struct {
	db   *database.DB
	opt  Options
	gone func(*session) // called once when a session ends

	mu      sync.Mutex
	byID    map[string]*session
	closers sync.WaitGroup // goroutines that end sessions
}

func newSessions(db *database.DB, opt Options, gone func(*session)) *sessions {
	return &sessions{db: db, opt: opt, gone: gone, byID: map[string]*session{}}
}

// of finds the session of a call, or opens one.
func (m *sessions) of(ctx context.Context) (*session, error) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return nil, errs.New(errs.Internal, "session", "the call came without a connection")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range []string{incomingCookie(ctx), sessionOf(ctx)} {
		if s := m.byID[id]; s != nil {
			s.named = true
			s.used = time.Now()
			m.join(c, s)
			return s, nil
		}
	}
	if c.lost {
		c.lost = false
		return nil, errs.New(errs.Cancelled, "session",
			"this connection was idle for %v, its session was closed: its temporary tables, settings and open transaction are gone; the next statement begins a new one", m.opt.IdleTTL)
	}
	if c.own == nil {
		if err := m.makeRoom(); err != nil {
			return nil, err
		}
		s, err := newSession(ctx, m.db, database.SessionOptions{Client: "flight", Java: fromJava(ctx)})
		if err != nil {
			return nil, err
		}
		m.byID[s.id] = s
		c.own = s
		m.join(c, s)
	}
	c.own.used = time.Now()
	// Clients without a cookie jar ignore it.
	cookieOut := http.Cookie{Name: cookieName, Value: c.own.id, HttpOnly: true}
	if err := grpc.SetHeader(ctx, metadata.Pairs("set-cookie", cookieOut.String())); err != nil {
		m.opt.Logger.Debug("session cookie not sent", "error", err)
	}
	return c.own, nil
}

// join needs m.mu.
func (m *sessions) join(c *conn, s *session) {
	if _, ok := c.joins[s]; ok {
		return
	}
	c.joins[s] = struct{}{}
	s.of[c] = struct{}{}
	if c.ended { // the call lost a race with its connection's end
		m.leave(c, s)
	}
}

// leave needs m.mu.
func (m *sessions) leave(c *conn, s *session) {
	delete(c.joins, s)
	delete(s.of, c)
	if len(s.of) > 0 {
		return
	}
	if s.used = time.Now(); !s.named {
		m.end(s) // nobody can come back to it
	}
}

// makeRoom ends the session without a connection that was used least recently, where
// there are as many as may be. It needs m.mu.
func (m *sessions) makeRoom() error {
	if len(m.byID) < m.opt.Sessions {
		return nil
	}
	var oldest *session
	for _, s := range m.byID {
		if len(s.of) == 0 && (oldest == nil || s.used.Before(oldest.used)) {
			oldest = s
		}
	}
	if oldest == nil {
		return errs.New(errs.QueueFull, "session", "%d clients are connected, as many as this server takes: try again later", m.opt.Sessions)
	}
	m.end(oldest)
	return nil
}

// sweep ends the sessions that nobody has used for their time to live.
func (m *sessions) sweep(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.byID {
		ttl := m.opt.IdleTTL
		if len(s.of) == 0 {
			ttl = m.opt.TTL
		}
		if s.idle(now) < ttl {
			continue
		}
		for c := range s.of {
			c.lost = c.own == s && s.hasState()
		}
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
	for c := range s.of {
		if c.own == s {
			c.own = nil
		}
	}
	m.closers.Add(1)
	go func() {
		defer m.closers.Done()
		m.gone(s)
		s.close()
	}()
}

// has says that s has not ended. After it says no, gone may have run already.
func (m *sessions) has(s *session) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[s.id] == s
}

// closeOf ends the session of a call, at its client's wish.
func (m *sessions) closeOf(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
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
