package catalog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"hyprstream/catalog/ddl"
	"hyprstream/errs"
	"hyprstream/inference"
	"hyprstream/storage"
	"hyprstream/storage/pull"
)

// Files is where imported files lie; storage.Store is one.
type Files interface {
	Import(ctx context.Context, path string, progress func(done, total int64)) (storage.Blob, error)
	Make(what string, write func(w io.Writer) error) (storage.Blob, storage.FileInfo, error)
	Adopt(path, sha string) (storage.Blob, error)
	Digests() ([]string, error)
	Remove(sha string) error
	Temp() string                       // a path for a file to be made and imported
	Room(what string, need int64) error // errs.DiskFull
	Part(key []byte, what string) (*storage.Part, error)
	Full(err error, what string, need int64) error
}

// Engine is what ALTER and DROP tell of a model; inference.Engine is one.
type Engine interface {
	Load(ctx context.Context, model string, progress func(fraction float64)) error
	Unload(ctx context.Context, model string) error
}

// Cache keeps answers beyond their statement; cache.Store is one.
type Cache interface{ Clear() error }

// Statements runs CREATE, ALTER and DROP of models, adapters and prompts, DROP SESSION and CLEAR CACHE.
type Statements struct {
	Catalog   *Catalog
	Files     Files
	Pulls     Pulls // nil: URLs are refused
	Engine    Engine
	Cache     Cache // nil: there is none
	Dialogues Dialogues
	// Allow says whether a statement may read a file, and returns the path to
	// read it by. Errors: errs.PermissionDenied naming the remedy.
	Allow    func(path string) (string, error)
	Quantise Quantise
	Logger   *slog.Logger
	Memory   int64 // bytes that a model created without slots may take; 0: no limit

	// files is read-locked from an import to its row, and locked by the removal
	// of files no row uses: an import must not lose its file in between.
	files sync.RWMutex

	mu   sync.Mutex // guards left
	left []string   // digests whose removal waits for the end of imports
}

type progressKey struct{}

// WithProgress makes report hear how far an import or a load under the context
// has come, from 0 to 1. It must not block.
func WithProgress(ctx context.Context, report func(fraction float64)) context.Context {
	return context.WithValue(ctx, progressKey{}, report)
}

func progressOf(ctx context.Context) func(float64) {
	if report, ok := ctx.Value(progressKey{}).(func(float64)); ok {
		return report
	}
	return func(float64) {}
}

// Parse says whether sql is a statement for Run, and what is wrong with it.
func (s *Statements) Parse(sql string) (ours bool, err error) {
	_, ours, err = ddl.Parse(sql)
	return ours, err
}

// Run executes a statement and returns a line for the user.
func (s *Statements) Run(ctx context.Context, sql string) (message string, err error) {
	st, ours, err := ddl.Parse(sql)
	switch {
	case err != nil:
		return "", err
	case !ours:
		return "", errs.New(errs.Syntax, "catalog", "this is no statement of the catalog's")
	}
	switch st := st.(type) {
	case ddl.CreateModel:
		return s.createModel(ctx, st)
	case ddl.CreateAdapter:
		return s.createAdapter(ctx, st)
	case ddl.AlterModel:
		return s.alterModel(ctx, st)
	case ddl.DropModel:
		return s.dropModel(ctx, st)
	case ddl.DropAdapter:
		return s.dropAdapter(ctx, st)
	case ddl.CreatePrompt:
		return s.createPrompt(ctx, st)
	case ddl.DropPrompt:
		return s.dropPrompt(ctx, st)
	case ddl.DropSession:
		return s.dropSession(ctx, st)
	case ddl.ClearCache:
		return s.clearCache()
	}
	return "", errs.New(errs.Internal, "catalog", "no handler for a %T", st)
}

func (s *Statements) createModel(ctx context.Context, st ddl.CreateModel) (string, error) {
	const op = "CREATE MODEL"
	opt, err := parseModelOptions(st.Options)
	if err != nil {
		return "", errs.Wrap(err, errs.InvalidArgument, op, op)
	}
	if err := checkName(st.Name); err != nil {
		return "", err
	}
	if old, err := s.Catalog.FindModel(st.Name); err == nil {
		switch {
		case st.IfNotExists:
			return fmt.Sprintf("model %s already exists", old.Name), nil
		case !st.OrReplace:
			return "", modelExists(old.Name)
		}
	}
	s.files.RLock()
	defer s.endImport()
	made, err := s.importModel(ctx, st.Path, opt.Quantize)
	if err != nil {
		return "", err
	}
	blob, info := made.blob, made.info
	if opt.ContextLength > info.ContextLength && info.ContextLength > 0 {
		return "", s.unwanted(blob, errs.New(errs.InvalidArgument, op, "context_length %d is more than the %d tokens the model was trained with", opt.ContextLength, info.ContextLength))
	}
	if opt.Slots == 0 {
		limit := s.Memory
		if limit > 0 {
			limit = max(1, limit-prefixBytes(info, opt))
		}
		opt.Slots = storage.FitSlots(info, opt.ContextLength, limit)
	}
	v := Model{Name: st.Name, SHA256: blob.SHA256, Bytes: blob.Bytes, Source: shown(st.Path), Origin: made.origin, Format: info.Format,
		Memory:       storage.EstimateMemory(info, opt.ContextLength, opt.Slots) + prefixBytes(info, opt),
		Architecture: info.Architecture, Parameters: int64(info.Parameters), Quantisation: info.Quantisation,
		ContextLength: info.ContextLength, EmbeddingLength: info.EmbeddingLength, Encoder: info.Encoder, ChatTemplate: info.ChatTemplate, Options: opt}
	if err := s.fitAdapters(v); err != nil {
		return "", s.unwanted(blob, err)
	}
	replaced, err := s.Catalog.PutModel(v, st.OrReplace)
	if err != nil {
		return "", s.unwanted(blob, err)
	}
	if replaced != "" {
		if err := s.Engine.Unload(ctx, st.Name); err != nil { // the next use loads the new file
			s.Logger.Warn("replaced model stays loaded until it is unloaded", "model", st.Name, "err", err)
		}
		s.discardLater(replaced)
	}
	return fmt.Sprintf("model %s created: %s, %s parameters, %s, %s", v.Name, v.Architecture, count(v.Parameters), v.Quantisation, size(v.Bytes)), nil
}

// importFile checks a path and brings its file into the store. The caller holds
// s.files for reading.
func (s *Statements) importFile(ctx context.Context, path, kind string) (storage.Blob, storage.FileInfo, error) {
	if pull.IsURL(path) {
		return s.importURL(ctx, path, kind)
	}
	real, err := s.Allow(path)
	if err != nil {
		return storage.Blob{}, storage.FileInfo{}, err
	}
	info, err := storage.Inspect(real)
	if err != nil {
		return storage.Blob{}, info, err
	}
	if info.Kind != kind {
		return storage.Blob{}, info, otherKind(path, info.Kind, kind)
	}
	blob, err := s.Files.Import(ctx, real, fractions(progressOf(ctx)))
	return blob, info, err
}

// otherKind is the error of an adapter where a model is wanted, and the other way round.
func otherKind(path, is, wanted string) error {
	verb := map[string]string{storage.KindModel: "CREATE MODEL name FROM", storage.KindAdapter: "CREATE ADAPTER name FOR MODEL model FROM"}[is]
	return errs.New(errs.InvalidArgument, "import", "%s holds a %s, not a %s: use %s '%s'", path, is, wanted, verb, path)
}

// unwanted lets go of a file whose row could not be written.
func (s *Statements) unwanted(b storage.Blob, err error) error {
	s.discardLater(b.SHA256)
	return err
}

func (s *Statements) alterModel(ctx context.Context, st ddl.AlterModel) (string, error) {
	v, err := s.Catalog.FindModel(st.Name)
	if err != nil {
		return "", err
	}
	switch st.Action {
	case ddl.Load:
		return fmt.Sprintf("model %s is loaded", v.Name), s.Engine.Load(ctx, v.Name, progressOf(ctx))
	case ddl.Unload:
		return fmt.Sprintf("model %s is unloaded", v.Name), s.Engine.Unload(ctx, v.Name)
	case ddl.Pin:
		return fmt.Sprintf("model %s stays loaded once it is", v.Name), s.Catalog.SetPinned(v.Name, true)
	case ddl.Unpin:
		return fmt.Sprintf("model %s may be unloaded", v.Name), s.Catalog.SetPinned(v.Name, false)
	case ddl.SetDefault:
		return fmt.Sprintf("model %s is the default", v.Name), s.Catalog.SetDefault(v.Name)
	}
	return "", errs.New(errs.Unsupported, "ALTER MODEL", "ALTER MODEL %s is not known", st.Action)
}

func (s *Statements) dropModel(ctx context.Context, st ddl.DropModel) (string, error) {
	v, err := s.Catalog.DropModel(st.Name)
	if errs.CodeOf(err) == errs.ModelNotFound && st.IfExists {
		return fmt.Sprintf("there is no model %s", st.Name), nil
	}
	if err != nil {
		return "", err
	}
	// The row is gone, so no statement can begin with it; now what runs may end.
	if err := s.Engine.Unload(ctx, v.Name); err != nil && errs.CodeOf(err) != errs.ModelNotFound {
		s.Logger.Warn("dropped model stays loaded until it is idle", "model", v.Name, "err", err)
	}
	s.discard(v.SHA256)
	return fmt.Sprintf("model %s dropped", v.Name), nil
}

func (s *Statements) clearCache() (string, error) {
	if s.Cache == nil {
		return "there is no cache", nil
	}
	return "the cache is empty", s.Cache.Clear()
}

// prefixBytes is the most memory that kept beginnings of prompts take.
func prefixBytes(info storage.FileInfo, opt inference.ModelOptions) int64 {
	if info.Encoder {
		return 0
	}
	return opt.PrefixBytes()
}

// discard removes a file that no row uses any more. While an import runs, which
// may have just found that file, the removal waits for its end.
func (s *Statements) discard(sha string) {
	s.mu.Lock()
	s.left = append(s.left, sha)
	s.mu.Unlock()
	s.discardLeft()
}

// endImport lets go of s.files after an import.
func (s *Statements) endImport() {
	s.files.RUnlock()
	s.discardLeft()
}

// discardLeft removes what waits, where no import runs: else the last one does.
func (s *Statements) discardLeft() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.files.TryLock() {
		return
	}
	defer s.files.Unlock()
	for _, sha := range s.left {
		s.remove(sha)
	}
	s.left = nil
}

// discardLater is discard for a caller that holds s.files for reading itself.
func (s *Statements) discardLater(sha string) {
	s.files.RUnlock()
	defer s.files.RLock()
	s.discard(sha)
}

func (s *Statements) remove(sha string) {
	if s.Catalog.Uses(sha) {
		return
	}
	if err := s.Files.Remove(sha); err != nil {
		s.Logger.Warn("unused model file not removed; the next start tries again", "sha256", sha, "err", err)
	}
}

// Sweep removes files that no row uses: those of statements that a crash ended
// between import and row. It is called before statements run.
func (s *Statements) Sweep() error {
	s.files.Lock()
	defer s.files.Unlock()
	all, err := s.Files.Digests()
	if err != nil {
		return err
	}
	for _, sha := range all {
		s.remove(sha)
	}
	return nil
}

func joinNames(names []string) string { return strings.Join(names, ", ") }

// count is a number as models are named by it: 270M, 1.5B.
func count(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1fB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0fM", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0fK", float64(n)/1e3)
}

func size(n int64) string {
	if n >= 1e9 {
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
