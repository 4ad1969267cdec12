package sqlfuncs

import "fmt"

func (g *generator) text(s scope, depth int) string {
	v := func() string { return g.expr(text, s, depth-1) }
	i := func() string { return g.expr(integer64, s, depth-1) }
	of := []choice{
		{"", 4, func() string { return g.leaf(text, s) }},
		{"concat", 2, func() string { return "(" + v() + " || " + v() + ")" }},
		{"", 1, func() string { return g.one("upper", "lower", "trim", "reverse") + "(" + v() + ")" }},
		{"", 1, func() string { return "substr(" + v() + ", 1, " + g.one("1", "2") + ")" }},
		{"CAST", 1, func() string { return "CAST(" + i() + " AS VARCHAR)" }},
		{"CAST", 1, func() string { return "(" + g.expr(truthy, s, depth-1) + ")::VARCHAR" }},
		{"NULLIF", 1, func() string { return "nullif(" + v() + ", " + v() + ")" }},
		{"STRUCT", 1, func() string { return "{'x': " + i() + ", 'y': " + v() + "}.y" }},
		{"list element", 1, func() string { return "[" + v() + ", " + v() + "][" + g.one("1", "2", "-1") + "]" }},
		{"greatest", 1, func() string { return g.one("greatest", "least") + "(" + v() + ", " + v() + ")" }},
		{"list_transform", 1, func() string {
			in := scope{cols: []column{{ref: "x", typ: text}}, plain: s.plain, simple: true}
			if !s.nested && !s.above {
				in = in.with(s.cols...)
			}
			return fmt.Sprintf("array_to_string(list_transform([%s, %s], lambda x: coalesce(%s, '-')), ',')", v(), v(), g.expr(text, in, depth-1))
		}},
		{"macro over calls", 1, func() string { return g.call(s, func() string { return "say(" + v() + ")" }) }},
	}
	of = append(of, g.common(text, s, depth)...)
	if !s.plain && g.calls > 0 {
		of = append(of,
			choice{"generate", 14, func() string { return g.generate(s, depth) }},
			choice{"ai_classify", 3, func() string { return g.classify("ai_classify", s, depth) }},
			choice{"ai_classify_probs", 1, func() string { return g.classify("ai_classify_probs", s, depth) + "::VARCHAR" }},
			choice{"embed", 2, func() string { return g.embed(s, depth) + "::VARCHAR" }})
	}
	return g.pick(of...)
}

func (g *generator) integer(s scope, depth int) string {
	v := func() string { return g.expr(text, s, depth-1) }
	i := func() string { return g.expr(integer64, s, depth-1) }
	of := []choice{
		{"", 4, func() string { return g.leaf(integer64, s) }},
		{"", 3, func() string { return "length(" + v() + ")" }},
		{"", 1, func() string { return "(" + i() + g.one(" + ", " - ") + i() + ")" }},
		{"", 1, func() string { return "(" + i() + " % " + g.one("2", "3", "5") + ")" }},
		{"CAST", 1, func() string { return "CAST(" + g.expr(truthy, s, depth-1) + " AS BIGINT)" }},
		{"TRY_CAST", 1, func() string { return "TRY_CAST(" + v() + " AS BIGINT)" }},
	}
	if !s.above {
		of = append(of, choice{"TRY", 1, func() string {
			return "TRY(" + g.expr(text, scope{cols: s.cols, plain: true, simple: true, nested: s.nested}, depth-1) + "::BIGINT)"
		}})
	}
	of = append(of, g.common(integer64, s, depth)...)
	if !s.plain && g.calls > 0 {
		of = append(of, choice{"count_tokens", 1, func() string {
			return g.call(s, func() string { return "count_tokens(" + g.model(s) + ", " + v() + ")" })
		}}, choice{"embed", 1, func() string { return "len(" + g.embed(s, depth) + ")" }})
	}
	return g.pick(of...)
}

func (g *generator) double(s scope, depth int) string {
	of := []choice{
		{"", 3, func() string { return g.leaf(double, s) }},
		{"CAST", 1, func() string { return "(" + g.expr(integer64, s, depth-1) + ")::DOUBLE" }},
		{"", 1, func() string { return "(" + g.expr(double, s, depth-1) + " + " + g.expr(double, s, depth-1) + ")" }},
		{"TRY_CAST", 1, func() string { return "TRY_CAST(" + g.expr(text, s, depth-1) + " AS DOUBLE)" }},
	}
	of = append(of, g.common(double, s, depth)...)
	if !s.plain && g.calls > 0 {
		of = append(of,
			choice{"logprob", 3, func() string {
				return g.call(s, func() string {
					return "logprob(" + g.model(s) + ", " + g.expr(text, s, depth-1) + ", " + g.one("'x'", "'y z'", g.continuation(s)) + g.adapter(s) + g.extra() + ")"
				})
			}},
			choice{"ai_filter_prob", 3, func() string { return g.filter("ai_filter_prob", s, depth) }},
			choice{"embed", 1, func() string { return g.embed(s, depth) + "[1]::DOUBLE" }},
			choice{"similarity", 1, func() string {
				return "similarity(" + g.embed(s, depth) + ", " + g.one("[1, 0]", "[0.5, 2]") + ")"
			}},
			choice{"ai_classify_probs", 1, func() string { return g.classify("ai_classify_probs", s, depth) + "['red']" }})
	}
	return g.pick(of...)
}

func (g *generator) boolean(s scope, depth int) string {
	v := func() string { return g.expr(text, s, depth-1) }
	b := func() string { return g.expr(truthy, s, depth-1) }
	same := func() (string, string) {
		typ := []byte{text, integer64, double}[g.n(3)]
		return g.expr(typ, s, depth-1), g.expr(typ, s, depth-1)
	}
	of := []choice{
		{"", 2, func() string { return g.leaf(truthy, s) }},
		{"", 4, func() string {
			x, y := same()
			return "(" + x + g.one(" = ", " < ", " <> ", " >= ", " > ") + y + ")"
		}},
		{"AND", 2, func() string { return "(" + b() + " AND " + b() + ")" }},
		{"OR", 2, func() string { return "(" + b() + " OR " + b() + ")" }},
		{"NOT", 1, func() string { return "(NOT " + b() + ")" }},
		{"IN list", 2, func() string { return "(" + v() + g.one(" IN (", " NOT IN (") + v() + ", " + v() + ", 'red'))" }},
		{"LIKE", 1, func() string {
			return "(" + v() + g.one(" LIKE ", " NOT LIKE ", " ILIKE ") + g.one("'%e%'", "'a%'", "'_'", "'%'") + g.maybe(30, func() string { return " || " + v() }) + ")"
		}},
		{"IS NULL", 1, func() string { return "(" + v() + g.one(" IS NULL", " IS NOT NULL") + ")" }},
		{"IS NULL", 1, func() string { return "(" + b() + g.one(" IS TRUE", " IS NOT TRUE", " IS NOT NULL") + ")" }},
		{"BETWEEN", 1, func() string { return "(" + v() + g.one(" BETWEEN ", " NOT BETWEEN ") + v() + " AND " + v() + ")" }},
		{"IS DISTINCT FROM", 1, func() string { return "(" + v() + g.one(" IS DISTINCT FROM ", " IS NOT DISTINCT FROM ") + v() + ")" }},
		{"random()", 1, func() string {
			g.free = true
			return g.one("(random() < 2)", "(random() > 2)")
		}},
		{"list_contains", 1, func() string { return "list_contains([" + v() + ", " + v() + "], " + v() + ")" }},
	}
	of = append(of, g.common(truthy, s, depth)...)
	if !s.plain && g.calls > 0 {
		of = append(of, choice{"ai_filter", 8, func() string { return g.filter("ai_filter", s, depth) }})
	}
	if !s.simple && g.depth < 3 {
		of = append(of,
			choice{"EXISTS", 1, func() string { return g.one("EXISTS ", "NOT EXISTS ") + g.inner("1", s, 0) }},
			choice{"IN subquery", 1, func() string {
				return "(" + v() + g.one(" IN ", " NOT IN ") + g.inner("", s, text) + ")"
			}})
	}
	return g.pick(of...)
}

// common is what expressions of every type can be.
func (g *generator) common(typ byte, s scope, depth int) []choice {
	x := func() string { return g.expr(typ, s, depth-1) }
	b := func() string { return g.expr(truthy, s, depth-1) }
	of := []choice{
		{"CASE WHEN", 2, func() string {
			sql := "CASE WHEN " + b() + " THEN " + x()
			if g.chance(50) {
				sql += " WHEN " + b() + " THEN " + x()
			}
			if g.chance(70) {
				sql += " ELSE " + x()
			}
			return sql + " END"
		}},
		{"CASE x WHEN", 1, func() string {
			return "CASE " + g.expr(text, s, depth-1) + " WHEN " + g.expr(text, s, depth-1) + " THEN " + x() + " WHEN 'red' THEN " + x() + " ELSE " + x() + " END"
		}},
		{"COALESCE", 2, func() string {
			return "coalesce(" + x() + ", " + x() + g.maybe(40, func() string { return ", " + x() }) + ")"
		}},
		{"IF", 1, func() string { return "if(" + b() + ", " + x() + ", " + x() + ")" }},
	}
	if !s.simple && g.depth < 3 {
		of = append(of, choice{"scalar subquery", 1, func() string {
			if typ == integer64 {
				return g.inner("count(*)", s, 0)
			}
			return g.inner("max", s, typ)
		}})
	}
	return of
}

// inner is a subquery in an expression, often correlated: of what is given, or of
// one column (max: its greatest value).
func (g *generator) inner(what string, outer scope, typ byte) string {
	g.depth++
	defer func() { g.depth-- }()
	g.early = true
	a := g.name("q")
	table := g.one("w", "u", "w", "e")
	in := scope{cols: diffColumns(table, a), plain: outer.plain, simple: true, nested: true}
	where := []string{}
	if k, ok := g.column(integer64, outer); ok && !g.chance(25) {
		g.mark("correlated")
		where = append(where, a+".k = "+k)
	}
	if g.chance(40) {
		both := in
		if g.chance(30) {
			g.mark("correlated by more than a key")
			both = in.with(outer.cols...)
		}
		where = append(where, g.condition(both, 2))
	}
	switch what {
	case "":
		if g.chance(40) {
			in = in.with(outer.cols...)
		}
		what = g.expr(typ, in, 2)
	case "max":
		what = g.one("max", "min") + "(" + g.expr(typ, in, 2) + ")"
	}
	return "(SELECT " + what + " FROM " + table + " " + a + g.where(where) + ")"
}
