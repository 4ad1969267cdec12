// Package sql_test runs the scripts of this folder, and the examples of docs/sql,
// on the real engine.
package sql_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hyprstream/database"
)

func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("*.test")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(path, ".test"), func(t *testing.T) {
			s := parseScript(t, path)
			setup := models
			if s.gemma {
				setup = append(slices.Clone(models), realModel)
			}
			if s.toy {
				setup = toys
			}
			for way, connect := range ways {
				t.Run(way, func(t *testing.T) { s.run(t, path, connect(t, open(t, setup...))) })
			}
		})
	}
}

// TestLogic runs the logic tests: DuckDB's SQL without models, in sqllogictest's
// form. They may read and write files of their own folder only, as clients may.
func TestLogic(t *testing.T) {
	paths, err := filepath.Glob("slt/*.slt")
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, path := range paths {
		s := parseScript(t, path)
		records += len(s.steps)
		for way, connect := range ways {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".slt")+"/"+way, func(t *testing.T) {
				files := t.TempDir()
				db := openWith(t, database.Config{Dir: t.TempDir(), AllowDirs: []string{files}})
				s.in(files).run(t, path, connect(t, db))
			})
		}
	}
	if t.Logf("%d statements and queries in %d scripts", records, len(paths)); records < 300 {
		t.Error("want at least 300")
	}
}
