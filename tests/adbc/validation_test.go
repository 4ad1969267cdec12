// Package adbc_test runs the validation suite of arrow-adbc, with the stock Flight
// SQL driver, against the real server.
package adbc_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/apache/arrow-adbc/go/adbc/validation"
	"github.com/stretchr/testify/suite"
)

// expected are the suite's tests that fail, with the reason. One that passes
// after all must go from here.
var expected = map[string]string{
	"TestSqlIngestInts":         noIngest,
	"TestSqlIngestAppend":       noIngest,
	"TestSqlIngestReplace":      noIngest,
	"TestSqlIngestCreateAppend": noIngest,
	"TestSqlIngestErrors":       noIngest,
}

// noIngest: the server has bulk ingestion, and arrow-go's client of Flight SQL
// and the Python driver use it.
const noIngest = "driver 1.8.0 has no bulk ingestion: it refuses the statement option adbc.ingest.target_table"

// inChild marks the process whose test binary runs the suite itself: its tests
// cannot fail there without failing everything above them.
const inChild = "HYPRSTREAM_VALIDATION_CHILD"

func TestValidation(t *testing.T) {
	if os.Getenv(inChild) != "" {
		suite.Run(t, &validation.DatabaseTests{Quirks: &quirks{}})
		suite.Run(t, &validation.ConnectionTests{Quirks: &quirks{}})
		suite.Run(t, &validation.StatementTests{Quirks: &quirks{}})
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestValidation$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), inChild+"=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // its status says only that something failed
	results := results(out.String())
	if len(results) < 26 {
		t.Fatalf("only %d tests ran:\n%s", len(results), &out)
	}
	for name, r := range results {
		t.Run(name, func(t *testing.T) {
			reason, known := expected[name]
			switch {
			case r.status == "SKIP":
				t.Errorf("it skips itself: tell the suite what the server can do\n%s", r.log)
			case r.status == "FAIL" && !known:
				t.Errorf("it fails:\n%s", r.log)
			case r.status == "FAIL":
				t.Log("expected failure: " + reason)
			case known:
				t.Error("it passes: take it from the list of expected failures")
			}
		})
	}
	for name := range expected {
		if _, ok := results[name]; !ok {
			t.Errorf("the suite has no test %s", name)
		}
	}
}

type result struct{ status, log string }

// Lines of a test's output, such as "    --- PASS: TestValidation/TestNewDatabase (0.05s)":
// its log follows "=== RUN", its status stands in the summary.
var (
	begun = regexp.MustCompile(`(?m)^=== RUN +TestValidation/(\w+)`)
	ended = regexp.MustCompile(`(?m)^ +--- (PASS|FAIL|SKIP): TestValidation/(\w+) `)
)

// results reads the output of a verbose run, by test; parts of a test are its own.
func results(out string) map[string]result {
	logs := map[string]string{}
	at := begun.FindAllStringSubmatchIndex(out, -1)
	for i, m := range at {
		end := len(out)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		name := out[m[2]:m[3]]
		log, _, _ := strings.Cut(out[m[0]:end], "\n--- ")
		logs[name] += log
	}
	all := map[string]result{}
	for _, m := range ended.FindAllStringSubmatch(out, -1) {
		all[m[2]] = result{status: m[1], log: logs[m[2]]}
	}
	return all
}
