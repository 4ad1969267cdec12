package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/storage/convert/converttest"
	"hyprstream/storage/peft/pefttest"
	"hyprstream/storage/pull/pulltest"
)

// TestMain lets the test binary be `hyprstream` in scripts, and the worker
// process of a model.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hyprstream": main})
}

// TestScripts runs testdata/*.txt: one file per behaviour, each in a directory
// and with a data directory of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			models, err := filepath.Abs("../../testdata")
			if err != nil {
				return err
			}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("HYPRSTREAM_DATA", filepath.Join(env.WorkDir, "data"))
			env.Setenv("TINY", filepath.Join(models, "tiny.gguf"))
			env.Setenv("MODELS", models)
			env.Setenv("TINY_OTHER", filepath.Join(models, "tiny-notemplate.gguf"))
			env.Setenv("TINY_LORA", filepath.Join(models, "tiny-lora.gguf"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"cert":  cert,
			"ready": ready,
			"web":   web,
			"hub":   hub,
			"post":  post,

			"safetensors": safetensors,
			"peft":        peftDirectory,
		},
	})
}

// safetensors makes a model directory: DIR BLOCKS WIDTH FFN.
func safetensors(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	sizes := make([]int, 3)
	for i := range sizes {
		n, err := strconv.Atoi(args[i+1])
		ts.Check(err)
		sizes[i] = n
	}
	ts.Check(converttest.Sized(sizes[0], sizes[1], sizes[2]).Save(dir, nil))
}

// peftDirectory makes a LoRA of testdata/tiny.gguf.
func peftDirectory(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(pefttest.SaveIn(dir, pefttest.Config(4, 8, map[string]any{"use_rslora": true}), pefttest.Tiny(1)))
}

// web serves a directory's files and sets WEB.
func web(ts *testscript.TestScript, _ bool, args []string) {
	srv := httptest.NewServer(http.FileServer(http.Dir(args[0])))
	ts.Defer(srv.Close)
	ts.Setenv("WEB", srv.URL)
}

// hub serves the directories ORG/REPO below a directory as Hugging Face does, and
// sets HF_ENDPOINT.
func hub(ts *testscript.TestScript, _ bool, args []string) {
	h := &pulltest.Hub{}
	repos, err := filepath.Glob(ts.MkAbs(args[0]) + "/*/*")
	ts.Check(err)
	for _, dir := range repos {
		files, err := pulltest.Read(dir)
		ts.Check(err)
		h.Push(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir), files)
	}
	srv := httptest.NewServer(h)
	ts.Defer(srv.Close)
	ts.Setenv("HF_ENDPOINT", srv.URL)
}

// ready waits for the server of the data directory and sets FLIGHT and HTTP.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.Getenv("HYPRSTREAM_DATA")
	if len(args) == 1 {
		dir = ts.MkAbs(args[0])
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(dir, "server.json"))
		var rec client.Record
		if err == nil && json.Unmarshal(text, &rec) == nil {
			ts.Setenv("FLIGHT", rec.Flight)
			ts.Setenv("HTTP", rec.HTTP)
			return
		}
	}
	ts.Fatalf("no server came up for %s", dir)
}

// post PATH BODY sends a request to the server and checks that the rest of the
// arguments are in its answer.
func post(ts *testscript.TestScript, _ bool, args []string) {
	resp, err := http.Post("http://"+ts.Getenv("HTTP")+args[0], "application/x-www-form-urlencoded", strings.NewReader(args[1]))
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Logf("%s\n%s", resp.Status, text)
	for _, want := range args[2:] {
		if !strings.Contains(string(text), want) {
			ts.Fatalf("%q is not in the answer", want)
		}
	}
}
