package rest

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"hyprstream/database"
	"hyprstream/errs"
)

// Options of the handler. The zero value serves loopback clients without a token.
type Options struct {
	Logger *slog.Logger // default: discard
	Token  string       // when set, every endpoint but the health checks needs "Authorization: Bearer <Token>"

	// Hosts are names beside the loopback ones that a request's Host header may
	// carry: the host the listener was configured with. "0.0.0.0" and "::"
	// stand for every numeric address. With a Token any host is accepted.
	Hosts []string

	MaxBody     int64         // bytes of a request's body (default 16 MiB)
	MaxSessions int           // statements running at once (default 64)
	MaxWait     time.Duration // how long a request waits for a free session (default 30 s)
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 16 << 20
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = 64
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 30 * time.Second
	}
	return o
}

// queryHeader names the statement's row in ai.queries and ai.usage.
const queryHeader = "X-Hyprstream-Query"

// server holds what the handlers share; all of it is safe for concurrent use.
type server struct {
	opt      Options
	db       *database.DB
	sessions *sessions
	log      *slog.Logger
}

// New makes the HTTP handler over db. The caller owns db and closes it after
// the HTTP server has been shut down.
func New(db *database.DB, opt Options) http.Handler {
	opt = opt.withDefaults()
	s := &server{opt: opt, db: db, sessions: newSessions(db, opt), log: opt.Logger}

	r := chi.NewRouter()
	r.Use(s.recoverPanics, middleware.Heartbeat("/healthz"), s.guardHost, s.guardOrigin)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, errs.New(errs.NotFound, "rest", "there is no %s here; see /v1/models, /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/sql, /metrics, /healthz, /readyz", r.URL.Path))
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusMethodNotAllowed, "", errs.New(errs.InvalidArgument, "rest", "%s does not accept %s", r.URL.Path, r.Method))
	})
	r.Get("/readyz", s.ready)
	r.Group(func(r chi.Router) {
		r.Use(s.guardToken, s.limitBody)
		r.Post("/v1/chat/completions", s.chatCompletions)
		r.Post("/v1/completions", s.completions)
		r.Post("/v1/embeddings", s.embeddings)
		r.Get("/v1/models", s.models)
		r.Get("/v1/models/*", s.model)
		r.Post("/v1/sql", s.sql)
		r.Method(http.MethodGet, "/metrics", metricsHandler(db, opt.Logger))
	})
	return r
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.db.Ready(); err != nil {
		writeError(w, http.StatusServiceUnavailable, "", err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}

// recoverPanics turns a defect into one failed request, not a dead connection
// without a word; http.ErrAbortHandler keeps its meaning.
func (s *server) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is what is thrown
				panic(v)
			}
			s.log.Error("http handler panicked", "path", r.URL.Path, "panic", v)
			s.fail(w, r, errs.New(errs.Internal, "rest", "the server failed on this request; its log says more"))
		}()
		next.ServeHTTP(w, r)
	})
}
