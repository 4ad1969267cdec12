package database

import (
	"net/http/httptest"
	"testing"

	"hyprstream/errs"
	"hyprstream/storage/convert/converttest"
	"hyprstream/storage/peft/pefttest"
	"hyprstream/storage/pull/pulltest"
)

// What clients make of repositories, by leave of --allow-pull, computes as what is
// made of the same directories.
func TestRepositories(t *testing.T) {
	model := converttest.Sized(2, 64, 128).Write(t, nil)
	adapter := pefttest.Save(t, pefttest.Config(4, 8, nil), pefttest.Tiny(1))
	hub := &pulltest.Hub{Page: 2}
	for repo, dir := range map[string]string{"org/model": model, "org/lora": adapter} {
		files, err := pulltest.Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		hub.Push(repo, files)
	}
	srv := httptest.NewServer(hub)
	t.Cleanup(srv.Close)
	t.Setenv("HF_ENDPOINT", srv.URL)
	t.Setenv("HF_TOKEN", "")

	refused := openConfig(t, Config{Dir: t.TempDir(), AllowDirs: []string{t.TempDir()}, AllowPull: []string{"oci"}})
	if _, err := refused.Exec(t.Context(), "CREATE MODEL m FROM 'hf://org/model'"); errs.CodeOf(err) != errs.PermissionDenied {
		t.Error(err)
	}
	s := openConfig(t, Config{Dir: t.TempDir(), AllowDirs: []string{model, adapter, "../testdata"}, AllowPull: []string{"hf"}})
	for _, create := range []string{
		"CREATE MODEL m FROM 'hf://org/model' WITH (slots = 1)", "CREATE MODEL l FROM '" + model + "' WITH (slots = 1)",
		"CREATE MODEL q FROM 'hf://org/model' WITH (slots = 1, quantize = 'Q8_0')",
		"CREATE MODEL tiny FROM '../testdata/tiny.gguf' WITH (slots = 1)",
		"CREATE ADAPTER a FOR MODEL tiny FROM 'hf://org/lora'", "CREATE ADAPTER b FOR MODEL tiny FROM '" + adapter + "'",
	} {
		if _, err := s.Exec(t.Context(), create); err != nil {
			t.Fatalf("%s: %v", create, err)
		}
	}
	if got := sql(t, s, "SELECT name, source, quantisation FROM ai.models WHERE name IN ('m', 'q') ORDER BY name"); got != "m|hf://org/model|F32\nq|hf://org/model|Q8_0" {
		t.Error(got)
	}
	if got := sql(t, s, "SELECT generate('m', 'abc', max_tokens := 5) = generate('l', 'abc', max_tokens := 5), generate('q', 'abc', max_tokens := 5) IS NOT NULL"); got != "true|true" {
		t.Error(got)
	}
	if got := sql(t, s, `SELECT logprob('tiny', 'a', 'b', adapter := 'a') = logprob('tiny', 'a', 'b', adapter := 'b'),
		logprob('tiny', 'a', 'b', adapter := 'a') <> logprob('tiny', 'a', 'b')`); got != "true|true" {
		t.Error(got)
	}
}
