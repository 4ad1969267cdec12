package sqlfuncs

import (
	"fmt"
	"regexp"
	"strings"
)

// query is a SELECT whose columns are named c1, c2, …; key are positions of
// columns that make a row unique.
type query struct {
	sql     string
	types   []byte
	key     []int
	rows    int
	ordered bool
	dear    bool // there are calls in it
}

func (g *generator) where(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// bound is an expression without calls that refer to no column: DuckDB 1.5.5 loses
// such a condition in some joins, as it does random() > 2.
func (g *generator) bound(typ byte, s scope, depth int) string {
	before := g.calls
	g.free = false
	sql := g.expr(typ, s, depth)
	if g.free {
		g.calls = before
		sql = g.leaf(typ, s)
	}
	return sql
}

// condition is what filters rows. Those with calls are counted, also the parts into
// which DuckDB may take one apart.
func (g *generator) condition(s scope, depth int) string {
	before := g.calls
	sql := g.bound(truthy, s, depth)
	if k, ok := g.column(integer64, s); ok && g.chance(40) { // or too few rows are left
		sql = "(" + sql + " OR " + k + " > 1)"
	}
	for _, c := range s.cols {
		if c.dear && g.calls == before && strings.Contains(sql, c.ref) {
			g.dear++
			break
		}
	}
	switch calls := before - g.calls; {
	case calls > 1 && several.MatchString(sql):
		g.dear += calls
	case calls > 0:
		g.dear++
	}
	return sql
}

var several = regexp.MustCompile(` AND |NOT | BETWEEN | IN \(`)

// query is of columns of the types that are wanted; nil: any.
func (g *generator) query(want []byte) query {
	g.depth++
	before := g.calls
	q := g.anyQuery(want)
	g.depth--
	q.dear = g.calls < before || len(g.ctes) > 0
	return q
}

func (g *generator) anyQuery(want []byte) query {
	if want == nil {
		for range 1 + g.n(3) {
			want = append(want, []byte{text, integer64, truthy, double, text}[g.n(5)])
		}
	}
	if g.depth < 3 && !g.big {
		var out *query
		of := []choice{{"", 12, func() string { return "" }},
			{"", 2, func() string { q := g.setOperation(want); out = &q; return "" }}}
		if !g.within {
			of = append(of, choice{"", 2, func() string { q := g.with(want); out = &q; return "" }})
		}
		g.pick(of...)
		if out != nil {
			return *out
		}
	}
	r := g.source()
	s := scope{cols: r.cols, simple: g.depth > 2}
	var conditions []string
	for range g.one("", "", "1", "1", "11") {
		conditions = append(conditions, g.condition(s, 1+g.n(2)))
	}
	var q query
	g.pick(choice{"", 8, func() string { q = g.plain(r, s, conditions, want); return "" }},
		choice{"GROUP BY", 3, func() string { q = g.grouped(r, s, conditions, want); return "" }},
		choice{"window", 3, func() string { q = g.windowed(r, s, conditions, want); return "" }},
		choice{"DISTINCT", 1, func() string {
			q = query{sql: "SELECT DISTINCT " + g.list(s, want) + " FROM " + r.sql + g.where(conditions), types: want, rows: r.rows}
			return ""
		}},
		choice{"DISTINCT ON", 1, func() string { q = g.distinctOn(r, s, conditions, want); return "" }})
	return q
}

// list writes the columns of a query.
func (g *generator) list(s scope, want []byte) string {
	var out []string
	for i, typ := range want {
		out = append(out, fmt.Sprintf("%s AS c%d", g.expr(typ, s, 1+g.n(3)), i+1))
	}
	return strings.Join(out, ", ")
}

func (g *generator) plain(r relation, s scope, conditions []string, want []byte) query {
	q := query{types: want, rows: r.rows}
	list := ""
	if last := len(want) - 1; len(r.key) == 1 && want[last] == integer64 && g.chance(60) {
		q.key = []int{last} // the key as a column, so that what is above can order by it
		list = strings.TrimPrefix(g.list(s, want[:last])+fmt.Sprintf(", %s AS c%d", r.key[0], len(want)), ", ")
	} else {
		list = g.list(s, want)
	}
	q.sql = "SELECT " + list + " FROM " + r.sql + g.where(conditions)
	if g.chance(45) {
		g.order(&q, r.key, s)
	}
	return q
}

// order sorts q by key, when there is one, or all its columns, so that rows are determined; and
// may limit it.
func (g *generator) order(q *query, key []string, s scope) {
	g.mark("ORDER BY")
	var by []string
	if len(key) > 0 && g.chance(70) {
		if g.chance(50) {
			e := g.expr([]byte{text, integer64, double}[g.n(3)], s, 2)
			if !constant.MatchString(e) {
				by = append(by, e+g.one("", " DESC", " NULLS FIRST", " DESC NULLS LAST"))
			}
		}
		by = append(by, key...)
	} else {
		for i := range q.types {
			by = append(by, fmt.Sprintf("%d%s", i+1, g.one("", " DESC")))
		}
	}
	q.sql += " ORDER BY " + strings.Join(by, ", ")
	q.ordered = true
	if g.chance(60) {
		g.mark("LIMIT")
		g.early = true
		q.sql += " LIMIT " + g.one("5", "1", "20", "0", "3", "(SELECT 4)")
		if g.chance(30) {
			g.mark("OFFSET")
			q.sql += " OFFSET " + g.one("2", "7", "60")
		}
	}
}

func (g *generator) distinctOn(r relation, s scope, conditions []string, want []byte) query {
	on := g.expr(text, s, 2)
	if r.key == nil || constant.MatchString(on) {
		on = "c1"
	}
	sql := "SELECT DISTINCT ON (" + on + ") " + g.list(s, want) + " FROM " + r.sql + g.where(conditions) + " ORDER BY "
	if r.key == nil {
		for i := range want {
			sql += fmt.Sprintf("%d, ", i+1)
		}
		return query{sql: strings.TrimSuffix(sql, ", "), types: want, rows: r.rows}
	}
	return query{sql: sql + g.one("", on+", ") + strings.Join(r.key, ", "), types: want, rows: r.rows}
}

func (g *generator) setOperation(want []byte) query {
	op := g.one("UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL")
	g.mark(op)
	g.early = g.early || !strings.HasPrefix(op, "UNION")
	l, r := g.query(want), g.query(want)
	q := query{sql: "(" + l.sql + ") " + op + " (" + r.sql + ")", types: want, rows: l.rows + r.rows}
	if g.chance(40) {
		g.order(&q, nil, scope{})
	}
	return q
}

// with puts a query before another that reads it, once or twice.
func (g *generator) with(want []byte) query {
	name := g.name("cte")
	before := g.ctes
	defer func() { g.ctes = before }()
	sql := ""
	if g.chance(25) {
		g.mark("WITH RECURSIVE")
		g.early = true
		w := g.table("w")
		s := scope{cols: []column{{ref: "d", typ: integer64}, {"s", text, true}}, simple: true}
		sql = fmt.Sprintf("WITH RECURSIVE %s(d, s) AS (SELECT 1::BIGINT, %s FROM %s UNION %sSELECT d + 1, %s FROM %[1]s WHERE d < 3%[6]s) ",
			name, g.expr(text, scope{cols: w.cols, simple: true}, 2), w.sql, g.one("ALL ", ""),
			g.expr(text, s, 3), g.maybe(40, func() string { return " AND " + g.condition(s, 2) }))
		g.ctes = append(before[:len(before):len(before)], relation{sql: name, cols: s.cols, rows: 36})
	} else {
		kind := g.one("", "", "MATERIALIZED ", "NOT MATERIALIZED ")
		g.mark("WITH " + strings.TrimSpace(kind))
		q := g.query(nil)
		sql = "WITH " + name + " AS " + kind + "(" + q.sql + ") "
		r := relation{sql: name, rows: q.rows}
		for i, typ := range q.types {
			r.cols = append(r.cols, column{fmt.Sprintf("c%d", i+1), typ, q.dear})
		}
		for _, k := range q.key {
			r.key = append(r.key, fmt.Sprintf("c%d", k+1))
		}
		g.ctes = append(before[:len(before):len(before)], r)
	}
	g.within = true // WITH … WITH is not SQL
	q := g.query(want)
	g.within = false
	q.sql = sql + q.sql
	return q
}
