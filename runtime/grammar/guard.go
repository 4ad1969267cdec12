package grammar

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Bounds of schemas. The conversion recurses without any, in C++: past its stack, or
// without an end. Each bound is far above what a schema for answers needs.
const (
	maxBytes       = 256 << 10
	maxString      = 8 << 10 // of any text in it; of the names on the way to a subschema together, too
	maxDepth       = 200     // subschemas in each other
	maxNodes       = 4096    // subschemas, each as often as the types and references on the way to it say
	maxOptional    = 200     // properties of one object that may be left out
	maxPattern     = 1000
	maxItems       = 900
	maxLength      = 2000
	maxInteger     = 1 << 62
	maxJSONDepth   = 3 * maxDepth
	alternativesOf = "anyOf oneOf allOf"
)

// guard walks a schema before it is converted.
type guard struct {
	root  any
	nodes int
}

// check refuses what the conversion could not end, or would take a process down with.
func check(schema string) error {
	if len(schema) > maxBytes {
		return fmt.Errorf("it has %d bytes; at most %d are possible", len(schema), maxBytes)
	}
	if err := shallow(schema); err != nil {
		return err
	}
	var root any
	if err := json.Unmarshal([]byte(schema), &root); err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	if err := shortStrings(root); err != nil {
		return err
	}
	g := &guard{root: root}
	return g.visit(root, 0, 1, 0, nil)
}

// shallow bounds the nesting before anything recurses over it.
func shallow(text string) error {
	depth := 0
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		t, err := d.Token()
		if err != nil {
			return nil //nolint:nilerr // who reads it says what is wrong
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth > maxJSONDepth {
			return fmt.Errorf("it is nested deeper than %d", maxJSONDepth)
		}
	}
}

func shortStrings(v any) error {
	switch v := v.(type) {
	case string:
		if len(v) > maxString {
			return fmt.Errorf("a text in it has %d bytes; at most %d are possible", len(v), maxString)
		}
	case []any:
		for _, e := range v {
			if err := shortStrings(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, e := range v {
			if err := errors.Join(shortStrings(name), shortStrings(e)); err != nil {
				return err
			}
		}
	}
	return nil
}

// visit counts a subschema and those in it. times is how often the conversion comes
// here, names the bytes of the names on the way; open are the subschemas that are
// looked at without anything having been written since.
func (g *guard) visit(v any, depth, times, names int, open []string) error {
	s, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	if types, ok := s["type"].([]any); ok {
		times *= max(1, len(types))
	}
	g.nodes += times
	switch {
	case depth > maxDepth:
		return fmt.Errorf("it is nested deeper than %d", maxDepth)
	case times > maxNodes || g.nodes > maxNodes:
		return fmt.Errorf("it amounts to more than %d subschemas", maxNodes)
	case names > maxString:
		return fmt.Errorf("the names on the way to a subschema have more than %d bytes", maxString)
	}
	if err := bounded(s); err != nil {
		return err
	}
	if ref, ok := s["$ref"].(string); ok {
		if err := g.follow(ref, depth, times, names, open); err != nil {
			return err
		}
	}
	for _, key := range strings.Fields(alternativesOf) {
		list, _ := s[key].([]any)
		for _, e := range list {
			if err := g.visit(e, depth+1, times, names+len(key), open); err != nil {
				return err
			}
		}
	}
	return g.inside(s, depth, times, names)
}

// follow goes on where a reference leads. One that leads back before anything is written has no end;
// one from further inside becomes a rule of the grammar, and is looked at where it stands.
func (g *guard) follow(ref string, depth, times, names int, open []string) error {
	for _, o := range open {
		if o == ref {
			return fmt.Errorf("the reference %.100s leads back to itself", ref)
		}
	}
	target, ok := g.root, strings.HasPrefix(ref, "#")
	for _, step := range strings.Split(strings.TrimPrefix(strings.TrimPrefix(ref, "#"), "/"), "/") {
		var m map[string]any
		if m, ok = target.(map[string]any); ok && step != "" {
			target = m[step]
		}
	}
	if !ok || target == nil {
		return nil // the conversion says that there is nothing
	}
	return g.visit(shell(target), depth+1, times, names+len(ref), append(open, ref))
}

// shell is a referenced subschema without what becomes rules of their own inside it:
// that is counted where it stands.
func shell(v any) any {
	s, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, e := range s {
		if k == "$ref" || k == "type" || strings.Contains(alternativesOf, k) {
			out[k] = e
		}
	}
	return out
}

// inside visits what comes after something is written: properties and items.
func (g *guard) inside(s map[string]any, depth, times, names int) error {
	required := map[string]bool{}
	list, _ := s["required"].([]any)
	for _, r := range list {
		if name, ok := r.(string); ok {
			required[name] = true
		}
	}
	optional := 0
	properties, _ := s["properties"].(map[string]any)
	for name, e := range properties {
		if !required[name] {
			optional++
		}
		if err := g.visit(e, depth+1, times, names+len(name), nil); err != nil {
			return err
		}
	}
	if optional > maxOptional {
		return fmt.Errorf("%d properties of one object may be left out; at most %d are possible", optional, maxOptional)
	}
	for _, key := range []string{"items", "prefixItems", "additionalProperties", "$defs", "definitions"} {
		var members []any
		switch e := s[key].(type) {
		case []any:
			members = e
		case map[string]any:
			if members = []any{e}; strings.HasPrefix(key, "$") || key == "definitions" {
				members = nil
				for _, d := range e {
					members = append(members, d)
				}
			}
		}
		for _, e := range members {
			if err := g.visit(e, depth+1, times, names+len(key), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// bounded looks at a subschema's own numbers and pattern.
func bounded(s map[string]any) error {
	for key, most := range map[string]float64{"minItems": maxItems, "maxItems": maxItems, "minLength": maxLength, "maxLength": maxLength} {
		if n, ok := s[key].(float64); ok && (n > most || n < 0) {
			return fmt.Errorf("%s is %v; it may be 0 to %v", key, n, most)
		}
	}
	for _, key := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
		if n, ok := s[key].(float64); ok && s["type"] == "integer" && math.Abs(n) > maxInteger {
			return fmt.Errorf("%s of an integer is %v; it may be -2^62 to 2^62", key, n)
		}
	}
	if p, ok := s["pattern"].(string); ok && len(p) > maxPattern {
		return fmt.Errorf("a pattern has %d bytes; at most %d are possible", len(p), maxPattern)
	}
	return nil
}
