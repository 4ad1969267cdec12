package inference

import (
	"os/exec"
	"strings"
	"testing"
)

// What inference may not reach, and why.
var forbidden = map[string]string{
	"net/http":                        "requests arrive as Go values; HTTP is rest's",
	"google.golang.org/grpc":          "gRPC is flightsql's",
	"github.com/apache/arrow-go":      "rows become Arrow in database",
	"github.com/duckdb":               "SQL is above inference, not below",
	"github.com/gpustack":             "reading GGUF is storage's, and that library brings HTTP",
	"hyprstream/storage":              "files are resolved and verified through Registry and Config.Verify",
	"hyprstream/catalog":              "the catalog implements Registry and imports inference",
	"hyprstream/database":             "above",
	"hyprstream/sqlfuncs":             "above",
	"hyprstream/flightsql":            "above",
	"hyprstream/rest":                 "above",
	"github.com/apache/arrow-adbc/go": "a client's",
}

func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "hyprstream/inference").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 50 {
		t.Fatalf("only %d packages listed", len(deps))
	}
	for _, dep := range deps {
		for bad, why := range forbidden {
			if dep == bad || strings.HasPrefix(dep, bad+"/") {
				t.Errorf("inference reaches %s: %s", dep, why)
			}
		}
	}
}
