//go:build linux && amd64

package llama

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKernelEqualsGGML runs tools/kernelcheck: the kernel's products of random
// weights of every type it takes are as near to the exact ones as ggml's.
func TestKernelEqualsGGML(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "kernelcheck")
	if out, err := exec.CommandContext(t.Context(), "../../tools/build.sh", "kernelcheck", exe).CombinedOutput(); err != nil {
		t.Fatalf("building kernelcheck: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), exe).CombinedOutput()
	t.Logf("%s", out)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		flags, readErr := os.ReadFile("/proc/cpuinfo")
		if readErr == nil && !strings.Contains(string(flags), "avx512_vnni") {
			return // the kernel is not used on this processor, and says so
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
