package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"hyprstream/runtime/worker"
)

// version is set by the linker for releases: -X main.version=1.2.3.
var version = "0.1.0-dev"

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(a.stdout, "hyprstream %s%s (%s, %s/%s)\n", version, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

// revision is the commit the binary was built from, where the build knew it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return " " + s.Value[:12]
		}
	}
	return ""
}

// workerCommand is the process of one model. It reads no flags and no
// configuration: its parent tells it everything over a socket.
func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "worker",
		Hidden:             true,
		DisableFlagParsing: true,
		PersistentPreRun:   func(*cobra.Command, []string) {},
		Run:                func(*cobra.Command, []string) { os.Exit(worker.Main()) },
	}
}
