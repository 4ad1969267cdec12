package database

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// columnsOf reads all of a result, each column joined.
func columnsOf(t *testing.T, s *Session, text string) (cols []arrow.Array, batches int) {
	t.Helper()
	r, err := s.Query(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer r.Close()
	parts := make([][]arrow.Array, r.Schema().NumFields())
	for r.Next() {
		batches++
		for i, c := range r.RecordBatch().Columns() {
			c.Retain()
			t.Cleanup(c.Release)
			parts[i] = append(parts[i], c)
		}
	}
	if r.Err() != nil {
		t.Fatalf("%s: %v", text, r.Err())
	}
	for i := range parts {
		if len(parts[i]) == 0 {
			return nil, 0
		}
		a, err := array.Concatenate(parts[i], memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Release)
		cols = append(cols, a)
	}
	return cols, batches
}

// packable are columns of every type whose rows are packed.
const packable = `i, i % 2 = 0 AS b, (i % 100)::TINYINT AS i1, i::SMALLINT AS i2, i::INTEGER AS i4, (i % 100)::UTINYINT AS u1, i::USMALLINT AS u2, i::UINTEGER AS u4,
	i::UBIGINT AS u8, i / 3::FLOAT AS f4, i / 3 AS f8, DATE '2024-01-01' + (i % 999)::INTEGER AS d, TIMESTAMP '2024-01-01' + to_seconds(i) AS ts,
	(TIMESTAMP '2024-01-01' + to_seconds(i))::TIMESTAMP_S AS ts_s, (TIMESTAMP '2024-01-01' + to_seconds(i))::TIMESTAMP_MS AS ts_ms,
	(TIMESTAMP '2024-01-01' + to_seconds(i))::TIMESTAMP_NS AS ts_ns, (TIMESTAMP '2024-01-01' + to_seconds(i))::TIMESTAMPTZ AS tz,
	'row ' || i AS s, repeat('å', (i % 70)::INTEGER) AS s2, ('\x00' || i)::BLOB AS bl`

// Packed rows are the same as those that DuckDB converts: a list beside them, which
// cannot be packed, is the difference.
func TestPackedRows(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE TABLE plain AS SELECT "+packable+" FROM range(30000) r(i)")
	nulls := "SELECT " + strings.Join(func() (cols []string) {
		for i, c := range strings.Split(sql(t, s, "SELECT column_name FROM duckdb_columns() WHERE table_name = 'plain'"), "\n") {
			cols = append(cols, fmt.Sprintf("CASE WHEN i %% %d <> 1 THEN %s END AS %s", i+2, c, c))
		}
		return cols
	}(), ", ") + " FROM plain"
	sql(t, s, "CREATE TABLE holes AS "+nulls)
	sql(t, s, "CREATE TABLE big AS SELECT i, repeat('x', (i % 5) * 9000) AS s FROM range(4000) r(i)")
	for _, q := range []string{
		"SELECT * FROM plain", "SELECT * FROM holes", "SELECT * FROM big",
		"SELECT * FROM plain WHERE i % 7 = 3", "SELECT * FROM holes ORDER BY i DESC NULLS LAST", "SELECT * FROM plain LIMIT 12345 OFFSET 77",
		"SELECT 'always' AS s, NULL::INTEGER AS n, NULL::VARCHAR AS t, true AS b, i FROM plain",
		"SELECT p.s, h.s, h.b, h.ts FROM plain p LEFT JOIN holes h ON h.i = p.i + 20000 ORDER BY p.i",
		"SELECT s2, count(*) AS n, max(s) AS m FROM holes GROUP BY s2 ORDER BY s2",
		"SELECT * FROM plain WHERE i < 0", "SELECT i, s FROM plain UNION ALL SELECT i, s FROM holes", "SELECT unnest(range(5)) AS k, s FROM plain WHERE i < 5000",
		"WITH w AS MATERIALIZED (SELECT i, s FROM plain WHERE i > 100) SELECT a.i, b.s FROM w a JOIN w b USING (i) ORDER BY 1",
	} {
		packed, batches := columnsOf(t, s, q)
		plain, _ := columnsOf(t, s, "SELECT *, [1] AS unpackable FROM ("+q+")")
		if len(packed) == 0 && len(plain) == 0 {
			continue
		}
		if len(plain) != len(packed)+1 {
			t.Fatalf("%s: %d and %d columns", q, len(packed), len(plain))
		}
		for i := range packed {
			if !array.Equal(packed[i], plain[i]) {
				t.Errorf("%s: column %d differs", q, i)
			}
			if packed[i].NullN() != plain[i].NullN() {
				t.Errorf("%s: column %d: %d and %d NULLs", q, i, packed[i].NullN(), plain[i].NullN())
			}
		}
		if rows := packed[0].Len(); batches > 2+rows/500 && q != "SELECT * FROM big" {
			t.Errorf("%s: %d batches for %d rows", q, batches, rows)
		}
	}
}

// Statements whose rows are not a query's, or are made elsewhere, are read as before.
func TestPackingIsForQueries(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE TABLE t AS SELECT i::BIGINT AS i FROM range(5) r(i); PREPARE five AS SELECT * FROM t; CREATE MACRO m(x) AS TABLE SELECT i + x AS j FROM t")
	for _, c := range [][2]string{
		{"EXECUTE five", "0\n1\n2\n3\n4"},
		{"FROM m(10)", "10\n11\n12\n13\n14"},
		{"INSERT INTO t VALUES (7) RETURNING i", "7"},
		{"UPDATE t SET i = 8 WHERE i = 7 RETURNING i", "8"},
		{"DELETE FROM t WHERE i = 8 RETURNING i", "8"},
		{"SELECT count(*) FROM (DESCRIBE t)", "1"},
		{"SHOW TABLES", "t"},
		{"CREATE TABLE u AS SELECT i FROM t", ""},
		{"SELECT name FROM pragma_table_info('t')", "i"},
		{"CALL pragma_version()", ""},
		{"VALUES (1), (2)", "1\n2"},
		{"SELECT sum(i) FROM (SELECT i FROM t UNION FROM t)", "10"},
		{"COPY (SELECT i FROM t) TO '/dev/null' (FORMAT csv)", ""},
		{"SELECT count(*) > 0 FROM (FROM duckdb_functions())", "true"},
		{"SELECT current_setting('threads')::INTEGER > 0 AS yes", "true"},
	} {
		q, want := c[0], c[1]
		r, err := s.Query(t.Context(), q)
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		if got := rows(t, r, nil); want != "" && got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
	if got := sql(t, s, "EXPLAIN SELECT i FROM t"); !strings.Contains(got, "SEQ_SCAN") || strings.Contains(got, "PACK") {
		t.Error(got)
	}
	sql(t, s, "PRAGMA disable_optimizer")
	if got := sql(t, s, "SELECT i FROM t"); got != "0\n1\n2\n3\n4" {
		t.Error(got)
	}
	sql(t, s, "PRAGMA enable_optimizer")
	// A plan that is made anew because the table changed.
	st, err := s.Prepare(t.Context(), "SELECT i FROM t")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	sql(t, s, "CREATE OR REPLACE TABLE t AS SELECT 42::BIGINT AS i")
	r, err := st.Execute(t.Context(), nil)
	if got := rows(t, r, err); got != "42" {
		t.Error(got)
	}
	if err := s.db.Ready(); err != nil {
		t.Fatal(err)
	}
}

// Results that are given up leave nothing behind.
func TestPackedRowsGivenUp(t *testing.T) {
	s := open(t)
	for range 50 {
		r, err := s.Query(t.Context(), "SELECT i, repeat('x', 1000) AS s FROM range(200000) t(i)")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if !r.Next() {
				t.Fatal(r.Err())
			}
		}
		r.Close()
	}
	before := resident(t)
	for range 200 {
		r, err := s.Query(t.Context(), "SELECT i, repeat('x', 1000) AS s FROM range(200000) t(i)")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if !r.Next() {
				t.Fatal(r.Err())
			}
		}
		r.Close()
	}
	if grown := resident(t) - before; grown > 64<<20 {
		t.Errorf("%d MB grown", grown>>20)
	}
}

// resident is the memory of this process, in bytes, without what could be given back.
func resident(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
