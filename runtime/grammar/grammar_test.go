package grammar

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type": "boolean"}`:                                                                      `root ::= ("true" | "false")`,
		`{"enum": ["a", "b"]}`:                                                                     `"\"a\"" | "\"b\""`,
		`{"type": "string", "pattern": "^[0-9]{2}$"}`:                                              `(root-1{2,2})`,
		`{"type": "integer", "minimum": 0, "maximum": 9}`:                                          `[0-9]`,
		`{"type": "object", "properties": {"b": {}, "a": {}}, "required": ["a", "b"]}`:             `b-kv`,
		`{"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}`: `"["`,
	} {
		if g, err := Of(schema); err != nil || !strings.Contains(g, want) {
			t.Errorf("%s: %v\n%s\nwant %s", schema, err, g, want)
		}
	}
	for _, schema := range []string{``, `{`, `{"type": "colour"}`, `{"$ref": "https://example.com/x.json"}`, `{"$ref": "#/nowhere"}`, `{"$ref": "#"}`, `true`} {
		if g, err := Of(schema); err == nil {
			t.Errorf("%s gives\n%s", schema, g)
		}
	}
}
