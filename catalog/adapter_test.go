package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hyprstream/errs"
	"hyprstream/storage/peft/pefttest"
)

func run(t *testing.T, s *Statements, sql string) string {
	t.Helper()
	said, err := s.Run(t.Context(), sql)
	if err != nil {
		t.Fatal(sql, err)
	}
	return said
}

// files are an adapter's parts without their digests and paths.
func files(t *testing.T, s *Statements, model, name string) string {
	t.Helper()
	a, err := s.Catalog.Adapter(model, name)
	if err != nil {
		t.Fatal(err)
	}
	out := fmt.Sprint(a.Scale)
	for _, p := range a.Parts {
		out += fmt.Sprintf(" %s*%v", p.Name, p.Scale)
		if _, err := os.Stat(p.Path); err != nil || !strings.Contains(p.Path, p.SHA256) {
			t.Error(p, err)
		}
	}
	return out
}

func peftDir(t *testing.T, seed uint64) string {
	return pefttest.Save(t, pefttest.Config(4, 8, nil), pefttest.Tiny(seed))
}

// A PEFT directory becomes an adapter; what is wrong with one leaves nothing behind.
func TestPEFT(t *testing.T) {
	dir := t.TempDir()
	s, _ := start(t, dir)
	run(t, s, "CREATE MODEL tiny FROM '"+testdata(t, "tiny.gguf")+"'")
	if said := run(t, s, "CREATE ADAPTER p FOR MODEL tiny FROM '"+peftDir(t, 1)+"'"); !strings.Contains(said, "rank 4") {
		t.Error(said)
	}
	a, _ := s.Catalog.findAdapter("p")
	m, err := s.Catalog.FindModel("tiny")
	if err != nil || a.Rank != 4 || a.Alpha != 8 || len(a.Targets) != 3 || a.BaseSHA256 != m.SHA256 || a.Kind() != "lora" {
		t.Errorf("%+v %v", a, err)
	}
	if _, err := os.Stat(a.Path); err != nil {
		t.Error(err)
	}
	other := pefttest.Save(t, pefttest.Config(4, 8, map[string]any{"base_sha256": strings.Repeat("0", 64)}), pefttest.Tiny(2))
	for path, want := range map[string]string{
		other:           "digest 000000000000",
		t.TempDir():     "lacks adapter_config.json",
		dir + "/absent": "no file",
	} {
		_, err := s.Run(t.Context(), "CREATE ADAPTER q FOR MODEL tiny FROM '"+path+"'")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Error(path, err)
		}
	}
	entries, err := filepath.Glob(filepath.Join(dir, "blobs", "*"))
	if err != nil || len(entries) != 2 {
		t.Error(entries, err)
	}
	s.Allow = func(p string) (string, error) {
		if strings.HasSuffix(p, ".safetensors") {
			return "", errs.New(errs.PermissionDenied, "", "not there")
		}
		return p, nil
	}
	if _, err := s.Run(t.Context(), "CREATE ADAPTER q FOR MODEL tiny FROM '"+peftDir(t, 3)+"'"); errs.CodeOf(err) != errs.PermissionDenied {
		t.Error(err)
	}
}

// A GGUF LoRA of another model is refused, by the tensor that does not fit.
func TestUnfit(t *testing.T) {
	s, _ := start(t, t.TempDir())
	run(t, s, "CREATE MODEL tiny FROM '"+testdata(t, "tiny.gguf")+"'")
	whole, err := os.ReadFile(testdata(t, "tiny-lora.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	for from, c := range map[string]struct{ to, want string }{
		"llama":                      {"qwen2", `made for architecture "qwen2" and the model is "llama"`},
		"blk.1.ffn_down.":            {"blk.7.ffn_down.", "blk.7.ffn_down.weight, which the model does not have"},
		"blk.1.attn_v.":              {"blk.1.ffn_up.", "blk.1.ffn_up.weight has A [4, 64] and B [32, 4] and the model's blk.1.ffn_up.weight is [160, 64]"},
		"blk.0.attn_q.weight.lora_a": {"blk.0.attn_q.weight.more_a", "blk.0.attn_q"},
	} {
		path := filepath.Join(t.TempDir(), "l.gguf")
		text := strings.ReplaceAll(string(whole), from, c.to)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Run(t.Context(), "CREATE ADAPTER x FOR MODEL tiny FROM '"+path+"'"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", from, err)
		}
	}
}

// A blend keeps its parts' files and scales, whatever becomes of the parts' names.
func TestBlend(t *testing.T) {
	dir := t.TempDir()
	s, _ := start(t, dir)
	run(t, s, "CREATE MODEL tiny FROM '"+testdata(t, "tiny.gguf")+"'")
	run(t, s, "CREATE ADAPTER a FOR MODEL tiny FROM '"+peftDir(t, 1)+"' WITH (scale = 2)")
	run(t, s, "CREATE ADAPTER b FOR MODEL tiny FROM '"+testdata(t, "tiny-lora.gguf")+"'")
	if said := run(t, s, "CREATE ADAPTER ab FOR MODEL tiny FROM (a 0.75, b 0.25) WITH (scale = 0.5)"); said != "adapter ab created for model tiny: a blend of a:0.75, b:0.25" {
		t.Error(said)
	}
	run(t, s, "CREATE ADAPTER nested FOR MODEL tiny FROM (ab 2, b)")
	const ab, nested = "0.5 ab/a*1.5 ab/b*0.25", "1 nested/a*1.5 nested/b*0.25 nested/b*1"
	check := func(when string) {
		t.Helper()
		if got := files(t, s, "tiny", "ab"); got != ab {
			t.Error(when, got)
		}
		if got := files(t, s, "tiny", "nested"); got != nested {
			t.Error(when, got)
		}
	}
	check("made")
	row, _ := s.Catalog.findAdapter("ab")
	if row.Kind() != "blend" || row.Rank != 4 || len(row.Targets) != 4 || row.Path != "" || len(row.SHA256) != 64 || row.Alpha != 0 {
		t.Errorf("%+v", row)
	}
	before := blobs(t, dir)
	run(t, s, "CREATE OR REPLACE ADAPTER a FOR MODEL tiny FROM '"+peftDir(t, 2)+"'")
	check("replaced")
	if n := blobs(t, dir); n != before+1 {
		t.Errorf("%d blobs", n)
	}
	run(t, s, "DROP ADAPTER a")
	run(t, s, "DROP ADAPTER b")
	check("dropped")
	if n := blobs(t, dir); n != before {
		t.Errorf("%d blobs", n)
	}
	if _, err := s.Run(t.Context(), "DROP MODEL tiny"); err == nil || !strings.Contains(err.Error(), "drop ab, nested first") {
		t.Error(err)
	}
	s.Catalog.Close()
	s.Catalog.usage = &usageLog{stop: make(chan struct{}), done: closed()} // closed once more by the test's end
	s, _ = start(t, dir)
	check("opened again")
	run(t, s, "DROP ADAPTER ab")
	check2 := files(t, s, "tiny", "nested")
	run(t, s, "DROP ADAPTER nested")
	if n := blobs(t, dir); n != 1 || check2 != nested {
		t.Errorf("%d blobs, %s", n, check2)
	}
}

// Equal blends have equal digests, others not.
func TestBlendDigest(t *testing.T) {
	a, b := Part{SHA256: "a", Scale: 0.5}, Part{SHA256: "b", Scale: 0.25}
	if blendDigest([]Part{a, b}) != blendDigest([]Part{b, a}) || blendDigest([]Part{a, b}) == blendDigest([]Part{a, {SHA256: "b", Scale: 0.5}}) {
		t.Error("digests")
	}
}

// A model's new file must fit the adapters that it has.
func TestReplaceUnderAdapters(t *testing.T) {
	s, _ := start(t, t.TempDir())
	run(t, s, "CREATE MODEL tiny FROM '"+testdata(t, "tiny.gguf")+"'")
	run(t, s, "CREATE ADAPTER a FOR MODEL tiny FROM '"+peftDir(t, 1)+"'")
	run(t, s, "CREATE OR REPLACE MODEL tiny FROM '"+testdata(t, "tiny-notemplate.gguf")+"'")
	whole, err := os.ReadFile(testdata(t, "tiny.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(whole), "blk.1.attn_v.", "blk.1.attn_z.")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), "CREATE OR REPLACE MODEL tiny FROM '"+path+"'"); errs.CodeOf(err) != errs.InvalidArgument || !strings.Contains(err.Error(), `does not fit its adapter "a"`) ||
		!strings.Contains(err.Error(), "blk.1.attn_v.weight") {
		t.Error(err)
	}
}
