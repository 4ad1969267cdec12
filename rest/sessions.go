package rest

import (
	"net/http"
	"time"

	"hyprstream/database"
	"hyprstream/errs"
)

// sessions hands out SQL sessions, one per request, and bounds their number.
// Sessions are not reused: a statement of /v1/sql may change its session
// (SET, BEGIN, temporary tables), and that must not reach the next request.
type sessions struct {
	db   *database.DB
	free chan struct{} // one element per session that may be opened
	wait time.Duration
}

func newSessions(db *database.DB, opt Options) *sessions {
	s := &sessions{db: db, free: make(chan struct{}, opt.MaxSessions), wait: opt.MaxWait}
	for range opt.MaxSessions {
		s.free <- struct{}{}
	}
	return s
}

// open waits for a free place and opens a session for r. The caller calls
// release when the statement's rows are read. Errors: errs.QueueFull.
func (s *sessions) open(r *http.Request) (sess *database.Session, release func(), err error) {
	ctx := r.Context()
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case <-s.free:
	case <-ctx.Done():
		return nil, nil, errs.Wrap(ctx.Err(), errs.CodeOf(ctx.Err()), "rest", "the client went away while it waited for a session")
	case <-timer.C:
		return nil, nil, errs.New(errs.QueueFull, "rest", "all %d sessions have been busy for %s; try again later", cap(s.free), s.wait)
	}
	sess, err = s.db.Session(ctx, database.SessionOptions{Client: "rest"})
	if err != nil {
		s.free <- struct{}{}
		return nil, nil, err
	}
	return sess, func() {
		sess.Close()
		s.free <- struct{}{}
	}, nil
}
