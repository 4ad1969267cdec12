package sqlfuncs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"pgregory.net/rapid"
)

// diffStatements draws statements; failing ones have calls whose failure is the statement's.
func diffStatements(failing bool) *rapid.Generator[diffStatement] {
	return rapid.Custom(func(t *rapid.T) diffStatement {
		g := &generator{t: t, hit: map[string]bool{}}
		g.calls = 3 + g.n(5)
		if failing {
			g.onErr = ", on_error := 'fail'"
		}
		allowed := g.calls
		var s diffStatement
		for range 4 { // until there is a call
			if s = g.statement(); g.calls < allowed {
				break
			}
			g.args, g.dear, g.early, g.hit = nil, 0, false, map[string]bool{}
		}
		s.hit = g.hit
		s.subset = g.dear <= 1 && !g.early && !g.hit["similarity"] // a text that is compared with each row is embedded before there is one
		return s
	})
}

func (g *generator) statement() (s diffStatement) {
	run := func(q query) { s.steps, s.ordered = append(s.steps, q.sql), q.ordered }
	g.pick(
		choice{"SELECT", 60, func() string { run(g.query(nil)); return "" }},
		choice{"SELECT of the big table", 2, func() string {
			g.big = true
			run(g.query(nil))
			g.big = false
			return ""
		}},
		choice{"PREPARE", 8, func() string { s = g.prepared(); return "" }},
		choice{"INSERT", 4, func() string { s.steps = g.insert(); return "" }},
		choice{"UPDATE", 4, func() string { s.steps = g.update(); return "" }},
		choice{"DELETE", 3, func() string { s.steps = g.delete(); return "" }},
		choice{"MERGE", 3, func() string { s.steps = g.merge(); return "" }},
		choice{"CREATE TABLE AS", 3, func() string {
			s.steps = []string{"BEGIN", "CREATE TABLE made AS " + g.query(nil).sql, "FROM made"}
			return ""
		}},
		choice{"CREATE VIEW", 2, func() string {
			q := g.query([]byte{text, integer64})
			s.steps = []string{"BEGIN", "CREATE VIEW made AS " + q.sql,
				"SELECT " + g.one("x.c1, y.c2 FROM made x JOIN made y ON x.c1 = y.c1", "c1, c2 FROM made", "c2 FROM made WHERE c1 LIKE 'a%'")}
			g.early = g.early || strings.Contains(s.steps[2], "JOIN") // what one side of a join has leaves out rows of the other
			return ""
		}},
		choice{"CREATE MACRO", 2, func() string {
			body := g.expr(text, scope{cols: []column{{ref: "x", typ: text}, {ref: "y", typ: integer64}}, simple: true}, 3)
			s.steps = []string{"BEGIN", "CREATE MACRO made(x, y) AS " + body, "SELECT made(p, id), made('red', k) FROM u WHERE made(s, 1) IS NOT NULL"}
			return ""
		}},
		choice{"COPY", 1, func() string {
			s.steps = []string{"COPY (" + g.query([]byte{text, integer64}).sql + ") TO '" + diffFile + "' (FORMAT csv)",
				"SELECT a, b FROM read_csv('" + diffFile + "', columns = {'a': 'VARCHAR', 'b': 'BIGINT'}, header = true)"}
			return ""
		}})
	return s
}

// diffFile stands for a file of the test's.
const diffFile = "{copy.csv}"

func (g *generator) prepared() diffStatement {
	g.prep = true
	q := g.query(nil)
	g.prep = false
	// Only those that are still in the text are parameters, numbered anew.
	number, args := map[string]string{}, []string{}
	sql := parameter.ReplaceAllStringFunc(q.sql, func(p string) string {
		if number[p] == "" {
			at, _ := strconv.Atoi(p[1:])
			args = append(args, g.args[at-1])
			number[p] = fmt.Sprintf("$%d", len(args))
		}
		return number[p]
	})
	execute := "EXECUTE made"
	if len(args) > 0 {
		execute += "(" + strings.Join(args, ", ") + ")"
	}
	return diffStatement{steps: []string{"PREPARE made AS " + sql, execute, execute}, ordered: q.ordered}
}

var parameter = regexp.MustCompile(`\$[0-9]+`)

func (g *generator) insert() []string {
	into := "INSERT INTO target "
	if g.chance(30) {
		g.mark("INSERT VALUES")
		into += fmt.Sprintf("VALUES (100, %s, 1), (101, %s, %s)", g.expr(text, scope{simple: true}, 3), g.literal(text), g.expr(integer64, scope{simple: true}, 2))
	} else {
		into += g.query([]byte{integer64, text, integer64}).sql
	}
	if g.chance(25) {
		g.mark("RETURNING")
		return []string{"BEGIN", into + " RETURNING " + g.list(scope{cols: diffTarget, simple: true}, []byte{text, integer64})}
	}
	return []string{"BEGIN", into, "FROM target"}
}

var diffTarget = []column{{ref: "target.a", typ: text}, {ref: "target.id", typ: integer64}, {ref: "target.n", typ: integer64}}

func (g *generator) update() []string {
	s := scope{cols: diffTarget}
	sql := "UPDATE target SET a = " + g.expr(text, s, 3) + ", n = " + g.expr(integer64, s, 2)
	if g.chance(30) {
		g.mark("UPDATE FROM")
		g.early = true
		w := g.table("w")
		s = scope{cols: append(diffTarget[:3:3], w.cols...), simple: true}
		sql = "UPDATE target SET a = " + g.expr(text, s, 3) + " FROM " + w.sql + " WHERE target.id = " + w.key[0]
		return []string{"BEGIN", sql + g.maybe(60, func() string { return " AND " + g.condition(s, 2) }), "FROM target"}
	}
	return []string{"BEGIN", sql + g.maybe(70, func() string { return " WHERE " + g.condition(s, 3) }), "FROM target"}
}

func (g *generator) delete() []string {
	s := scope{cols: diffTarget}
	if g.chance(25) {
		g.mark("DELETE USING")
		g.early = true
		r := g.from()
		s = scope{cols: append(diffTarget[:3:3], r.cols...), simple: true}
		return []string{"BEGIN", "DELETE FROM target USING " + r.sql + " WHERE " + g.condition(s, 3), "FROM target"}
	}
	return []string{"BEGIN", "DELETE FROM target WHERE " + g.condition(s, 3), "FROM target"}
}

func (g *generator) merge() []string {
	g.early = true
	u := g.table("u")
	s := scope{cols: u.cols, simple: true}
	source := fmt.Sprintf("(SELECT %s AS id, %s AS v, %s AS n FROM %s%s) src", u.key[0], g.expr(text, s, 3), g.expr(integer64, s, 2), u.sql,
		g.maybe(40, func() string { return g.where([]string{g.condition(s, 2)}) }))
	both := scope{cols: append(diffTarget[:3:3], column{ref: "src.v", typ: text}, column{ref: "src.n", typ: integer64}), simple: true}
	only := scope{cols: both.cols[3:], simple: true}
	sql := "MERGE INTO target USING " + source + " ON target.id = src.id"
	if g.chance(40) {
		sql += " WHEN MATCHED AND " + g.condition(both, 2) + " THEN DELETE"
	}
	sql += " WHEN MATCHED THEN UPDATE SET a = " + g.expr(text, both, 2)
	if g.chance(60) {
		sql += " WHEN NOT MATCHED" + g.maybe(40, func() string { return " AND " + g.condition(only, 2) }) +
			" THEN INSERT VALUES (src.id, " + g.expr(text, only, 2) + ", src.n)"
	}
	return []string{"BEGIN", sql, "FROM target"}
}
