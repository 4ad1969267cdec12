package database

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyprstream/errs"
)

// What is done to a stored file behind our back is found before the file is used
// again, and said with the remedy, which works.
func TestStoredFilesChange(t *testing.T) {
	changes := map[string]struct {
		change func(path string, whole []byte) error
		code   errs.Code
		want   string
	}{
		"one bit": {func(path string, whole []byte) error {
			other := bytes.Clone(whole)
			other[len(other)-100] ^= 1
			return os.WriteFile(path, other, 0o600)
		}, errs.DigestMismatch, "has changed since its import"},
		"cut off": {func(path string, whole []byte) error { return os.Truncate(path, int64(len(whole)/2)) },
			errs.DigestMismatch, "has changed since its import"},
		"emptied": {func(path string, _ []byte) error { return os.Truncate(path, 0) }, errs.InvalidModelFile, "is empty"},
		"replaced": {func(path string, whole []byte) error {
			if err := os.WriteFile(path+".new", whole[:len(whole)-1], 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}, errs.DigestMismatch, "has changed since its import"},
		"removed": {func(path string, _ []byte) error { return os.Remove(path) }, errs.NotFound, "import the model again"},
	}
	const ask = "SELECT generate('tiny', 'word', max_tokens := 4, adapter := 'odd', on_error := 'fail', cache := 'off')"
	for name, c := range changes {
		for _, table := range []string{"models", "adapters"} {
			t.Run(table+" "+name, func(t *testing.T) {
				s := open(t)
				source := t.TempDir() // a link to these would lead the change to the files of the tests
				create := map[string]string{"models": "CREATE OR REPLACE MODEL tiny FROM '{}/tiny.gguf' WITH (slots = 2, threads = 1)",
					"adapters": "CREATE OR REPLACE ADAPTER odd FOR MODEL tiny FROM '{}/tiny-lora.gguf'"}
				bring := func() {
					for _, f := range []string{"tiny.gguf", "tiny-lora.gguf"} {
						data, err := os.ReadFile("../testdata/" + f)
						if err != nil {
							t.Fatal(err)
						}
						if err := os.WriteFile(filepath.Join(source, f), data, 0o600); err != nil {
							t.Fatal(err)
						}
					}
				}
				bring()
				sql(t, s, strings.ReplaceAll(create["models"], "{}", source))
				sql(t, s, strings.ReplaceAll(create["adapters"], "{}", source))
				want := sql(t, s, ask)
				sql(t, s, "ALTER MODEL tiny UNLOAD")
				path := sql(t, s, "SELECT path FROM ai."+table)
				whole, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.change(path, whole); err != nil {
					t.Fatal(err)
				}
				r, err := s.Query(t.Context(), ask)
				if err == nil {
					for r.Next() {
					}
					err = r.Err()
					r.Close()
				}
				if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("%s: %v", errs.CodeOf(err), err)
				}
				bring()
				sql(t, s, strings.ReplaceAll(create[table], "{}", source))
				if got := sql(t, s, ask); got != want {
					t.Errorf("after the remedy %q, before %q", got, want)
				}
			})
		}
	}
}
