package catalog

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hyprstream/errs"
	"hyprstream/inference"
)

// Model is a model's row: what the file says of itself, how it is to be loaded,
// and where it came from.
type Model struct {
	Name            string
	SHA256          string
	Bytes           int64
	Memory          int64  // expected when loaded
	Source          string // the path it was created from
	Origin          string `json:",omitempty"` // digest of the file it was quantised from
	Format          string
	Architecture    string
	Parameters      int64
	Quantisation    string
	ContextLength   int // trained
	EmbeddingLength int
	Encoder         bool // it embeds, and cannot continue a text
	ChatTemplate    string
	Options         inference.ModelOptions
	Pinned          bool
	Default         bool
	CreatedAt       time.Time

	Path string `json:"-"` // of the imported file on this machine
}

// SourceSHA256 is the digest of the file that the model was made of: its own, or
// that of the file it was quantised from; "" where an earlier version did not note it.
func (v Model) SourceSHA256() string {
	if v.Options.Quantize == "" {
		return v.SHA256
	}
	return v.Origin
}

// Catalog holds models, adapters and prompts by name. Names are found whatever their
// case, and keep the case they were created with. Its methods may be called from
// several goroutines. It implements inference.Registry.
type Catalog struct {
	store *store
	blob  func(sha string) string // the file of a digest
	usage *usageLog
	turns *together // of sessions

	change  sync.Mutex   // one change at a time: what was checked stays true until it is written
	mu      sync.RWMutex // guards the maps
	models  map[string]Model
	adapts  map[string]Adapter
	prompts map[string][]Prompt // versions, oldest first
}

var _ inference.Registry = (*Catalog)(nil)

// Open reads the catalog of a data directory, making it where it is missing.
// blob names the file of a digest.
func Open(dir string, blob func(sha string) string, log *slog.Logger) (*Catalog, error) {
	s, err := openStore(filepath.Join(dir, "catalog.duckdb"))
	if err != nil {
		return nil, err
	}
	c := &Catalog{store: s, blob: blob, turns: &together{store: s}, models: map[string]Model{}, adapts: map[string]Adapter{}, prompts: map[string][]Prompt{}}
	if err := c.read(); err != nil {
		s.close()
		return nil, err
	}
	if c.usage, err = openUsage(s, log); err != nil {
		s.close()
		return nil, err
	}
	return c, nil
}

func (c *Catalog) read() error {
	err := c.store.each("models", func(name, doc string) error {
		var v Model
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			return errs.Wrap(err, errs.Internal, "catalog.Open", "the row of model %s is damaged", name)
		}
		v.Path = c.blob(v.SHA256)
		c.models[key(v.Name)] = v
		return nil
	})
	if err != nil {
		return err
	}
	err = c.store.each("adapters", func(name, doc string) error {
		var v Adapter
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			return errs.Wrap(err, errs.Internal, "catalog.Open", "the row of adapter %s is damaged", name)
		}
		c.adapts[key(v.Name)] = c.located(v)
		return nil
	})
	if err != nil {
		return err
	}
	return c.readPrompts()
}

// Close writes what is pending and closes the file.
func (c *Catalog) Close() {
	c.usage.close()
	c.store.close()
}

// key is how names are compared.
func key(name string) string { return strings.ToLower(name) }

// Models are all models, oldest first.
func (c *Catalog) Models() []Model {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return oldestFirst(c.models, func(v Model) (time.Time, string) { return v.CreatedAt, v.Name })
}

// Adapters are all adapters, oldest first.
func (c *Catalog) Adapters() []Adapter {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return oldestFirst(c.adapts, func(v Adapter) (time.Time, string) { return v.CreatedAt, v.Name })
}

// oldestFirst lists rows by creation, and by name where that is equal.
func oldestFirst[T any](rows map[string]T, of func(T) (created time.Time, name string)) []T {
	return slices.SortedFunc(maps.Values(rows), func(a, b T) int {
		ta, na := of(a)
		tb, nb := of(b)
		return cmp.Or(ta.Compare(tb), cmp.Compare(na, nb))
	})
}

// FindModel is the row of a model; "" is the default.
func (c *Catalog) FindModel(name string) (Model, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.findModel(name)
}

func (c *Catalog) findModel(name string) (Model, error) {
	if name == "" {
		for _, v := range c.models {
			if v.Default {
				return v, nil
			}
		}
		return Model{}, errs.New(errs.ModelNotFound, "catalog", "there is no model yet: CREATE MODEL name FROM 'file.gguf'")
	}
	if v, ok := c.models[key(name)]; ok {
		return v, nil
	}
	if len(c.models) == 0 {
		return Model{}, errs.New(errs.ModelNotFound, "catalog", "no model is named %q, and there is none yet: CREATE MODEL %s FROM 'file.gguf'", name, name)
	}
	names := make([]string, 0, len(c.models))
	for _, v := range c.models {
		names = append(names, v.Name)
	}
	return Model{}, errs.New(errs.ModelNotFound, "catalog", "no model is named %q; %s", name, suggest(name, names))
}

// Model implements inference.Registry.
func (c *Catalog) Model(name string) (inference.Model, error) {
	v, err := c.FindModel(name)
	if err != nil {
		return inference.Model{}, err
	}
	return inference.Model{Name: v.Name, Path: v.Path, SHA256: v.SHA256, Bytes: v.Bytes, Memory: v.Memory,
		Options: v.Options, Pinned: v.Pinned, EmbeddingLength: v.EmbeddingLength}, nil
}

// suggest names the nearest of names, or lists them where none is near.
func suggest(name string, names []string) string {
	slices.Sort(names)
	if best := errs.Nearest(name, names); best != "" {
		return "did you mean " + quoted(best) + "?"
	}
	const most = 10
	more := ""
	if len(names) > most {
		names, more = names[:most], ", …"
	}
	for i := range names {
		names[i] = quoted(names[i])
	}
	return "there is " + strings.Join(names, ", ") + more
}

func quoted(s string) string { return `"` + s + `"` }
