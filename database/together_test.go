package database

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Rows of parameters give what executing the statement for each of them gives,
// whether or not they run as one statement.
func TestRowsOfParameters(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE TABLE t AS SELECT i, i % 3 AS k, 'row ' || i AS s FROM range(10) r(i)")
	sql(t, s, "CREATE TYPE mood AS ENUM ('good', 'bad')")
	text, number := arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64
	pairs := params(t, `[{"a": 2, "b": "x"}, {"a": 1, "b": null}, {"a": 2, "b": "x"}, {"a": null, "b": "good"}, {"a": 7, "b": "row 7"}]`, number, text)
	same := params(t, `[{"a": 3, "b": "x"}, {"a": 3, "b": "y"}]`, number, text)
	words := params(t, `[{"a": "7"}, {"a": "1"}, {"a": null}]`, text)
	none := params(t, `[{"a": null}, {"a": null}]`, arrow.Null)
	lists := params(t, `[{"a": [1, 2], "b": {"x": 1}}, {"a": [], "b": null}, {"a": [null], "b": {"x": null}}]`,
		arrow.ListOf(number), arrow.StructOf(arrow.Field{Name: "x", Type: number, Nullable: true}))
	for _, c := range []struct {
		sql    string
		params arrow.RecordBatch
		one    bool // one statement does it
	}{
		{"SELECT ?, upper(?)", pairs, true},
		{"SELECT $2 AS b, $1 + 1, $2", pairs, true},
		{"SELECT $b AS b, $a", pairs, true},
		{"SELECT ? WHERE ? IS NOT NULL", pairs, true},
		{"SELECT ?::INTEGER * 2", words, true},
		{"SELECT unnest([?, 1]), ?", pairs, true},
		{"SELECT (SELECT count(*) FROM t), ?, ?", pairs, true},
		{"SELECT count(*), sum(i) FROM t WHERE i > ? AND s <> ?", params(t, `[{"a": 3, "b": "p"}, {"a": 99, "b": "q"}]`, number, text), true},
		{"SELECT count(*), max(?) FROM t WHERE i > ?", params(t, `[{"a": "p", "b": 3}, {"a": "q", "b": 99}]`, text, number), false},
		{"SELECT count(?)", words, false},
		{"SELECT DISTINCT i % 2, ? FROM t WHERE k = ?", params(t, `[{"a": "p", "b": 1}, {"a": "q", "b": 99}]`, text, number), false},
		{"SELECT s FROM t WHERE i = ? OR s = ?", pairs, true},
		{"SELECT a.s, b.s || ? FROM t a LEFT JOIN t b ON b.i = a.i + 5 WHERE a.i = ?", params(t, `[{"a": "!", "b": 3}, {"a": "?", "b": 7}, {"a": "", "b": 11}]`, text, number), true},
		{"SELECT *, ? AS p FROM t WHERE i = ?", params(t, `[{"a": "p", "b": 3}, {"a": "q", "b": 9}]`, text, number), true},
		{"SELECT k, count(*) FROM t WHERE i > ? AND s <> ? GROUP BY k HAVING count(*) > 2", same, true},
		{"SELECT i FROM t WHERE i > ? AND s <> ? ORDER BY i DESC", pairs, false},
		{"SELECT i FROM t WHERE s <> $2 LIMIT $1", same, false},
		{"SELECT i, row_number() OVER (ORDER BY i DESC) FROM t WHERE i > ? QUALIFY i <> ?", params(t, `[{"a": 7, "b": 8}, {"a": 8, "b": 0}]`, number, number), true},
		{"SELECT (SELECT max(i) FROM t WHERE i < ?), ?", pairs, false},
		{"SELECT (SELECT max(i) FROM t WHERE i < ?), ?", same, true},
		{"SELECT * FROM range(?) r(i), (SELECT ? AS p)", params(t, `[{"a": 2, "b": "p"}, {"a": 1, "b": "q"}]`, number, text), false},
		{"WITH w AS (SELECT ? AS x, ? AS y) SELECT * FROM w", pairs, false},
		{"SELECT ? UNION ALL SELECT ?::VARCHAR", params(t, `[{"a": "p", "b": "q"}, {"a": "r", "b": "s"}]`, text, text), false},
		{"SELECT ?", none, true},
		{"SELECT coalesce(?, 1)", none, true},
		{"SELECT typeof(?), ?", lists, true},
		{"SELECT list_transform(?, x -> x + 1), ?", lists, true},
		{"SELECT s FROM t WHERE i = ?", words, true},
		{"FROM t WHERE i = ?", words, true},
		{"SELECT ?::mood", params(t, `[{"a": "good"}, {"a": "bad"}]`, text), true},
		{"VALUES (?, 'z'), (2, ?)", pairs, false},
		{"SELECT 1 FROM t WHERE i = ? AND EXISTS (SELECT 1 FROM t u WHERE u.s = ?)", pairs, false},
		{"SELECT sum(i) FILTER (i > ?), ? FROM t", pairs, true},
		{"SELECT CASE WHEN ? > 1 THEN ? ELSE 'no' END", pairs, true},
		{"SELECT DATE '2024-01-01' + ?::INTEGER, strftime(TIMESTAMP '2024-01-01', ?)", params(t, `[{"a": 1, "b": "%Y"}, {"a": 2, "b": "%m"}]`, number, text), false},
	} {
		t.Run(c.sql, func(t *testing.T) {
			st, err := s.Prepare(t.Context(), c.sql)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			var want []string
			for i := range c.params.NumRows() {
				row := c.params.NewSlice(i, i+1)
				r, err := st.Execute(t.Context(), row)
				row.Release()
				if got := rows(t, r, err); got != "" {
					want = append(want, got)
				}
			}
			schema, err := st.SchemaWith(t.Context(), c.params)
			if err != nil {
				t.Fatal(err)
			}
			r, err := st.Execute(t.Context(), c.params)
			if err == nil && !r.Schema().Equal(schema) {
				t.Errorf("schema %v, want %v", r.Schema(), schema)
			}
			if got := rows(t, r, err); got != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
			b, err := st.binder(c.params)
			if err != nil {
				t.Fatal(err)
			}
			all := st.together(t.Context(), b)
			if (all != nil) != c.one {
				t.Errorf("one statement: %v, want %v", all != nil, c.one)
			}
			if all != nil {
				all.Close()
			}
		})
	}
	if err := s.db.Ready(); err != nil {
		t.Fatal(err) // a statement that DuckDB stumbled over stops it for good
	}
}

// INSERT with rows of parameters is one statement, all or nothing.
func TestInsertRowsOfParameters(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE SEQUENCE q; CREATE TABLE t (id BIGINT DEFAULT nextval('q'), n INTEGER PRIMARY KEY, d DATE)")
	text := arrow.BinaryTypes.String
	insert := func(st string, params arrow.RecordBatch) (int64, error) {
		p, err := s.Prepare(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		r, err := p.Execute(t.Context(), params)
		if err != nil {
			return 0, err
		}
		defer r.Close()
		return r.RowsAffected(), r.Err()
	}
	for _, c := range []struct{ sql, params string }{
		{"INSERT INTO t (n, d) VALUES (?, ?)", `[{"a": "1", "b": "2024-01-01"}, {"a": "2", "b": null}, {"a": "3", "b": "2024-01-03"}]`},
		{"INSERT INTO t VALUES (DEFAULT, ?, ?)", `[{"a": "4", "b": null}, {"a": "5", "b": "2024-01-05"}]`},
		{"INSERT INTO t BY NAME SELECT ?::INTEGER AS n, ?::DATE AS d", `[{"a": "6", "b": null}, {"a": "7", "b": "2024-01-07"}]`},
		{"INSERT INTO t (n, d) VALUES (?, ?) ON CONFLICT DO NOTHING", `[{"a": "7", "b": null}, {"a": "8", "b": null}, {"a": "8", "b": null}]`},
	} {
		if _, err := insert(c.sql, params(t, c.params, text, text)); err != nil {
			t.Fatalf("%s: %v", c.sql, err)
		}
	}
	const want = "1|1|2024-01-01\n2|2|(null)\n3|3|2024-01-03\n4|4|(null)\n5|5|2024-01-05\n6|6|(null)\n7|7|2024-01-07\n9|8|(null)"
	if got := sql(t, s, "FROM t ORDER BY n"); got != want {
		t.Errorf("got\n%s", got)
	}
	if n, err := insert("INSERT INTO t (n, d) VALUES (?, ?)", params(t, `[{"a": "9", "b": null}, {"a": "1", "b": null}]`, text, text)); err == nil {
		t.Errorf("%d rows inserted beside a duplicate", n)
	}
	if n, err := insert("INSERT INTO t (n, d) VALUES (?, ?)", params(t, `[{"a": "9", "b": null}, {"a": "x", "b": null}]`, text, text)); err == nil || !strings.Contains(err.Error(), "'x'") {
		t.Errorf("%d rows, %v", n, err)
	}
	if n, err := insert("INSERT INTO t (n, d) VALUES (?, ?)", params(t, `[{"a": "9", "b": null}, {"a": "10", "b": null}]`, text, text)); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
	if got := sql(t, s, "SELECT count(*) FROM t"); got != "10" {
		t.Error(got)
	}
}

// Prompts bound together are one batch for the model, in their order.
func TestRowsOfPrompts(t *testing.T) {
	s := open(t)
	tiny(t, s)
	sql(t, s, "CREATE TABLE answers (n INTEGER, a VARCHAR); CREATE TABLE docs AS SELECT i AS id, 'text ' || i AS body FROM range(9) r(i)")
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, `, {"a": "tiny", "b": "word %d", "c": %d}`, i%50, i)
	}
	prompts := params(t, "["+b.String()[1:]+"]", arrow.BinaryTypes.String, arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64)
	for _, c := range []struct{ sql, check string }{
		{"SELECT $3 AS n, generate($1, $2, max_tokens := 2) AS a", "3000|50"},
		{"INSERT INTO answers VALUES ($3, generate($1, $2, max_tokens := 2))", "3000|50"},
		{"SELECT id, $3 AS n, generate($1, $2 || body, max_tokens := 1) FROM docs WHERE id = $3", "9|9"},
	} {
		st, err := s.Prepare(t.Context(), c.sql)
		if err != nil {
			t.Fatal(err)
		}
		r, err := st.Execute(t.Context(), prompts)
		if err != nil {
			t.Fatal(err)
		}
		next := int64(0)
		for r.Next() {
			i := r.Schema().FieldIndices("n")[0]
			col := r.RecordBatch().Column(i).(*array.Int64)
			for k := range col.Len() {
				if col.Value(k) != next {
					t.Fatalf("row %d where %d is due", col.Value(k), next)
				}
				next++
			}
		}
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
		r.Close()
		st.Close()
		if got := sql(t, s, "SELECT rows, distinct_rows FROM ai.usage ORDER BY started_at DESC LIMIT 1"); got != c.check {
			t.Errorf("%s: %s, want %s", c.sql, got, c.check)
		}
	}
	if got := sql(t, s, "SELECT count(*), count(DISTINCT n), count(a) FROM answers"); got != "3000|3000|3000" {
		t.Error(got)
	}
}
