package database

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/cache"
	"hyprstream/catalog"
	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/runtime/worker"
	"hyprstream/sqlfuncs"
	"hyprstream/sqlfuncs/operator"
	"hyprstream/storage"
	"hyprstream/storage/pull"
	"hyprstream/storage/states"
)

// Files in the data directory: clients' database, and kept answers.
const (
	mainFile  = "hyprstream.duckdb"
	cacheFile = "cache.db"
	statesDir = "sessions"
)

const (
	defaultCacheSize  = 1_000_000_000
	defaultStatesSize = 1_000_000_000
)

// Config says where a database lives and what its clients may reach.
type Config struct {
	Dir          string        // data directory, made when it is not there
	AllowDirs    []string      // below these, statements may read and write files; nil: everywhere (the embedded CLI)
	AllowPull    []string      // what statements may pull, as pull.Options.Allow; nil: nothing where AllowDirs is set, else everything
	Exe          string        // program the engine processes are started from; "" is this one
	MemoryBudget int64         // bytes all loaded models may take, 0: what is free now
	IdleTimeout  time.Duration // a model idle that long is unloaded, 0: never
	CacheSize    int64         // bytes that kept answers may take on disk, 0: 1 GB, negative: none are kept
	StatesSize   int64         // bytes that what was computed of dialogues may take on disk, 0: 1 GB, negative: none is kept
	Logger       *slog.Logger  // nil: no log
}

// DB is an open data directory. It owns what is below it and ends it in Close.
type DB struct {
	cfg     Config
	log     *slog.Logger
	unlock  func() error
	catalog *catalog.Catalog
	cache   *cache.Store // nil: there is none
	engine  *inference.Engine
	duck    m.Database
	funcs   *operator.Attachment
	pulls   *pull.Puller
	queries queries

	dialogues *inference.Sessions // of chat()
	vectors   bool                // the extension for similarity search by index is loaded

	mu       sync.Mutex // guards the fields below
	sessions map[*Session]struct{}
	closed   bool
	broken   error // what made DuckDB refuse all further statements
}

// Open takes the data directory's lock and opens what is in it. ctx bounds the
// opening only.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, errs.Wrap(err, errs.InvalidArgument, "database.Open", "the data directory %q is no path", cfg.Dir)
	}
	cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, errs.Wrap(err, errs.PermissionDenied, "database.Open", "the data directory %s cannot be made", dir)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	db := &DB{cfg: cfg, log: cfg.Logger, unlock: unlock, sessions: map[*Session]struct{}{}}
	if err := db.open(); err != nil {
		_ = db.Close(ctx) // the first error is what counts
		return nil, err
	}
	return db, nil
}

// open opens the layers from the bottom up.
func (db *DB) open() error {
	files, err := storage.Open(db.cfg.Dir)
	if err != nil {
		return err
	}
	if db.catalog, err = catalog.Open(db.cfg.Dir, files.Path, db.log); err != nil {
		return err
	}
	if db.dialogues, err = inference.NewSessions(db.catalog); err != nil {
		return err
	}
	budget := db.cfg.MemoryBudget
	if budget == 0 {
		budget = int64(worker.FreeMemory())
	}
	cfg := inference.Config{
		Registry: db.catalog, Runtime: processes{db.cfg.Exe, db.log}, Verify: files.Verify,
		MemoryBudget: budget, IdleTimeout: db.cfg.IdleTimeout, Logger: db.log,
	}
	allow := db.cfg.AllowPull
	if db.cfg.AllowDirs != nil && allow == nil {
		allow = []string{}
	}
	if db.pulls, err = pull.Open(files.Downloads(), pull.Options{Allow: allow, Logger: db.log}); err != nil {
		return err
	}
	statements := &catalog.Statements{Catalog: db.catalog, Files: files, Pulls: db.pulls, Dialogues: db.dialogues, Allow: db.allow, Logger: db.log,
		Quantise: processes{db.cfg.Exe, db.log}.Quantise,
		Memory:   budget / 2} // a second model should fit beside it
	if db.openCache(); db.cache != nil { // a nil *Store in an interface is not nil
		cfg.Cache, statements.Cache = db.cache, db.cache
	}
	cfg.States, cfg.SessionModel = db.openStates(), db.dialogues.Model
	db.engine = inference.New(cfg)
	statements.Engine, db.dialogues.OnForget = db.engine, db.engine.ForgetDialogue
	db.engine.SweepStates()
	if err := statements.Sweep(); err != nil {
		return err
	}
	if err := db.openDuck(filepath.Join(db.cfg.Dir, mainFile)); err != nil {
		return err
	}
	db.funcs, err = sqlfuncs.Register(db.duck, sqlfuncs.Deps{Engine: db.engine, Registry: db.catalog, Statements: statements, Sessions: db.dialogues, Prompts: db.catalog})
	if err != nil {
		return err
	}
	return db.prepareDuck()
}

// openCache opens the file of kept answers. Without one everything works, and
// costs what it costs.
func (db *DB) openCache() {
	size := db.cfg.CacheSize
	if size < 0 {
		return
	}
	if size == 0 {
		size = defaultCacheSize
	}
	store, err := cache.Open(filepath.Join(db.cfg.Dir, cacheFile), size, db.log)
	if err != nil {
		db.log.Warn("there is no cache: cache := 'persistent' keeps nothing", "err", err)
		return
	}
	db.cache = store
}

// openStates opens the directory of dialogues' states, or empties it where none are
// to be kept. Without one everything works, and is computed anew.
func (db *DB) openStates() inference.StateStore {
	size := db.cfg.StatesSize
	if size == 0 {
		size = defaultStatesSize
	}
	store, err := states.Open(filepath.Join(db.cfg.Dir, statesDir), max(0, size), db.log)
	if err != nil {
		db.log.Warn("what is computed of dialogues is not kept over a restart", "err", err)
	}
	if err != nil || size < 0 {
		return nil
	}
	return dialogueStates{store}
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

// prepareDuck makes schema ai and locks what clients must not change.
func (db *DB) prepareDuck() error {
	var conn m.Connection
	if m.Connect(db.duck, &conn) != m.StateSuccess {
		return errs.New(errs.Internal, "database.Open", "DuckDB gave no connection")
	}
	defer m.Disconnect(&conn)
	if err := db.openVectors(conn); err != nil {
		return err
	}
	if err := db.registerTables(conn); err != nil {
		return err
	}
	if db.cfg.AllowDirs != nil {
		if err := db.funcs.Withhold(withheld...); err != nil {
			return err
		}
		dir := realPath(db.cfg.Dir)
		if err := db.funcs.Guard(dir, filepath.Join(dir, mainFile)); err != nil {
			return err
		}
	}
	// Else memory that a large result took stays with the process until DuckDB works
	// again, and some of it longer.
	settings := append([]string{"SET allocator_background_threads = true"}, db.lockdown()...)
	for _, sql := range settings {
		if err := execOn(conn, sql); err != nil {
			return errs.Wrap(err, errs.Internal, "database.Open", "DuckDB refused a setting")
		}
	}
	return nil
}

// Engine is the inference engine, for what needs no SQL.
func (db *DB) Engine() *inference.Engine { return db.engine }

// Catalog is the catalog, for what needs no SQL.
func (db *DB) Catalog() *catalog.Catalog { return db.catalog }

// Ready is nil when statements can run.
func (db *DB) Ready() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return errs.New(errs.EngineUnavailable, "database.Ready", "the database is shutting down")
	}
	if db.broken != nil {
		return errs.Wrap(db.broken, errs.Internal, "database.Ready", "DuckDB has stopped after a defect of its own; restart hyprstream, what was committed is kept")
	}
	return nil
}

// noteFatal remembers the first error after which DuckDB runs nothing more.
func (db *DB) noteFatal(err error) {
	var e *errs.Error
	if !errors.As(err, &e) || e.Op != fatalOp {
		return
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.broken == nil {
		db.broken = e
		db.log.Error("DuckDB stopped: restart needed", "err", e)
	}
}

// forget is called by a session that has closed.
func (db *DB) forget(s *Session) {
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.sessions, s)
}

// Close cancels what runs, then closes the layers from the top down; engine
// processes get until ctx ends to finish. It may be called twice.
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
	if db.funcs != nil {
		db.funcs.Detach()
	}
	m.Close(&db.duck)
	var err error
	if db.engine != nil {
		err = db.engine.Close(ctx)
	}
	if db.pulls != nil {
		db.pulls.Close()
	}
	if db.catalog != nil {
		db.catalog.Close()
	}
	if db.cache != nil {
		err = errors.Join(err, db.cache.Close())
	}
	return errors.Join(err, db.unlock())
}
