package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commands is a root with "serve", as the binary has it.
func commands() (root, serve *cobra.Command) {
	root = &cobra.Command{Use: "hyprstream"}
	root.PersistentFlags().String("data", "", "")
	serve = &cobra.Command{Use: "serve", Run: func(*cobra.Command, []string) {}}
	serve.Flags().String("http", "127.0.0.1:8080", "")
	serve.Flags().Int("max-tokens", 1, "")
	serve.Flags().StringArray("allow-dir", nil, "")
	root.AddCommand(serve)
	return root, serve
}

func TestOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	write(t, file, "http: file:1\ndata: /file\nserve:\n  http: section:1\nmax-tokens: 7\nallow-dir: [/a, /b]\n")
	root, serve := commands()
	t.Setenv("HYPRSTREAM_DATA", "/env")
	if err := root.ParseFlags(nil); err != nil {
		t.Fatal(err)
	}
	if err := serve.ParseFlags([]string{}); err != nil {
		t.Fatal(err)
	}
	if err := Apply(serve, file); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"http", "data", "max-tokens", "allow-dir"} {
		got[name] = serve.Flags().Lookup(name).Value.String()
	}
	for name, want := range map[string]string{"http": "section:1", "data": "/env", "max-tokens": "7", "allow-dir": "[/a,/b]"} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
}

func TestFlagWins(t *testing.T) {
	t.Setenv("HYPRSTREAM_HTTP", "env:1")
	_, serve := commands()
	if err := serve.ParseFlags([]string{"--http", "flag:1"}); err != nil {
		t.Fatal(err)
	}
	if err := Apply(serve, ""); err != nil {
		t.Fatal(err)
	}
	if got := serve.Flags().Lookup("http").Value.String(); got != "flag:1" {
		t.Error(got)
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"htp: 1\n":           `key "htp"`,
		"max-tokens: many\n": "key max-tokens of ",
		"a: [\n":             "is not YAML",
	} {
		file := filepath.Join(t.TempDir(), "c.yaml")
		write(t, file, text)
		_, serve := commands()
		_ = serve.ParseFlags(nil)
		if err := Apply(serve, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
	_, serve := commands()
	if err := Apply(serve, "/no/such/file"); err == nil {
		t.Error("a missing file that was asked for must be an error")
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
