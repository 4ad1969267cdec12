package database

import (
	"os"
	"testing"

	"hyprstream/runtime/worker"
)

// The test binary is its own engine process, as hyprstream is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		os.Exit(worker.Main())
	}
	if len(os.Args) > 2 && os.Args[1] == "statement" {
		runStatement(os.Args[2])
		return
	}
	os.Exit(m.Run())
}
