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
			for way, connect := range map[string]func(*testing.T, *database.DB) conn{"process": inProcess, "flight": overFlight} {
				t.Run(way, func(t *testing.T) { s.run(t, path, connect(t, open(t, setup...))) })
			}
		})
	}
}
