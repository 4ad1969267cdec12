package sqltext

import (
	"reflect"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
		rest string
		done bool
	}{
		{"SELECT 1", nil, "SELECT 1", false},
		{"SELECT 1;", []string{"SELECT 1"}, "", true},
		{"SELECT 1; SELECT ';';\n", []string{"SELECT 1", "SELECT ';'"}, "\n", true},
		{"SELECT 'it''s;'; x", []string{"SELECT 'it''s;'"}, " x", false},
		{`SELECT "a;b"; `, []string{`SELECT "a;b"`}, " ", true},
		{"SELECT $$a;b$$; SELECT $x$ ; $$ ; $x$;", []string{"SELECT $$a;b$$", "SELECT $x$ ; $$ ; $x$"}, "", true},
		{"SELECT $1; SELECT $a", []string{"SELECT $1"}, " SELECT $a", false},
		{"-- a;b\nSELECT 1; -- end", []string{"-- a;b\nSELECT 1"}, " -- end", true},
		{"/* a; /* b; */ c; */ SELECT 1;", []string{"/* a; /* b; */ c; */ SELECT 1"}, "", true},
		{"SELECT '", nil, "SELECT '", false},
		{"/* open", nil, "/* open", false},
		{`SELECT e'\';'; SELECT 1;`, []string{`SELECT e'\';'`, "SELECT 1"}, "", true},
		{`SELECT date'2020-01-01';`, []string{`SELECT date'2020-01-01'`}, "", true},
		{`SELECT '\';`, []string{`SELECT '\'`}, "", true},
		{";;; ", nil, " ", true},
		{"", nil, "", true},
	} {
		got, rest, done := Split(c.text)
		if !reflect.DeepEqual(got, c.want) || rest != c.rest || done != c.done {
			t.Errorf("Split(%q) = %q, %q, %v; want %q, %q, %v", c.text, got, rest, done, c.want, c.rest, c.done)
		}
	}
}

func TestAll(t *testing.T) {
	if got := All("SELECT 1; SELECT 2 -- the end"); !reflect.DeepEqual(got, []string{"SELECT 1", "SELECT 2 -- the end"}) {
		t.Errorf("got %q", got)
	}
}

func TestQuote(t *testing.T) {
	if got := Ident(`a"b`) + Literal("it's"); got != `"a""b"'it''s'` {
		t.Error(got)
	}
}

// FuzzSplit checks that no text is lost or invented.
func FuzzSplit(f *testing.F) {
	f.Add("SELECT 'a;b' -- c\n; $x$;$x$ /* ; */")
	f.Fuzz(func(t *testing.T, text string) {
		statements, rest, _ := Split(text)
		if !strings.HasSuffix(text, rest) {
			t.Errorf("rest %q is not the end of %q", rest, text)
		}
		for _, s := range statements {
			if !strings.Contains(text, s) || s == "" {
				t.Errorf("statement %q is not in %q", s, text)
			}
		}
	})
}
