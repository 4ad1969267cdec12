package sqlfuncs

import (
	"fmt"
	"strings"
)

// The tables: t has about a hundred rows, u forty, w twelve, e none, big more than two
// of DuckDB's chunks. id is unique and not NULL; everything else has NULLs and duplicates.
func diffTables() []string {
	const columns = ` AS SELECT i::BIGINT AS id,
		CASE WHEN i % 7 <> 3 THEN (i * 5 % 9)::BIGINT END AS k,
		CASE WHEN i % 11 <> 5 THEN ['p' || (i * 3 % 13), '', 'red', 'ü€', 'p1', 'a b c'][1 + i * i % 6] END AS p,
		CASE WHEN i % 6 <> 4 THEN ['red', 'green', 'ab', '', '7', 'blue', 'ü€'][1 + i * 3 % 7] END AS s,
		CASE WHEN i % 5 <> 2 THEN i % 3 = 0 END AS b,
		CASE WHEN i % 8 <> 6 THEN (i % 9 - 4) / 4.0::DOUBLE END AS d FROM range(%d) r(i)`
	var out []string
	for _, t := range diffSizes {
		out = append(out, "CREATE TABLE "+t.name+strings.Replace(columns, "%d", fmt.Sprint(t.rows), 1))
	}
	return append(out,
		"CREATE TABLE target(id BIGINT, a VARCHAR, n BIGINT)",
		"INSERT INTO target SELECT id, s, k FROM u WHERE id % 2 = 0",
		"CREATE MACRO say(x) AS upper(generate('n', 'say ' || x))",
		"CREATE MACRO said(x) AS TABLE SELECT id, k, p, generate('n', p || x) AS s FROM w",
		"CREATE VIEW seen AS SELECT id, k, p, generate('m', p) AS s, ai_filter(p, 'seen') AS b FROM u",
		"CREATE VIEW seen_some AS SELECT id, k, p, s, logprob('m', p, s) AS d FROM t WHERE ai_filter(s, 'some') AND k < 6")
}

var diffSizes = []struct {
	name string
	rows int
}{{"t", 97}, {"u", 40}, {"w", 12}, {"e", 0}, {"big", 5000}}

func diffColumns(table, alias string) []column {
	in := func(cs ...column) []column {
		for i := range cs {
			cs[i].ref = alias + "." + cs[i].ref
		}
		return cs
	}
	switch table {
	case "seen":
		return in(column{ref: "id", typ: integer64}, column{ref: "k", typ: integer64}, column{ref: "p", typ: text}, column{"s", text, true}, column{"b", truthy, true})
	case "seen_some":
		return in(column{ref: "id", typ: integer64}, column{ref: "k", typ: integer64}, column{ref: "p", typ: text}, column{ref: "s", typ: text}, column{"d", double, true})
	case "said":
		return in(column{ref: "id", typ: integer64}, column{ref: "k", typ: integer64}, column{ref: "p", typ: text}, column{"s", text, true})
	}
	return in(column{ref: "p", typ: text}, column{ref: "id", typ: integer64}, column{ref: "k", typ: integer64}, column{ref: "s", typ: text}, column{ref: "b", typ: truthy}, column{ref: "d", typ: double})
}

// relation is what FROM names: its text, its columns, which of them make a row
// unique (none: nothing does), and about how many rows it has.
type relation struct {
	sql  string
	cols []column
	key  []string
	rows int

	lateral bool
}

func (g *generator) table(name string) relation {
	a := g.name("a")
	r := relation{sql: name + " " + a, cols: diffColumns(name, a), key: []string{a + ".id"}, rows: 40}
	for _, t := range diffSizes {
		if t.name == name {
			r.rows = t.rows
		}
	}
	return r
}

// from is one relation.
func (g *generator) from() relation {
	if g.big {
		return g.table("big")
	}
	var r relation
	of := []choice{
		{"", 10, func() string { r = g.table(g.one("t", "u", "t", "w")); return "" }},
		{"empty table", 1, func() string { r = g.table("e"); return "" }},
		{"view", 1, func() string { r = g.table(g.one("seen", "seen_some")); return "" }},
		{"table macro", 1, func() string {
			r = g.table("said")
			r.sql = strings.Replace(r.sql, "said", "said("+g.literal(text)+")", 1)
			return ""
		}},
		{"VALUES", 1, func() string { r = g.values(); return "" }},
	}
	if g.depth < 3 {
		of = append(of, choice{"FROM subquery", 4, func() string { r = g.derived(g.inside(), ""); return "" }})
	}
	if len(g.ctes) > 0 {
		of = append(of, choice{"", 20, func() string {
			c := g.ctes[g.n(len(g.ctes))]
			a := g.name("a")
			r = relation{sql: c.sql + " " + a, rows: c.rows}
			for _, col := range c.cols {
				r.cols = append(r.cols, column{a + "." + col.ref, col.typ, col.dear})
			}
			for _, k := range c.key {
				r.key = append(r.key, a+"."+k)
			}
			return ""
		}})
	}
	g.pick(of...)
	return r
}

// inside is a query in parentheses.
func (g *generator) inside() query {
	within := g.within
	g.within = false
	defer func() { g.within = within }()
	return g.query(nil)
}

// derived is a query as a relation.
func (g *generator) derived(q query, lateral string) relation {
	a := g.name("a")
	r := relation{sql: lateral + "(" + q.sql + ") " + a, rows: q.rows}
	for i, typ := range q.types {
		r.cols = append(r.cols, column{fmt.Sprintf("%s.c%d", a, i+1), typ, q.dear})
	}
	for _, k := range q.key {
		r.key = append(r.key, fmt.Sprintf("%s.c%d", a, k+1))
	}
	return r
}

func (g *generator) values() relation {
	a, before := g.name("a"), g.calls
	var rows []string
	for i := range 1 + g.n(3) {
		rows = append(rows, fmt.Sprintf("(%d::BIGINT, %s, %s)", i, g.expr(text, scope{simple: true}, 2), g.literal(text)))
	}
	return relation{sql: "(VALUES " + strings.Join(rows, ", ") + ") " + a + "(c1, c2, c3)",
		cols: []column{{ref: a + ".c1", typ: integer64}, {a + ".c2", text, g.calls < before}, {ref: a + ".c3", typ: text}}, key: []string{a + ".c1"}, rows: 3}
}

// source is FROM: one relation or a join of a few.
func (g *generator) source() relation {
	r := g.from()
	for range g.one("", "", "", "", "1", "1", "12") {
		if g.big {
			return r
		}
		if g.chance(12) {
			r = g.lateral(r)
			continue
		}
		r = g.join(r, g.from())
	}
	return r
}

func (g *generator) lateral(r relation) relation {
	g.mark("LATERAL")
	g.early = true
	s, before := scope{cols: r.cols, simple: true, nested: true}, g.calls
	if g.chance(25) {
		g.mark("unnest")
		a := g.name("a")
		r.sql += ", unnest([" + g.expr(text, s, 2) + ", " + g.expr(text, s, 2) + "]) " + a + "(c1)"
		r.cols = append(r.cols[:len(r.cols):len(r.cols)], column{a + ".c1", text, g.calls < before})
		r.key, r.rows, r.lateral = nil, r.rows*2, true
		return r
	}
	q := query{sql: "SELECT " + g.expr(text, s, 2) + " AS c1", types: []byte{text}, rows: 1}
	if g.chance(40) {
		in := g.table(g.one("w", "u"))
		q.sql = "SELECT " + g.expr(text, s.with(in.cols...), 2) + " AS c1 FROM " + in.sql + g.where([]string{in.cols[2].ref + " = " + g.leaf(integer64, s)})
		q.rows = 5
	}
	q.dear = g.calls < before
	d := g.derived(q, "LATERAL ")
	r.sql, r.rows, r.lateral = r.sql+", "+d.sql, r.rows*q.rows, true
	r.cols = append(append([]column{}, r.cols...), d.cols...)
	if q.rows > 1 {
		r.key = nil
	}
	return r
}

func (g *generator) join(l, r relation) relation {
	both := scope{cols: append(append([]column{}, l.cols...), r.cols...), simple: true}
	kind := g.one("JOIN", "LEFT JOIN", "SEMI JOIN", "ANTI JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "ASOF JOIN")
	later, ok := g.column(integer64, scope{cols: l.cols})
	if kind == "CROSS JOIN" && l.rows*r.rows > 600 || kind == "ASOF JOIN" && (!ok || len(r.key) != 1) {
		kind = "JOIN"
	}
	if l.lateral {
		kind = "JOIN" // DuckDB has no others there
	}
	g.mark(kind)
	g.early = true
	on := []string{g.equal(l, r)}
	switch kind {
	case "CROSS JOIN":
		on = nil
	case "ASOF JOIN":
		on = append(on, later+" >= "+r.key[0])
	default:
		if g.chance(35) {
			g.mark("call in ON")
			on = append(on, g.condition(both, 2))
			if l.rows*r.rows <= 600 && g.chance(30) {
				on = on[1:]
			}
		}
	}
	out := relation{sql: l.sql + " " + kind + " " + r.sql, cols: both.cols, rows: max(l.rows, r.rows, l.rows*r.rows/9)}
	if l.key != nil && r.key != nil {
		out.key = append(append([]string{}, l.key...), r.key...)
	}
	out.lateral = l.lateral
	if kind == "SEMI JOIN" || kind == "ANTI JOIN" {
		out.cols, out.key, out.rows = l.cols, l.key, l.rows
	}
	if len(on) > 0 {
		out.sql += " ON " + strings.Join(on, " AND ")
	}
	return out
}

// equal joins two relations by columns, or by expressions of theirs.
func (g *generator) equal(l, r relation) string {
	typ := byte(integer64)
	if g.chance(40) {
		typ = text
	}
	side := func(rel relation) string {
		s := scope{cols: rel.cols, simple: true}
		if g.chance(15) {
			g.mark("expression as join key")
			return g.bound(typ, s, 2)
		}
		return g.leaf(typ, s)
	}
	return side(l) + " = " + side(r)
}
