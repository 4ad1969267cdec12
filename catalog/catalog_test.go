package catalog

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/storage"
)

// engine records what it is told.
type engine struct{ calls []string }

func (e *engine) Load(_ context.Context, m string, _ func(float64)) error {
	e.calls = append(e.calls, "load "+m)
	return nil
}

func (e *engine) Unload(_ context.Context, m string) error {
	e.calls = append(e.calls, "unload "+m)
	return nil
}

// start opens a data directory as the database does.
func start(t *testing.T, dir string) (*Statements, *engine) {
	t.Helper()
	store, err := storage.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	c, err := Open(dir, store.Path, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	e := &engine{}
	s := &Statements{Catalog: c, Files: store, Engine: e, Logger: log, Allow: func(p string) (string, error) { return p, nil }}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	return s, e
}

func testdata(t *testing.T, name string) string {
	p, err := filepath.Abs(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func blobs(t *testing.T, dir string) int {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256-*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestStatements runs a script: each line is a statement and what it says, or
// the code and a part of the message of its error.
func TestStatements(t *testing.T) {
	dir := t.TempDir()
	s, e := start(t, dir)
	tiny, plain, lora := testdata(t, "tiny.gguf"), testdata(t, "tiny-notemplate.gguf"), testdata(t, "tiny-lora.gguf")
	for _, c := range []struct {
		sql  string
		code errs.Code
		want string
	}{
		{"CREATE MODEL tiny FROM '" + tiny + "' WITH (slots = 4, context_length = 64)", "", "model tiny created: llama"},
		{"CREATE MODEL Tiny FROM '" + tiny + "'", errs.AlreadyExists, `"tiny" already exists`},
		{"CREATE MODEL IF NOT EXISTS tiny FROM '/nowhere'", "", "already exists"},
		{"CREATE MODEL x FROM '/nowhere/x.gguf'", errs.NotFound, "/nowhere/x.gguf"},
		{"CREATE MODEL x FROM '" + lora + "'", errs.InvalidArgument, "CREATE ADAPTER"},
		{"CREATE ADAPTER x FOR MODEL tiny FROM '" + tiny + "'", errs.InvalidArgument, "CREATE MODEL"},
		{"CREATE MODEL x FROM '" + tiny + "' WITH (slot = 4)", errs.InvalidArgument, `did you mean "slots"?; valid options are batch_size, chat_template, context_length, gpu_layers, prefix_cache, quantize, slots, threads`},
		{"CREATE MODEL x FROM '" + tiny + "' WITH (slots = 'a')", errs.InvalidArgument, "slots is a number"},
		{"CREATE MODEL x FROM '" + tiny + "' WITH (slots = 1.5)", errs.InvalidArgument, "whole number from 1 to 256"},
		{"CREATE MODEL x FROM '" + tiny + "' WITH (slots = 257)", errs.InvalidArgument, "257"},
		{"CREATE MODEL x FROM '" + tiny + "' WITH (slots = 1, slots = 2)", errs.InvalidArgument, "twice"},
		{"CREATE MODEL x FROM '" + tiny + "' WITH (context_length = 1000000)", errs.InvalidArgument, "trained"},
		{"CREATE MODEL \"\" FROM '" + tiny + "'", errs.InvalidArgument, "empty"},
		{"CREATE MODEL second FROM '" + plain + "'", "", "model second created"},
		{"CREATE MODEL third FROM '" + tiny + "'", "", "model third created"},
		{"CREATE ADAPTER polite FOR MODEL timy FROM '" + lora + "'", errs.ModelNotFound, `did you mean "tiny"?`},
		{"CREATE ADAPTER polite FOR MODEL TINY FROM '" + lora + "' WITH (scale = 0.5)", "", "adapter polite created"},
		{"CREATE ADAPTER polite FOR MODEL tiny FROM '" + lora + "'", errs.AlreadyExists, "polite"},
		{"CREATE OR REPLACE ADAPTER polite FOR MODEL tiny FROM '" + lora + "'", "", "created"},
		{"CREATE ADAPTER b FOR MODEL tiny FROM (polite 0.5, polit)", errs.AdapterNotFound, `did you mean "polite"?`},
		{"CREATE ADAPTER b FOR MODEL second FROM (polite 0.5)", errs.AdapterNotFound, `for model "tiny"`},
		{"CREATE ADAPTER b FOR MODEL tiny FROM (polite, POLITE 2)", errs.InvalidArgument, "named twice"},
		{"CREATE ADAPTER b FOR MODEL tiny FROM (polite 0)", errs.InvalidArgument, "other than 0"},
		{"CREATE ADAPTER b FOR MODEL tiny FROM (polite 1e9)", errs.InvalidArgument, "from -100 to 100"},
		{"DROP MODEL tiny", errs.InvalidArgument, "drop polite first"},
		{"ALTER MODEL second SET DEFAULT", "", "default"},
		{"ALTER MODEL second PIN", "", "stays"},
		{"ALTER MODEL second LOAD", "", "loaded"},
		{"CREATE OR REPLACE MODEL second FROM '" + tiny + "'", "", "created"},
		{"DROP MODEL nothere", errs.ModelNotFound, "nothere"},
		{"DROP MODEL IF EXISTS nothere", "", "there is no model nothere"},
		{"DROP ADAPTER polit", errs.AdapterNotFound, `did you mean "polite"?`},
		{"DROP ADAPTER polite", "", "dropped"},
		{"DROP MODEL second", "", "dropped"},
		{"SELECT 1", errs.Syntax, ""},
	} {
		got, err := s.Run(t.Context(), c.sql)
		if errs.CodeOf(err) != c.code || err == nil && !strings.Contains(got, c.want) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n  %q %s %v", c.sql, got, errs.CodeOf(err), err)
		}
	}
	if want := []string{"load second", "unload second", "unload second"}; !slices.Equal(e.calls, want) {
		t.Error(e.calls)
	}
	// tiny and third share a file; those of second and polite are gone.
	if n := blobs(t, dir); n != 1 {
		t.Errorf("%d blobs", n)
	}
	if m, err := s.Catalog.Model(""); err != nil || m.Name != "tiny" || m.Options.Slots != 4 {
		t.Error(m, err)
	}
}

// prefix_cache is memory that the model is expected to need.
func TestPrefixCache(t *testing.T) {
	s, _ := start(t, t.TempDir())
	memory := map[string]int64{}
	for name, with := range map[string]string{"default": "", "none": ", prefix_cache = 0", "much": ", prefix_cache = 300"} {
		if _, err := s.Run(t.Context(), "CREATE MODEL \""+name+"\" FROM '"+testdata(t, "tiny.gguf")+"' WITH (slots = 4"+with+")"); err != nil {
			t.Fatal(err)
		}
		m, ok := find(s.Catalog.Models(), name)
		if !ok {
			t.Fatalf("no model %q", name)
		}
		memory[name] = m.Memory
		if want := map[string]int64{"default": 256 << 20, "none": 0, "much": 300 << 20}[name]; m.Options.PrefixBytes() != want {
			t.Errorf("%s: %d bytes", name, m.Options.PrefixBytes())
		}
	}
	if memory["default"]-memory["none"] != 256<<20 || memory["much"]-memory["none"] != 300<<20 {
		t.Errorf("memory %v", memory)
	}
}

func find(models []Model, name string) (Model, bool) {
	i := slices.IndexFunc(models, func(m Model) bool { return m.Name == name })
	if i < 0 {
		return Model{}, false
	}
	return models[i], true
}

// The first model is the default, but an encoder only until there is one that
// can write; a choice stays.
func TestDefault(t *testing.T) {
	s, _ := start(t, t.TempDir())
	for _, step := range []struct{ statement, byDefault string }{
		{"CREATE MODEL bert FROM '" + testdata(t, "tiny-bert.gguf") + "'", "bert"},
		{"CREATE MODEL bert2 FROM '" + testdata(t, "tiny-bert.gguf") + "'", "bert"},
		{"CREATE MODEL a FROM '" + testdata(t, "tiny.gguf") + "'", "a"},
		{"CREATE MODEL b FROM '" + testdata(t, "tiny-notemplate.gguf") + "'", "a"},
		{"DROP MODEL a", "b"},
		{"ALTER MODEL bert2 SET DEFAULT", "bert2"},
		{"CREATE MODEL a FROM '" + testdata(t, "tiny.gguf") + "'", "bert2"},
		{"CREATE OR REPLACE MODEL bert2 FROM '" + testdata(t, "tiny.gguf") + "'", "bert2"},
	} {
		if _, err := s.Run(t.Context(), step.statement); err != nil {
			t.Fatal(step.statement, err)
		}
		var names []string
		for _, v := range s.Catalog.Models() {
			if v.Default {
				names = append(names, v.Name)
			}
		}
		if len(names) != 1 || names[0] != step.byDefault {
			t.Errorf("after %s the default is %v, want %s", step.statement, names, step.byDefault)
		}
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s, _ := start(t, dir)
	for _, q := range []string{
		"CREATE MODEL a FROM '" + testdata(t, "tiny.gguf") + "' WITH (chat_template = 'it''s')",
		"CREATE MODEL b FROM '" + testdata(t, "tiny-notemplate.gguf") + "'",
		"ALTER MODEL b SET DEFAULT", "ALTER MODEL a PIN",
		"CREATE ADAPTER l FOR MODEL a FROM '" + testdata(t, "tiny-lora.gguf") + "' WITH (scale = 2)",
	} {
		if _, err := s.Run(t.Context(), q); err != nil {
			t.Fatal(q, err)
		}
	}
	s.Catalog.AddUsage(Usage{Query: "q1", Rows: 3, Queue: time.Second})
	models, adapters := s.Catalog.Models(), s.Catalog.Adapters()
	s.Catalog.Close()
	s.Catalog.usage = &usageLog{stop: make(chan struct{}), done: closed()} // closed once more by the test's end
	if err := os.WriteFile(filepath.Join(dir, "blobs", "sha256-"+strings.Repeat("0", 64)), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, dir)
	if got := s.Catalog.Models(); len(got) != 2 || got[0].Options != models[0].Options || got[1].Default != true || got[0].Pinned != true || got[0].Path != models[0].Path {
		t.Errorf("%+v", got)
	}
	if got := s.Catalog.Adapters(); len(got) != 1 || got[0].Scale != adapters[0].Scale || got[0].Path != adapters[0].Path {
		t.Errorf("%+v", got)
	}
	if got := s.Catalog.Usage(); len(got) != 1 || got[0].Query != "q1" || got[0].Queue != time.Second {
		t.Errorf("%+v", got)
	}
	if a, err := s.Catalog.Adapter("A", "L"); err != nil || a.Scale != 2 || a.Model != "a" {
		t.Error(a, err)
	}
	if _, err := s.Catalog.Adapter("b", "l"); errs.CodeOf(err) != errs.AdapterNotFound {
		t.Error(err)
	}
	if n := blobs(t, dir); n != 3 { // the orphan was swept
		t.Errorf("%d blobs", n)
	}
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
