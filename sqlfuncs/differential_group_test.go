package sqlfuncs

import (
	"fmt"
	"regexp"
	"strings"
)

// aggregate is one whose value no order of rows changes.
func (g *generator) aggregate(typ byte, r relation, s scope) string {
	g.depth += 3 // no subqueries in it
	defer func() { g.depth -= 3 }()
	s.simple = true
	x := func(typ byte) string { return g.expr(typ, s, 2) }
	var of []choice
	switch typ {
	case text:
		of = []choice{{"max", 2, func() string { return g.one("max(", "min(") + x(text) + ")" }}}
		if r.key != nil {
			key := strings.Join(r.key, ", ")
			of = append(of,
				choice{"string_agg ORDER BY", 4, func() string {
					by := g.maybe(40, func() string { return x(text) + g.one("", " DESC") + ", " })
					return g.one("string_agg(", "ai_agg(") + x(text) + ", ',' ORDER BY " + by + key + ")"
				}},
				choice{"list ORDER BY", 1, func() string { return "list(" + x(text) + " ORDER BY " + key + ")" }})
			if len(r.key) == 1 {
				of = append(of, choice{"arg_max", 1, func() string { return "arg_max(" + x(text) + ", " + key + ")" }})
			}
		}
		if g.chance(40) {
			of = append(of, choice{"list DISTINCT", 1, func() string { return "list_sort(list(DISTINCT " + x(text) + "))" }})
		}
	case integer64:
		of = []choice{
			{"count", 2, func() string { return "count(" + x(text) + ")" }},
			{"sum", 2, func() string { return "sum(" + x(integer64) + ")" }},
			{"count DISTINCT", 1, func() string { return "count(DISTINCT " + x(text) + ")" }},
			{"", 1, func() string { return "count(*)" }},
		}
	case double:
		of = []choice{{"sum", 1, func() string { return g.one("sum(", "avg(", "max(") + x(double) + ")" }}}
	default:
		of = []choice{{"bool_or", 1, func() string { return g.one("bool_or(", "bool_and(") + x(truthy) + ")" }}}
	}
	sql := g.pick(of...)
	if g.chance(30) && !strings.HasPrefix(sql, "list_sort") {
		g.mark("FILTER")
		sql += " FILTER (WHERE " + g.expr(truthy, s, 2) + ")"
	}
	switch {
	case strings.HasPrefix(sql, "list"):
		return "array_to_string(" + sql + ", ',')"
	case typ == integer64:
		return "(" + sql + ")::BIGINT"
	}
	return sql
}

var constant = regexp.MustCompile(`^('|[0-9]|NULL|true|false|CAST\(\$)`)

func (g *generator) grouped(r relation, s scope, conditions []string, want []byte) query {
	q := query{types: want, rows: min(r.rows, 30)}
	s.simple = true
	var keys []string
	var above scope // what may be said of a group
	for range g.one("1", "1", "12", "") {
		typ := []byte{text, integer64, truthy}[g.n(3)]
		k := g.expr(typ, s, 2)
		if constant.MatchString(k) {
			k = s.cols[0].ref // a constant is a position, or no key at all
			typ = s.cols[0].typ
		}
		keys = append(keys, k)
		above.cols = append(above.cols, column{k, typ, true})
	}
	for i := range 1 + g.n(2) {
		typ := []byte{text, integer64, double, truthy}[(i+g.n(4))%4]
		above.cols = append(above.cols, column{g.aggregate(typ, r, s), typ, true})
	}
	above.simple, above.above = true, true
	var list []string
	for i, typ := range want {
		e := ""
		if i == 0 || g.chance(50) {
			e = g.expr(typ, above, 2)
		} else {
			e = g.aggregate(typ, r, s)
		}
		list = append(list, fmt.Sprintf("%s AS c%d", e, i+1))
	}
	q.sql = "SELECT " + strings.Join(list, ", ") + " FROM " + r.sql + g.where(conditions)
	if len(keys) > 0 {
		by := strings.Join(keys, ", ")
		if len(keys) > 1 && g.chance(30) {
			g.mark("ROLLUP")
			by = g.one("ROLLUP (", "CUBE (") + by + ")"
		}
		q.sql += " GROUP BY " + by
	}
	if g.chance(35) {
		g.mark("HAVING")
		q.sql += " HAVING " + g.condition(above, 2)
	}
	if g.chance(40) {
		g.order(&q, nil, scope{})
	}
	return q
}

// window is a function over rows whose value no order among equals changes.
func (g *generator) window(typ byte, r relation, s scope) string {
	s.simple = true
	x := func(typ byte) string { return g.expr(typ, s, 2) }
	partition := g.maybe(60, func() string { return "PARTITION BY " + x([]byte{text, integer64}[g.n(2)]) + " " })
	total := r.key != nil
	by := "ORDER BY "
	if !total || g.chance(50) {
		by += x([]byte{text, integer64, double}[g.n(3)]) + g.one("", " DESC")
		if total {
			by += ", "
		}
	}
	by += strings.Join(r.key, ", ")
	frame := ""
	if total && g.chance(30) {
		g.mark("window frame")
		frame = " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW"
	}
	aggregate := func(f string, typ byte) string {
		sql := f + x(typ) + ")"
		if g.chance(25) {
			g.mark("window FILTER")
			sql += " FILTER (WHERE " + x(truthy) + ")"
		}
		return sql
	}
	over := func(sql string) string { return sql + " OVER (" + partition + by + frame + ")" }
	switch {
	case typ == text && total && g.chance(60):
		return over(g.one("lag("+x(text), "lead("+x(text), "first_value("+x(text), "last_value("+x(text), "ai_agg("+x(text)+", ','") + ")")
	case typ == text:
		return over(aggregate("max(", text))
	case typ == integer64 && total && g.chance(50):
		return "(" + over(g.one("row_number()", "rank()")) + ")::BIGINT"
	case typ == integer64 && g.chance(50):
		return "(" + over(g.one("rank()", "dense_rank()")) + ")::BIGINT"
	case typ == integer64:
		return "(" + over(aggregate(g.one("count(", "sum("), integer64)) + ")::BIGINT"
	case typ == double:
		return over(aggregate(g.one("sum(", "max("), double))
	}
	return over(aggregate("bool_or(", truthy))
}

func (g *generator) windowed(r relation, s scope, conditions []string, want []byte) query {
	q := query{types: want, rows: r.rows}
	above := s
	above.simple, above.above = true, true
	for i := range 1 + g.n(2) {
		typ := []byte{integer64, text, double, truthy}[(i+g.n(4))%4]
		above = above.with(column{g.window(typ, r, s), typ, true})
	}
	q.sql = "SELECT " + g.list(above, want) + " FROM " + r.sql + g.where(conditions)
	if g.chance(35) {
		g.mark("QUALIFY")
		q.sql += " QUALIFY " + above.cols[len(above.cols)-1].ref + " IS NOT NULL AND " + g.condition(above, 2)
	}
	if g.chance(30) {
		g.order(&q, r.key, s)
	}
	return q
}
