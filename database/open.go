package database

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
)

// Config says where a database lives and what its clients may reach.
type Config struct {
	Dir          string        // data directory, made when it is not there
	AllowDirs    []string      // below these, statements may read and write files; nil: everywhere (the embedded CLI)
	Exe          string        // program the engine processes are started from; "" is this one
	MemoryBudget int64         // bytes all loaded models may take, 0 for the default
	IdleTimeout  time.Duration // a model idle that long is unloaded, 0: never
	Logger       *slog.Logger  // nil: no log
}

// DB is an open data directory. It owns what is below it and ends it in Close.
type DB struct {
	cfg    Config
	log    *slog.Logger
	duck   m.Database
	unlock func() error

	mu       sync.Mutex // guards the fields below
	sessions map[*Session]struct{}
	closed   bool
}

// Open takes the data directory's lock and opens its database.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, errs.Wrap(err, errs.PermissionDenied, "database.Open", "the data directory %s cannot be made", cfg.Dir)
	}
	unlock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	db := &DB{cfg: cfg, log: cfg.Logger, unlock: unlock, sessions: map[*Session]struct{}{}}
	if err := db.openDuck(filepath.Join(cfg.Dir, "hyprstream.duckdb")); err != nil {
		_ = db.Close(ctx)
		return nil, err
	}
	return db, nil
}

// openDuck opens the file that clients' tables live in.
func (db *DB) openDuck(path string) error {
	var cfg m.Config
	m.CreateConfig(&cfg)
	defer m.DestroyConfig(&cfg)
	var msg string
	if m.OpenExt(path, &db.duck, cfg, &msg) != m.StateSuccess {
		return errs.New(errs.Internal, "database.Open", "%s cannot be opened: %s", path, msg)
	}
	return nil
}

// Ready is nil when statements can run.
func (db *DB) Ready() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return errs.New(errs.EngineUnavailable, "database.Ready", "the database is shutting down")
	}
	return nil
}

// forget is called by a session that has closed.
func (db *DB) forget(s *Session) {
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.sessions, s)
}

// Close ends every session, then what they used. It may be called twice.
func (db *DB) Close(ctx context.Context) error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	var open []*Session
	for s := range db.sessions {
		open = append(open, s)
	}
	db.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
	m.Close(&db.duck)
	return db.unlock()
}
