package hyprstream_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers lists the rooms from the top down. A package may import its own room and those below it, nothing above.
var layers = []struct{ room, does string }{
	{"cmd/hyprstream", "wires everything; the only place where concrete types meet"},
	{"flightsql", "speaks Flight SQL"},
	{"rest", "speaks HTTP"},
	{"database", "runs SQL sessions"},
	{"sqlfuncs", "defines the SQL functions"},
	{"sqlfuncs/operator", "is the inference operator in DuckDB's plan"},
	{"catalog", "keeps models and adapters"},
	{"inference", "decides what runs on which engine"},
	{"runtime/worker", "runs one child process per model"},
	{"runtime/llama", "binds llama.cpp"},
	{"runtime/grammar", "turns JSON schemas into grammars"},
	{"runtime/decode", "batches sequences over a small Backend interface"},
	{"storage/pull", "fetches files by URL"},
	{"storage/states", "keeps what was computed of dialogues"},
	{"storage", "keeps model files by digest"},
	{"cache", "keeps answers on disk by key"},
	{"errs", "is the leaf that names errors"},
}

const (
	http   = "net/http"
	grpc   = "google.golang.org/grpc"
	arrow  = "github.com/apache/arrow-go"
	duckdb = "github.com/duckdb"
	adbc   = "github.com/apache/arrow-adbc"
)

// forbidden says what a room (or a room's subtree) may not reach, however many imports lie between, and why.
var forbidden = []struct {
	room   string
	reach  []string
	reason string
}{
	{"inference", []string{http, grpc, arrow, duckdb, adbc},
		"inference is pure: transports turn wire formats into typed requests, sqlfuncs turns columns into requests"},
	{"runtime", []string{http, grpc, arrow, duckdb, adbc},
		"a runtime turns tokens into tokens and must be usable from any inference code"},
	{"cache", []string{http, grpc, arrow, duckdb, adbc},
		"what a key or a value means is inference's, which reaches it through an interface"},
	{"storage", []string{grpc, arrow, duckdb, adbc},
		"files are kept the same way whoever asks"},
	{"flightsql", []string{"hyprstream/rest"},
		"the transports are peers: what both need belongs to database"},
	{"rest", []string{"hyprstream/flightsql"},
		"the transports are peers: what both need belongs to database"},
	{"catalog", []string{grpc, arrow, adbc},
		"the catalog is reached by SQL only"},
	{"runtime/decode", []string{"hyprstream/runtime/llama", "hyprstream/runtime/worker"},
		"the decode loop knows its small Backend interface, so that a fake can stand in"},
	{"errs", []string{"hyprstream/"},
		"every layer may use errs, so it uses none"},
}

// forbiddenDirect says what may be imported in one room only, or by tests only.
var forbiddenDirect = []struct {
	target string
	only   []string
	reason string
}{
	{"hyprstream/runtime/decode/fake", nil, "the fake is for tests: the product never runs on it"},
	{"hyprstream/storage/peft/pefttest", nil, "it writes files for tests"},
	{"hyprstream/storage/convert/converttest", nil, "it writes files for tests"},
	{"hyprstream/storage/pull/pulltest", nil, "it serves files for tests"},
	{"hyprstream/cache", []string{"database"}, "inference and catalog see it through interfaces; database wires it"},
	{"hyprstream/runtime/llama", []string{"runtime/worker", "runtime/llama", "cmd/hyprstream"},
		"llama.cpp can abort its process, so only the worker's child process calls it"},
	{"hyprstream/runtime/worker", []string{"inference", "database", "cmd/hyprstream", "runtime/worker"},
		"engines are reached through inference; database and cmd wire them"},
	{duckdb, []string{"database", "catalog", "sqlfuncs"},
		"DuckDB is behind database; transports see Arrow record batches"},
	{http, []string{"rest", "flightsql", "cmd/hyprstream", "storage/pull"}, "HTTP ends in the transports (Flight sessions are cookies); storage/pull is its only client"},
	{grpc, []string{"flightsql", "cmd/hyprstream"}, "gRPC ends in flightsql"},
}

// cgo lists the only packages with import "C", each with what it is for.
var cgo = map[string]string{
	"runtime/llama":     "llama.cpp",
	"runtime/grammar":   "llama.cpp's conversion of JSON schemas",
	"sqlfuncs/operator": "DuckDB's C++ interface",
	"database":          "DuckDB chunks to Arrow through the C data interface",
}

const maxLines = 800 // about 150 is the aim, above 500 has reasons; beyond this a file is two files

type pkg struct {
	ImportPath, Dir           string
	Imports, Deps             []string
	GoFiles, CgoFiles         []string
	TestGoFiles, XTestGoFiles []string
}

// room returns the path below the module, and the index of the layer it belongs to (-1: none).
func (p pkg) room() (string, int) {
	path := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "hyprstream"), "/")
	found := -1
	for i, l := range layers {
		if within(path, l.room) && (found < 0 || len(l.room) > len(layers[found].room)) {
			found = i
		}
	}
	return path, found
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", // -e: what does not compile is the compiler's to tell
		"-json=ImportPath,Dir,Imports,Deps,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles)+len(p.CgoFiles) > 0 {
			list = append(list, p)
		}
	}
	if len(list) < 5 {
		t.Fatalf("go list found only %d packages", len(list))
	}
	return list
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		path, own := p.room()
		if own < 0 {
			t.Errorf("%s belongs to no room of the table in layering_test.go: add one, or move it", path)
			continue
		}
		for _, imported := range p.Imports {
			if !within(imported, "hyprstream") {
				continue
			}
			if _, other := (pkg{ImportPath: imported}).room(); other < own {
				t.Errorf("%s imports %s, which lies above it (%s %s)",
					path, imported, layers[max(other, 0)].room, layers[max(other, 0)].does)
			}
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	all := packages(t)
	imports := map[string][]string{}
	for _, p := range all {
		imports[p.ImportPath] = p.Imports
	}
	for _, p := range all {
		path, _ := p.room()
		for _, rule := range forbidden {
			if !within(path, rule.room) {
				continue
			}
			for _, dep := range p.Deps {
				if slices.ContainsFunc(rule.reach, func(r string) bool { return within(dep, r) }) {
					t.Errorf("%s reaches %s%s: %s", path, dep, via(imports, p.ImportPath, dep), rule.reason)
				}
			}
		}
		for _, rule := range forbiddenDirect {
			if slices.ContainsFunc(rule.only, func(r string) bool { return within(path, r) }) {
				continue
			}
			for _, dep := range p.Imports {
				if within(dep, rule.target) && p.ImportPath != rule.target {
					t.Errorf("%s imports %s: %s", path, dep, rule.reason)
				}
			}
		}
	}
}

// via names the package of this module on the way from one import path to another: the one to change.
func via(imports map[string][]string, from, to string) string {
	seen := map[string]bool{from: true}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range imports[queue[0]] {
			if next == to {
				return " (imported by " + queue[0] + ")"
			}
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	return " (through a library)"
}

func TestCgoOnlyWhereItBelongs(t *testing.T) {
	for _, p := range packages(t) {
		path, _ := p.room()
		if len(p.CgoFiles) > 0 && cgo[path] == "" {
			t.Errorf(`%s has import "C" in %v; only these may: %v`, path, p.CgoFiles, cgo)
		}
	}
}

func TestEveryPackageHasDoc(t *testing.T) {
	for _, p := range packages(t) {
		text, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil {
			t.Errorf("%s has no doc.go: purpose, owner goroutine, what it must not import", p.ImportPath)
		} else if !bytes.Contains(text, []byte("// ")) {
			t.Errorf("%s/doc.go says nothing", p.ImportPath)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	code := []string{".go", ".c", ".h", ".cpp", ".hpp", ".py", ".sh", ".java"}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || path == "bin") {
			return filepath.SkipDir
		}
		if !slices.Contains(code, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("measuring %s: %w", path, err)
		}
		if n := bytes.Count(text, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, over %d", path, n, maxLines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
