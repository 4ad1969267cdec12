package grammar

import (
	"fmt"
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

// Schemas that a conversion without bounds does not survive, or does not end with.
func TestHostile(t *testing.T) {
	types, closing := "", ""
	for range 30 {
		types += `{"type": ["object", "object"], "properties": {"a": `
		closing += "}}"
	}
	doubled := `{"$ref": "#/$defs/a0", "$defs": {`
	for i := range 40 {
		doubled += fmt.Sprintf(`"a%d": {"allOf": [{"$ref": "#/$defs/a%d"}, {"$ref": "#/$defs/a%d"}]}, `, i, i+1, i+1)
	}
	doubled += `"a40": {"type": "object"}}}`
	many := `{"type": "object", "properties": {`
	for i := range 5000 {
		many += fmt.Sprintf(`"p%d": {}, `, i)
	}
	many += `"x": {}}}`
	for name, schema := range map[string]string{
		"long name":       `{"type": "object", "properties": {"` + strings.Repeat(" ", 200<<10) + `": {}}}`,
		"long names":      strings.Repeat(`{"type": "object", "required": ["x"], "properties": {"`+strings.Repeat("n", 1000)+`": `, 100) + "{}" + strings.Repeat("}}", 100),
		"long reference":  `{"$ref": "#/` + strings.Repeat(" ", 200<<10) + `"}`,
		"circle":          `{"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}}`,
		"wider circle":    `{"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}`,
		"types":           types + "{}" + closing,
		"doubled":         doubled,
		"many":            many,
		"deep":            strings.Repeat(`{"type": "array", "items": `, 1000) + "{}" + strings.Repeat("}", 1000),
		"too long":        `{"description": "` + strings.Repeat("x", 300<<10) + `"}`,
		"many items":      `{"type": "array", "maxItems": 1000000}`,
		"long text":       `{"type": "string", "minLength": 100000000}`,
		"negative":        `{"type": "array", "minItems": -1}`,
		"large integer":   `{"type": "integer", "maximum": 1e30}`,
		"long pattern":    `{"type": "string", "pattern": "^` + strings.Repeat("a?", 2000) + `$"}`,
		"nested brackets": strings.Repeat("[", 100000),
	} {
		if g, err := Of(schema); err == nil {
			t.Errorf("%s: %d bytes of grammar", name, len(g))
		} else if len(err.Error()) > 500 {
			t.Errorf("%s: a message of %d bytes", name, len(err.Error()))
		}
	}
	for name, schema := range map[string]string{
		"deep":     strings.Repeat(`{"type": "object", "required": ["a"], "properties": {"a": `, 64) + `{"type": "boolean"}` + strings.Repeat("}}", 64),
		"names":    `{"type": "object", "properties": {"` + strings.Repeat("ü ", 2000) + `": {}}}`,
		"tree":     `{"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "properties": {"l": {"$ref": "#/$defs/t"}, "r": {"$ref": "#/$defs/t"}}}}}`,
		"patterns": `{"type": "string", "pattern": "^` + strings.Repeat("(a|b){1,50}", 80) + `$"}`,
	} {
		if _, err := Of(schema); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
