package sqlfuncs

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hyprstream/errs"
)

// differential runs statements three ways: with the operator; with the calls where
// they stand, row by row; and without any code of ours, the functions being plain SQL.
type differential struct {
	operator, inPlace, plain *diffDB

	statements, rejected, reached, failed, rows int // reached: the engine
	hits                                        map[string]int

	asked, twice, inPlaceAsked int // requests; those of one statement that had been asked in it
	compared, more             int // statements whose requests must be the reference's too; others that had more
}

func newDifferential(t *testing.T) *differential {
	t.Helper()
	return &differential{hits: map[string]int{},
		operator: openDiffDB(t, true), inPlace: openDiffDB(t, true, "extension"), plain: openDiffDB(t, false)}
}

// check says what is wrong with a statement; "": nothing. One that DuckDB by itself
// cannot bind, or stumbles over, is left out.
func (d *differential) check(s diffStatement) string {
	want := d.plain.run(s)
	if want.err != nil {
		d.rejected++
		return ""
	}
	ref := d.inPlace.run(s)
	if internal(ref.err) {
		d.rejected++
		return ""
	}
	got := d.operator.run(s)
	d.count(s, ref, got)
	switch only := onlyIn(got.asked, ref.asked); {
	case only != "" && s.subset:
		return fmt.Sprintf("only the operator asks for %q", only)
	case ref.err != nil || got.err != nil:
		return fmt.Sprintf("plain SQL gives %d rows; in place: %v; the operator: %v", len(want.rows), ref.err, got.err)
	case !slices.Equal(ref.rows, want.rows):
		return "plain SQL and calls in place differ: " + firstDifference(want.rows, ref.rows)
	case !slices.Equal(got.rows, want.rows):
		return "plain SQL and the operator differ: " + firstDifference(want.rows, got.rows)
	}
	return ""
}

// checkFailing is check for statements whose calls fail them. The operator may ask for
// less, and so succeed where the reference fails, but not the other way round.
func (d *differential) checkFailing(s diffStatement) string {
	ref, got := d.inPlace.run(s), d.operator.run(s)
	if ref.err != nil && !strings.Contains(ref.err.Error(), string(errs.ContextOverflow)) {
		d.rejected++
		return ""
	}
	d.count(s, ref, got)
	switch {
	case ref.err != nil:
		d.failed++
		if got.err != nil && !strings.Contains(got.err.Error(), string(errs.ContextOverflow)) {
			return fmt.Sprintf("in place: %v; the operator: %v", ref.err, got.err)
		}
	case got.err != nil && s.subset:
		return fmt.Sprintf("only the operator fails: %v", got.err)
	case got.err == nil && !slices.Equal(got.rows, ref.rows):
		return "calls in place and the operator differ: " + firstDifference(ref.rows, got.rows)
	}
	return ""
}

func (d *differential) count(s diffStatement, ref, got outcome) {
	d.statements++
	d.rows += len(ref.rows)
	for what := range s.hit {
		d.hits[what]++
	}
	for _, n := range got.asked {
		d.asked += n
		if !s.hit["cache := 'off'"] {
			d.twice += n - 1
		}
	}
	for _, n := range ref.asked {
		d.inPlaceAsked += n
	}
	if len(ref.asked) > 0 {
		d.reached++
	}
	if s.subset {
		d.compared++
	} else if onlyIn(got.asked, ref.asked) != "" {
		d.more++
	}
}

// onlyIn is a request of a that is not in b.
func onlyIn(a, b map[string]int) string {
	for k := range a {
		if b[k] == 0 {
			return k
		}
	}
	return ""
}

func firstDifference(want, got []string) string {
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	return fmt.Sprintf("%d and %d rows, first at %d:\n%s\n%s", len(want), len(got), at,
		strings.Join(want[at:min(at+5, len(want))], "\n"), strings.Join(got[at:min(at+5, len(got))], "\n"))
}

// runs says how many statements are generated, and from which seed: HYPRSTREAM_DIFF_COUNT and HYPRSTREAM_DIFF_SEED.
func runs(t *testing.T, count int) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("HYPRSTREAM_DIFF_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if v := os.Getenv("HYPRSTREAM_DIFF_COUNT"); v != "" {
		var err error
		if count, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{"checks": strconv.Itoa(count), "seed": strconv.FormatUint(seed, 10), "nofailfile": "true"} {
		if err := flag.Set("rapid."+name, value); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("HYPRSTREAM_DIFF_SEED=%d HYPRSTREAM_DIFF_COUNT=%d", seed, count)
}

// TestDifferential: the operator changes no result, and asks for no more than DuckDB
// would by itself where that can be said.
func TestDifferential(t *testing.T) {
	runs(t, 3000)
	d := newDifferential(t)
	d.try(t, diffStatements(false), d.check)
}

// TestDifferentialFailures: nor does it make statements fail.
func TestDifferentialFailures(t *testing.T) {
	runs(t, 300)
	d := newDifferential(t)
	d.try(t, diffStatements(true), d.checkFailing)
}

func (d *differential) try(t *testing.T, statements *rapid.Generator[diffStatement], check func(diffStatement) string) {
	rapid.Check(t, func(rt *rapid.T) {
		s := statements.Draw(rt, "statement")
		if wrong := check(s); wrong != "" {
			rt.Fatalf("%s;\n%s", s, wrong)
		}
	})
	d.report(t)
	if d.rejected*10 > d.statements || d.reached*2 < d.statements {
		t.Errorf("of %d statements %d cannot be bound, and %d reach the engine", d.statements, d.rejected, d.reached)
	}
}

// TestDifferentialRegressions are statements that were once answered wrong or asked for too much.
func TestDifferentialRegressions(t *testing.T) {
	d := newDifferential(t)
	for _, sql := range []string{
		"SELECT CASE WHEN b AND ai_filter(p, 'what?') THEN 1::BIGINT END FROM u",
		"SELECT count(*) FILTER (WHERE b AND ai_filter(p, 'what?')) FROM u",
		"SELECT id FROM u WHERE (b AND ai_filter(p, 'what?')) OR (k IS NULL AND d > 0)",
		// DuckDB copies the plan of a common table expression, functions with it.
		"WITH c AS NOT MATERIALIZED (SELECT b, ai_agg(p, ',' ORDER BY id) AS s, count(*) AS n FROM u GROUP BY b) SELECT x.s, y.s FROM c x JOIN c y ON x.n = y.n",
		// A pipeline that is over before it asks its source, and rounds of a recursion with operators of their own.
		"SELECT a1.id FROM t a1 JOIN w a2 ON a1.p = a2.p WHERE ai_filter(a1.s, 'is it?') AND (SELECT count(*) FROM u q WHERE q.k = a2.id AND ai_filter(q.p || q.s, 'what?')) > a1.id",
		"WITH RECURSIVE r AS (SELECT 1 AS n, p FROM u UNION ALL SELECT n + 1, generate('m', generate('m', p)) FROM r WHERE n < 4 AND ai_filter(p, 'what?')) SELECT n, p FROM r",
	} {
		if wrong := d.check(diffStatement{steps: []string{sql}, subset: true}); wrong != "" {
			t.Errorf("%s;\n%s", sql, wrong)
		}
	}
	if d.rejected > 0 {
		t.Errorf("%d cannot be bound", d.rejected)
	}
}

func (d *differential) report(t *testing.T) {
	t.Logf("%d statements (%d reach the engine, %d fail), %d more that cannot be bound; %d rows; requests: %d by the operator, %d of them again, %d in place; "+
		"nothing asked that is not asked in place: %d statements; of the others %d ask for more",
		d.statements, d.reached, d.failed, d.rejected, d.rows, d.asked, d.twice, d.inPlaceAsked, d.compared, d.more)
	var of []string
	for what, n := range d.hits {
		of = append(of, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(of)
	t.Log(strings.Join(of, ", "))
}
