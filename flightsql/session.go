package flightsql

import (
	"context"
	"sync"
	"time"

	"hyprstream/database"
	"hyprstream/errs"
)

const (
	// maxSiblings bounds the extra database sessions one client may cause.
	maxSiblings = 8
	// stallLimit is how long a statement waits for an earlier result of its
	// connection that its client has stopped reading.
	stallLimit = 10 * time.Second
)

// need says which database session a piece of work can use.
type need int

const (
	needAny  need = iota // the client's own, or a sibling where that shows the same
	needOwn              // only the client's own: it holds a transaction, temporary tables, settings
	needLook             // metadata: the client's own when free, else a sibling
	needEnd              // as needOwn, ending an unread result that holds it: a transaction's end
)

// session is one client's SQL session. Its own database session executes one
// statement at a time; a result that is still being produced holds it. Reads
// that arrive meanwhile use a sibling (a database session of their own), unless
// the client has made state that a sibling would not see.
type session struct {
	id    string // also the value of the session cookie
	db    *database.DB
	token chan struct{} // capacity 1; whoever put a value in owns sql
	sql   *database.Session
	spare chan struct{} // capacity maxSiblings; one value per open sibling

	// Guarded by sessions.mu.
	of    map[*conn]struct{} // connections that use the session
	named bool               // its client has called it by its id
	used  time.Time          // a call asked for it last, or its last connection ended

	ctx    context.Context // ends when the session closes; every statement's context ends with it
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	work     sync.WaitGroup // open leases; added to under mu while not closed
	closed   bool
	active   int            // statements that hold a lease
	ended    time.Time      // when the last of them ended
	local    bool           // has state of its own
	tx       string         // id of the open transaction, "" for none
	current  *lease         // who owns sql, when known
	catalog  string         // as set by a session option, "" for the default
	timeout  time.Duration  // of a statement; 0: none
	settings map[string]any // set as session options
	options  database.SessionOptions
}

func newSession(ctx context.Context, db *database.DB, opt database.SessionOptions) (*session, error) {
	sql, err := db.Session(ctx, opt)
	if err != nil {
		return nil, err
	}
	s := &session{
		id: newID(), db: db, sql: sql, options: opt,
		of: map[*conn]struct{}{}, used: time.Now(),
		token: make(chan struct{}, 1), spare: make(chan struct{}, maxSiblings),
	}
	// Not the connection's context: the session outlives one call and may be
	// shared by several connections. close ends it.
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return s, nil
}

// lease is the right to run one statement. release must be called once the
// statement's last row has been produced.
type lease struct {
	session *session
	sql     *database.Session
	own     bool // sql is the client's own session
	wanted  chan struct{}
	once    sync.Once // guards closing wanted

	// Guarded by session.mu.
	stalled time.Time // since when nobody reads the result, zero while somebody does
	cancel  context.CancelCauseFunc
}

// acquire waits for a database session fit for the work, until ctx ends.
func (s *session) acquire(ctx context.Context, n need) (*lease, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errSessionClosed()
	}
	s.work.Add(1)
	s.active++
	alone := n == needOwn || n == needEnd || (n == needAny && (s.local || s.tx != ""))
	s.mu.Unlock()
	l, err := s.find(ctx, alone, n == needEnd)
	if err != nil {
		s.leave()
		return nil, err
	}
	return l, nil
}

func (s *session) find(ctx context.Context, alone, end bool) (*lease, error) {
	select {
	case s.token <- struct{}{}:
		return s.ownLease(), nil
	default:
	}
	if !alone {
		select {
		case s.spare <- struct{}{}:
			return s.sibling(ctx)
		default: // as many siblings as allowed: queue like the rest
		}
	}
	return s.queue(ctx, end)
}

// queue waits for the client's own database session. It asks the result that
// holds it to be buffered to its end, and gives up when the client reads that
// result no more: waiting longer would be a deadlock of the client's making.
func (s *session) queue(ctx context.Context, end bool) (*lease, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.press(end); err != nil {
			return nil, err
		}
		select {
		case s.token <- struct{}{}:
			return s.ownLease(), nil
		case <-ctx.Done():
			return nil, causeOf(ctx, ctx.Err())
		case <-tick.C:
		}
	}
}

// press hurries the statement that holds the client's own database session.
func (s *session) press(end bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil
	}
	s.current.want()
	switch since := s.current.stalled; {
	case since.IsZero():
	case end && s.current.cancel != nil:
		s.current.cancel(errs.New(errs.Cancelled, "transaction", "the result was not read before its transaction ended"))
	case time.Since(since) > stallLimit:
		return errs.New(errs.QueueFull, "session",
			"an earlier result of this connection is open, large and not being read: read it to its end or close it, or use a second connection")
	}
	return nil
}

func (s *session) ownLease() *lease {
	l := &lease{session: s, sql: s.sql, own: true, wanted: make(chan struct{})}
	s.mu.Lock()
	s.current = l
	s.mu.Unlock()
	return l
}

func (s *session) sibling(ctx context.Context) (*lease, error) {
	sql, err := s.db.Session(ctx, s.options)
	if err != nil {
		<-s.spare
		return nil, err
	}
	return &lease{session: s, sql: sql, wanted: make(chan struct{})}, nil
}

// want tells the lease's producer that others wait for it.
func (l *lease) want() { l.once.Do(func() { close(l.wanted) }) }

// setStalled records that the result waits for its reader (or no longer does).
func (l *lease) setStalled(stalled bool) {
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	l.stalled = time.Time{}
	if stalled {
		l.stalled = time.Now()
	}
}

// setCancel names what stops the statement that runs under the lease.
func (l *lease) setCancel(cancel context.CancelCauseFunc) {
	l.session.mu.Lock()
	defer l.session.mu.Unlock()
	l.cancel = cancel
}

// release gives the database session back. Nothing of the statement may run
// any more.
func (l *lease) release() {
	s := l.session
	if l.own {
		s.mu.Lock()
		s.current = nil
		s.mu.Unlock()
		<-s.token
	} else {
		l.sql.Close()
		<-s.spare
	}
	s.leave()
}

// leave ends what acquire began.
func (s *session) leave() {
	s.mu.Lock()
	s.active--
	s.ended = time.Now()
	s.mu.Unlock()
	s.work.Done()
}

// idle is how long nothing has been asked of the session; sessions.mu is held.
func (s *session) idle(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active > 0 {
		return 0
	}
	return min(now.Sub(s.used), now.Sub(s.ended))
}

// hasState says whether the session has what a new one would lack.
func (s *session) hasState() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.local || s.tx != ""
}

// bind makes a context that ends with the call, with the session and at its timeout.
func (s *session) bind(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	s.mu.Lock()
	timeout := s.timeout
	s.mu.Unlock()
	timed := func() {}
	if timeout > 0 {
		ctx, timed = context.WithTimeoutCause(ctx, timeout, errs.New(errs.Timeout, "statement",
			"the statement took longer than the session's query_timeout of %v", timeout))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
	return ctx, func(cause error) { stop(); cancel(cause); timed() }
}

// setLocal notes that the client now has state a sibling would not see.
func (s *session) setLocal() {
	s.mu.Lock()
	s.local = true
	s.mu.Unlock()
}

// close interrupts what runs, waits for it, and ends the database session. It
// may be called more than once; only the first does anything.
func (s *session) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel(errSessionClosed())
	s.work.Wait()
	s.sql.Close()
}

func errSessionClosed() error {
	return errs.New(errs.Cancelled, "session", "the client's session has been closed: connect again")
}
