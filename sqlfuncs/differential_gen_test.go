package sqlfuncs

import (
	"fmt"
	"math/bits"
	"strings"

	"pgregory.net/rapid"
)

// Types of generated expressions: text, integer, double, boolean.
const (
	text      = 'V'
	integer64 = 'I'
	double    = 'D'
	truthy    = 'B'
)

var typeNames = map[byte]string{text: "VARCHAR", integer64: "BIGINT", double: "DOUBLE", truthy: "BOOLEAN"}

// generator makes statements of draws that rapid can shrink: the first choice of
// each is the simplest.
type generator struct {
	t      *rapid.T
	hit    map[string]bool // what the statement has in it
	names  int
	calls  int      // so many more may be written
	depth  int      // of the query that is written
	args   []string // of a prepared statement
	prep   bool     // some literals are parameters
	ctes   []relation
	big    bool   // the big table is in it: nothing else is
	within bool   // directly after WITH
	free   bool   // a call refers to no column
	onErr  string // option of some calls

	// dear is how many conditions hold calls, early whether a query can end before it has read its input.
	dear  int
	early bool
}

// diffStatement is what is run: all of steps, in a transaction that is rolled
// back where it writes. The last one's rows are compared.
type diffStatement struct {
	steps   []string
	ordered bool // the order of rows is determined
	hit     map[string]bool
	subset  bool // what is asked of the engine can be compared
}

func (s diffStatement) String() string { return strings.Join(s.steps, ";\n") }

// n draws 0..k-1, all as likely: rapid's own ranges prefer small numbers.
func (g *generator) n(k int) int {
	at, digits := 0, bits.Len(uint(k))+3
	for range digits {
		at <<= 1
		if coin.Draw(g.t, "") {
			at++
		}
	}
	return at * k >> digits
}

var coin = rapid.Bool()

// chance is true in about so many of 100 cases.
func (g *generator) chance(percent int) bool { return g.n(100) >= 100-percent }

func (g *generator) one(of ...string) string { return of[g.n(len(of))] }

func (g *generator) name(prefix string) string {
	g.names++
	return fmt.Sprintf("%s%d", prefix, g.names)
}

// maybe writes something or nothing.
func (g *generator) maybe(percent int, write func() string) string {
	if g.chance(percent) {
		return write()
	}
	return ""
}

func (g *generator) mark(what string) { g.hit[what] = true }

// choice is one way to write something, with its weight; "" has no name to count by.
type choice struct {
	name   string
	weight int
	write  func() string
}

func (g *generator) pick(of ...choice) string {
	sum := 0
	for _, c := range of {
		sum += c.weight
	}
	at := g.n(sum)
	for _, c := range of {
		if at -= c.weight; at < 0 {
			if c.name != "" {
				g.mark(c.name)
			}
			return c.write()
		}
	}
	panic("unreachable")
}

// column is a name, or an expression that stands for one.
type column struct {
	ref  string
	typ  byte
	dear bool // an answer of the model's
}

// scope is what an expression may refer to.
type scope struct {
	cols   []column
	plain  bool // no calls
	simple bool // no subqueries
	nested bool // in a subquery: lambdas cannot refer to its columns
	above  bool // of groups or windows: TRY cannot refer to them
}

func (s scope) with(more ...column) scope {
	s.cols = append(append([]column{}, s.cols...), more...)
	return s
}

func (g *generator) column(typ byte, s scope) (string, bool) {
	var of []string
	for _, c := range s.cols {
		if c.typ == typ {
			of = append(of, c.ref)
		}
	}
	if len(of) == 0 {
		return "", false
	}
	return g.one(of...), true
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (g *generator) literal(typ byte) string {
	lit := ""
	switch typ {
	case text:
		lit = quote(g.one("red", "p1", "a", "blue", "", "ab", "7", "p4", "ü€", "green"))
	case integer64:
		lit = fmt.Sprint(g.n(9))
	case double:
		lit = g.one("0.5", "-1.0", "2.0", "-0.25", "0.0")
	default:
		lit = g.one("true", "false")
	}
	if g.prep && g.chance(40) {
		g.args = append(g.args, lit)
		return fmt.Sprintf("CAST($%d AS %s)", len(g.args), typeNames[typ])
	}
	if g.chance(6) {
		return "NULL::" + typeNames[typ]
	}
	if typ == double || typ == integer64 {
		return lit + "::" + typeNames[typ]
	}
	return lit
}

// leaf is a column or a literal.
func (g *generator) leaf(typ byte, s scope) string {
	if c, ok := g.column(typ, s); ok && !g.chance(20) {
		return c
	}
	return g.literal(typ)
}

// expr is an expression of type typ, at most depth levels deep.
func (g *generator) expr(typ byte, s scope, depth int) string {
	if depth <= 0 {
		return g.leaf(typ, s)
	}
	switch typ {
	case text:
		return g.text(s, depth)
	case integer64:
		return g.integer(s, depth)
	case double:
		return g.double(s, depth)
	}
	return g.boolean(s, depth)
}
