package catalog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert/converttest"
)

// left are the names in the store.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "downloads" {
			names = append(names, e.Name())
		}
	}
	return names
}

// big is a directory of some 5 MB.
func big(t *testing.T) string { return converttest.Sized(1, 256, 1024).Write(t, nil) }

func TestConvertProgress(t *testing.T) {
	s, _ := start(t, t.TempDir())
	var seen []float64
	ctx := WithProgress(t.Context(), func(f float64) { seen = append(seen, f) })
	if _, err := s.Run(ctx, "CREATE MODEL m FROM '"+big(t)+"'"); err != nil {
		t.Fatal(err)
	}
	if len(seen) < 4 || !slices.IsSorted(seen) || seen[0] > 0.5 || seen[len(seen)-1] != 1 {
		t.Errorf("progress: %v", seen)
	}
	m, err := s.Catalog.FindModel("m")
	if err != nil || m.Origin != "" || m.Quantisation != "F32" {
		t.Errorf("%+v, %v", m, err)
	}
}

// A conversion that is cancelled goes on when it is repeated: the file that was
// begun becomes the model's.
func TestConvertGoesOn(t *testing.T) {
	dir, model := t.TempDir(), big(t)
	s, _ := start(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	ctx = WithProgress(ctx, func(f float64) {
		if f > 0.5 {
			cancel()
		}
	})
	if _, err := s.Run(ctx, "CREATE MODEL m FROM '"+model+"'"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	names := left(t, dir)
	if len(names) != 1 || !strings.HasPrefix(names[0], "partial-") || len(s.Catalog.Models()) != 0 {
		t.Fatal(names, s.Catalog.Models())
	}
	begun, err := os.Stat(filepath.Join(dir, "blobs", names[0]))
	if err != nil || begun.Size() < 2_000_000 {
		t.Fatal(begun, err)
	}
	if s.Files, err = storage.Open(dir); err != nil { // as after a restart
		t.Fatal(err)
	}
	run(t, s, "CREATE MODEL m FROM '"+model+"'")
	m, err := s.Catalog.FindModel("m")
	if err != nil {
		t.Fatal(err)
	}
	if now, err := os.Stat(m.Path); err != nil || !os.SameFile(now, begun) {
		t.Error("another file was begun", err)
	}
	again, _ := start(t, t.TempDir())
	run(t, again, "CREATE MODEL m FROM '"+model+"'")
	if other, err := again.Catalog.FindModel("m"); err != nil || other.SHA256 != m.SHA256 {
		t.Error("another file than without the interruption", err)
	}
	if names := left(t, dir); len(names) != 1 {
		t.Error(names)
	}
}

// A directory that changes while it is converted becomes no model, and can be
// converted when it is complete.
func TestDirectoryChanges(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"shorter":  func(path string) error { return os.Truncate(path, 1_000_000) },
		"replaced": func(path string) error { return os.Rename(path+".new", path) },
		"touched":  func(path string) error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
		"removed":  os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir, model := t.TempDir(), big(t)
			path := filepath.Join(model, "model.safetensors")
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+".new", whole, 0o600); err != nil {
				t.Fatal(err)
			}
			s, _ := start(t, dir)
			done := false
			ctx := WithProgress(t.Context(), func(f float64) {
				if f > 0.5 && !done {
					done = true
					if err := change(path); err != nil {
						t.Error(err)
					}
				}
			})
			_, err = s.Run(ctx, "CREATE MODEL m FROM '"+model+"'")
			if code := errs.CodeOf(err); code != errs.InvalidModelFile && code != errs.NotFound {
				t.Error(err)
			}
			if names := left(t, dir); len(names) != 0 || len(s.Catalog.Models()) != 0 {
				t.Error(names)
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, s, "CREATE MODEL m FROM '"+model+"'")
		})
	}
}

// A directory that is converted already is not converted a second time beside that.
func TestConvertTwiceAtOnce(t *testing.T) {
	dir, model := t.TempDir(), big(t)
	s, _ := start(t, dir)
	tried := false
	ctx := WithProgress(t.Context(), func(f float64) {
		if f > 0.5 && !tried {
			tried = true
			if _, err := s.Run(t.Context(), "CREATE MODEL other FROM '"+model+"'"); errs.CodeOf(err) != errs.AlreadyExists || !strings.Contains(err.Error(), "converting "+model+" is being done already; wait") {
				t.Error(err)
			}
		}
	})
	if _, err := s.Run(ctx, "CREATE MODEL m FROM '"+model+"'"); err != nil || !tried {
		t.Fatal(err)
	}
	run(t, s, "CREATE MODEL other FROM '"+model+"'")
	if names := left(t, dir); len(names) != 1 {
		t.Error(names)
	}
}

// What is dropped while another model is imported goes when that has ended.
func TestDropDuringAnImport(t *testing.T) {
	dir := t.TempDir()
	s, _ := start(t, dir)
	run(t, s, "CREATE MODEL tiny FROM '"+testdata(t, "tiny.gguf")+"'")
	dropped := false
	ctx := WithProgress(t.Context(), func(float64) {
		if !dropped {
			dropped = true
			run(t, s, "DROP MODEL tiny")
		}
	})
	if _, err := s.Run(ctx, "CREATE MODEL m FROM '"+big(t)+"'"); err != nil {
		t.Fatal(err)
	}
	if names := left(t, dir); !dropped || len(names) != 1 {
		t.Error(names)
	}
}
