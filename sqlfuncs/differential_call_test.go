package sqlfuncs

import (
	"slices"
	"strings"
)

// call writes one, or a literal where none may be.
func (g *generator) call(s scope, write func() string) string {
	if s.plain || g.calls <= 0 {
		return g.literal(text)
	}
	g.calls--
	sql := write()
	g.free = g.free || !s.in(sql)
	return sql
}

// in says whether sql refers to a column.
func (s scope) in(sql string) bool {
	return slices.ContainsFunc(s.cols, func(c column) bool { return strings.Contains(sql, c.ref) })
}

func (g *generator) model(s scope) string {
	return g.pick(
		choice{"", 8, func() string { return g.one("'m'", "'n'", "'k'") }},
		choice{"model of a column", 1, func() string { return "CASE WHEN " + g.leaf(truthy, s) + " THEN 'm' ELSE 'n' END" }},
		choice{"NULL model", 1, func() string { return "CASE WHEN " + g.leaf(truthy, s) + " THEN 'm' END" }})
}

// adapter is the option, given for some.
func (g *generator) adapter(s scope) string {
	return g.pick(
		choice{"", 8, func() string { return "" }},
		choice{"adapter", 1, func() string { return ", adapter := " + g.one("'polite'", "'polite:0.5'", "NULL") }},
		choice{"adapter of a column", 1, func() string {
			return ", adapter := CASE WHEN " + g.leaf(truthy, s) + " THEN 'polite' WHEN " + g.leaf(integer64, s) + " = 1 THEN 'polite:0.25' END"
		}})
}

// extra are options that change no answer.
func (g *generator) extra() string {
	out := g.onErr
	if g.chance(8) {
		g.mark("cache := 'off'")
		out += ", cache := " + g.one("'query'", "'off'")
	}
	return out
}

// continuation is a column, whose empty texts fail; a constant one would fail at prepare.
func (g *generator) continuation(s scope) string {
	if c, ok := g.column(text, s); ok {
		return c
	}
	return "'z'"
}

func (g *generator) generate(s scope, depth int) string {
	return g.call(s, func() string {
		prompt := g.expr(text, s, depth-1)
		if strings.Contains(prompt, "generate(") {
			g.mark("nested calls")
		}
		if g.chance(12) {
			g.mark("default model")
			return "generate(" + prompt + ")"
		}
		options := g.adapter(s) + g.extra()
		if g.chance(12) {
			g.mark("system")
			options += ", system := " + g.leaf(text, s)
		}
		if g.chance(12) {
			g.mark("max_tokens")
			options += ", max_tokens := CASE WHEN " + g.leaf(truthy, s) + " THEN 3 END"
		}
		if g.chance(5) {
			g.mark("stop")
			options += ", stop := " + g.one("['x']", "['x', 'y']")
		}
		return "generate(" + g.model(s) + ", " + prompt + options + ")"
	})
}

func (g *generator) classify(function string, s scope, depth int) string {
	return g.call(s, func() string {
		labels := g.one("['red', 'green']", "['b', 'a', 'b', '']", "['a', 'a b']", "['7']", "['x', 'y', 'red']", "NULL::VARCHAR[]", "[]::VARCHAR[]", "")
		if labels == "" {
			g.mark("labels of a column")
			labels = "['red', NULL, " + g.leaf(text, s) + "]"
		}
		options := g.adapter(s) + g.extra()
		if g.chance(10) {
			g.mark("instruction")
			options += ", instruction := " + g.leaf(text, s)
		}
		if g.chance(20) {
			options += ", model := " + g.model(s)
		}
		return function + "(" + g.expr(text, s, depth-1) + ", " + labels + options + ")"
	})
}

func (g *generator) filter(function string, s scope, depth int) string {
	return g.call(s, func() string {
		options := g.adapter(s) + g.extra()
		if g.chance(20) {
			options += ", model := " + g.model(s)
		}
		return function + "(" + g.expr(text, s, depth-1) + ", " + g.one("'is it?'", "'what?'") + g.maybe(25, func() string { return " || " + g.leaf(text, s) }) + options + ")"
	})
}

func (g *generator) embed(s scope, depth int) string {
	if g.calls <= 0 || s.plain {
		return g.one("[1, 0]::FLOAT[]", "[2, 0.5]::FLOAT[]", "NULL::FLOAT[]")
	}
	return g.call(s, func() string {
		if g.chance(10) {
			return "embed(" + g.expr(text, s, depth-1) + ")"
		}
		return "embed(" + g.model(s) + ", " + g.expr(text, s, depth-1) + g.onErr + ")"
	})
}
