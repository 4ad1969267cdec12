package database

import (
	"strings"
	"testing"

	"hyprstream/errs"
)

// A PIVOT without its values is two statements to DuckDB and one to everybody
// else. Its columns are those of the time when it is prepared.
func TestPreparePivot(t *testing.T) {
	s := open(t)
	sql(t, s, "CREATE TABLE sale AS SELECT * FROM (VALUES ('n', 'x', 1), ('n', 'y', 2), ('s', 'x', 4)) v (region, item, n)")
	const text = "WITH a AS (SELECT 1) FROM (PIVOT sale ON item USING sum(n) GROUP BY region ORDER BY region);"
	st, err := s.Prepare(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if f := st.Schema().Fields(); !st.IsQuery() || len(f) != 3 || f[2].Name != "y" {
		t.Fatal(st.Schema())
	}
	r, err := st.Execute(t.Context(), nil)
	if have := rows(t, r, err); have != "n|1|2\ns|4|(null)" {
		t.Fatal(have)
	}
	sql(t, s, "INSERT INTO sale VALUES ('s', 'z', 8)")
	again, err := s.Prepare(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if n := again.Schema().NumFields(); n != 4 {
		t.Fatal(n, "columns with the new value, want 4")
	}
	for _, two := range []string{`CREATE TABLE made AS SELECT 1 AS "pivot"; SELECT 1`, "SELECT 1; " + text} {
		if _, err := s.Prepare(t.Context(), two); errs.CodeOf(err) != errs.InvalidArgument || !strings.Contains(err.Error(), "one by one") {
			t.Error(two, err)
		}
	}
	if have := sql(t, s, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'made'"); have != "0" {
		t.Error("a statement ran while it was prepared")
	}
}
