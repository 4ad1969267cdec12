package ddl

import (
	"reflect"
	"strings"
	"testing"

	"hyprstream/errs"
)

func TestParse(t *testing.T) {
	for sql, want := range map[string]Statement{
		"CREATE MODEL gemma FROM '/m/gemma.gguf'":             CreateModel{Name: "gemma", Path: "/m/gemma.gguf"},
		"create or replace model \"Big \"\"G\" from 'it''s';": CreateModel{Name: `Big "G`, Path: "it's", OrReplace: true},
		"-- hi\n/* a ; b */ CREATE MODEL IF NOT EXISTS m FROM 'p' WITH (context_length = 4096, Slots := 8, chat_template=>'x', a = TRUE, b = word);;": CreateModel{
			Name: "m", Path: "p", IfNotExists: true, Options: []Option{
				{"context_length", Number, "4096", 2, 57}, {"slots", Number, "8", 2, 80},
				{"chat_template", String, "x", 2, 92}, {"a", Bool, "true", 2, 112}, {"b", Word, "word", 2, 122}}},
		"CREATE ADAPTER polite FOR MODEL gemma FROM 'a.gguf' WITH (scale = -0.5e1)": CreateAdapter{
			Name: "polite", Model: "gemma", Path: "a.gguf", Options: []Option{{"scale", Number, "-0.5e1", 1, 59}}},
		"CREATE ADAPTER blend FOR MODEL gemma FROM (polite 0.7, \"t e\")": CreateAdapter{
			Name: "blend", Model: "gemma", Parts: []Part{{"polite", "0.7"}, {"t e", ""}}},
		"ALTER MODEL gemma load":                            AlterModel{"gemma", Load},
		"ALTER MODEL gemma SET DEFAULT":                     AlterModel{"gemma", SetDefault},
		"DROP MODEL IF EXISTS gemma":                        DropModel{"gemma", true},
		"drop adapter \"if\" ;":                             DropAdapter{"if", false},
		"/* all */ clear Cache;":                            ClearCache{},
		"CREATE PROMPT p AS 'it''s {{x}}'":                  CreatePrompt{Name: "p", Template: "it's {{x}}"},
		"create or replace prompt \"a b\" as $$it's $1$$;":  CreatePrompt{Name: "a b", Template: "it's $1", OrReplace: true},
		"CREATE PROMPT IF NOT EXISTS p AS $q$ $$ -- $q $q$": CreatePrompt{Name: "p", Template: " $$ -- $q ", IfNotExists: true},
		"CREATE PROMPT p AS $$$$":                           CreatePrompt{Name: "p"},
		"DROP SESSION 'it''s x'":                            DropSession{"it's x", false},
		"drop session if exists \"a b\"":                    DropSession{"a b", true},
		"DROP SESSION Abc":                                  DropSession{"Abc", false},
		"DROP PROMPT IF EXISTS p":                           DropPrompt{"p", true},
		"DROP MODEL модель":                                 DropModel{"модель", false},
	} {
		got, ours, err := Parse(sql)
		if err != nil || !ours || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %#v %v\nwant %#v", sql, got, err, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for sql, want := range map[string]string{
		"CREATE MODEL gemma FORM 'x'":                               "line 1, column 20",
		"CREATE MODEL gemma\nFROM x":                                "line 2, column 6",
		"CREATE MODEL gemma FROM 'x":                                "line 1, column 25",
		"CREATE MODEL FROM 'x'":                                     "line 1, column 19",
		"ALTER MODEL gemma EXPLODE":                                 "LOAD | UNLOAD | PIN | UNPIN | SET DEFAULT",
		"CLEAR CACHE gemma":                                         "line 1, column 13",
		"DROP MODEL a, b":                                           "line 1, column 13",
		"CREATE MODEL a FROM 'b' WITH (c)":                          "line 1, column 32",
		"CREATE MODEL a FROM 'b'; DROP MODEL a":                     "line 1, column 26",
		"CREATE PROMPT p AS $$x":                                    "line 1, column 23",
		"CREATE PROMPT p AS $q$x$$":                                 "CREATE [OR REPLACE] PROMPT",
		"CREATE PROMPT p 'x'":                                       "line 1, column 17",
		"CREATE PROMPT p AS 'a' 'b'":                                "line 1, column 24",
		"CREATE ADAPTER a FROM 'b'":                                 "FOR MODEL",
		"CREATE MODEL a FROM 'b' WITH (c = 'x',)":                   "line 1",
		"CREATE PROMPT p AS '" + strings.Repeat("x", maxText) + "'": "bytes and may have",
	} {
		_, ours, err := Parse(sql)
		if !ours || errs.CodeOf(err) != errs.Syntax || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v", sql, ours, err)
		}
	}
}

func TestNotOurs(t *testing.T) {
	for _, sql := range []string{"", ";", "SELECT 1", "CREATE TABLE model(a int)", "DROP TABLE model", "CREATE OR REPLACE VIEW v AS SELECT 1",
		"CREATE MODELS x", "/* open", "-- CREATE MODEL a FROM 'b'", "ALTER TABLE x", "CLEAR", "CLEAR TABLE x", "CLEAR CACHES", "'CREATE MODEL'", "CREATE PROMPTS"} {
		if st, ours, err := Parse(sql); ours || st != nil || err != nil {
			t.Errorf("%.40q: %v %v %v", sql, st, ours, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"CREATE MODEL a FROM 'b' WITH (c = 1)", "CREATE ADAPTER a FOR MODEL b FROM (c 1, d)", "ALTER MODEL \"a\" PIN",
		"DROP MODEL IF EXISTS a; --", "CREATE PROMPT a AS $t$ $$ $t$", "CREATE OR REPLACE MODEL a FROM 'x''y'", "CREATE MODEL \xff FROM 'b'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		st, ours, err := Parse(s)
		if !ours && (st != nil || err != nil) || ours && (st == nil) == (err == nil) {
			t.Errorf("%q: %v %v %v", s, st, ours, err)
		}
		if err != nil && errs.CodeOf(err) != errs.Syntax {
			t.Errorf("%q: %v", s, err)
		}
	})
}
