package flightsql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"

	"hyprstream/flightsql"
)

// facts reads all that the server says of itself: bool, string, int64, []string.
func facts(t *testing.T, cl *client.Client) map[client.SqlInfo]any {
	t.Helper()
	info, err := cl.GetSqlInfo(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	all := map[client.SqlInfo]any{}
	for rd.Next() {
		ids := rd.RecordBatch().Column(0).(*array.Uint32)
		values := rd.RecordBatch().Column(1).(*array.DenseUnion)
		for i := range ids.Len() {
			all[client.SqlInfo(ids.Value(i))] = fact(values, i)
		}
	}
	if err := rd.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func fact(values *array.DenseUnion, i int) any {
	at := int(values.ValueOffset(i))
	switch v := values.Field(values.ChildID(i)).(type) {
	case *array.String:
		return strings.Clone(v.Value(at))
	case *array.Boolean:
		return v.Value(at)
	case *array.Int64:
		return v.Value(at)
	case *array.Int32:
		return int64(v.Value(at))
	case *array.List:
		var all []string
		from, to := v.ValueOffsets(at)
		for k := from; k < to; k++ {
			all = append(all, strings.Clone(v.ListValues().(*array.String).Value(int(k))))
		}
		return all
	case *array.Map:
		from, to := v.ValueOffsets(at)
		return fmt.Sprint(to-from, " conversions")
	}
	return nil
}

// JDBC's driver falls over a fact it asks for and does not get: all of the
// protocol's are told but the versions of Substrait, which is not there.
func TestEveryFactIsTold(t *testing.T) {
	all := facts(t, dial(t, serve(t, flightsql.Options{})))
	for id, name := range pb.SqlInfo_name {
		if strings.Contains(name, "SUBSTRAIT_M") {
			continue
		}
		if _, ok := all[client.SqlInfo(id)]; !ok {
			t.Errorf("nothing is said of %s", name)
		}
	}
	if have := all[client.SqlInfoSupportsConvert]; have != "0 conversions" {
		t.Error("there is no function CONVERT, and", have)
	}
}

// bits are the places of a mask.
func bits(ordinals ...int32) (mask int64) {
	for _, o := range ordinals {
		mask |= 1 << o
	}
	return mask
}

// claims are facts that SQL can show: the statement gives want where the fact is
// value, or is an error where want is "".
var claims = []struct {
	id        client.SqlInfo
	value     any
	sql, want string
}{
	{client.SqlInfoFlightSqlServerReadOnly, false, "CREATE TABLE made AS SELECT 1 AS x; SELECT x FROM made", "1"},
	{client.SqlInfoFlightSqlServerSql, true, "SELECT 1", "1"},
	{client.SqlInfoDDLSchema, true, "CREATE SCHEMA s; CREATE TABLE s.t (x INTEGER); DROP SCHEMA s CASCADE; SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 's'", "0"},
	{client.SqlInfoDDLTable, true, "CREATE TABLE t (x INTEGER); ALTER TABLE t ADD y INTEGER; DROP TABLE t; SELECT 1", "1"},
	{client.SqlInfoDDLCatalog, false, "CREATE DATABASE d", ""},
	{client.SqlInfoIdentifierCase, int64(client.SqlCaseSensitivityCaseInsensitive), "SELECT x FROM (SELECT 1 AS X)", "1"},
	{client.SqlInfoQuotedIdentifierCase, int64(client.SqlCaseSensitivityCaseInsensitive), `SELECT "x" FROM (SELECT 1 AS "X")`, "1"},
	{client.SqlInfoIdentifierQuoteChar, `"`, `SELECT "a b" FROM (SELECT 1 AS "a b")`, "1"},
	{client.SqlInfoNullOrdering, int64(client.SqlNullOrderingSortAtEnd), "SELECT list(x ORDER BY x)::VARCHAR || list(x ORDER BY x DESC)::VARCHAR FROM (VALUES (1), (NULL), (2)) v (x)", "[1, 2, NULL][2, 1, NULL]"},
	{client.SqlInfoSearchStringEscape, `\`, `SELECT 'a%' LIKE 'a\%' ESCAPE '\' AND NOT 'ab' LIKE 'a\%' ESCAPE '\'`, "true"},
	{client.SqlInfoSupportsColumnAliasing, true, "SELECT 1 AS a", "1"},
	{client.SqlInfoNullPlusNullIsNull, true, "SELECT ('a' || NULL) IS NULL", "true"},
	{client.SqlInfoSupportsTableCorrelationNames, true, "SELECT b.x FROM (SELECT 1 AS x) AS b", "1"},
	{client.SqlInfoSupportsDifferentTableCorrelationNames, false, "CREATE TABLE a (x INTEGER); SELECT count(*) FROM a AS a", "0"},
	{client.SqlInfoSupportsExpressionsInOrderBy, true, "SELECT x FROM (VALUES (1), (2)) v (x) ORDER BY -x", "2\n1"},
	{client.SqlInfoSupportsOrderByUnrelated, true, "SELECT x FROM (VALUES (1, 2), (2, 1)) v (x, y) ORDER BY y", "2\n1"},
	{client.SqlInfoSupportedGroupBy, bits(0, 1), "SELECT count(*) FROM (VALUES (1), (1)) v (x) GROUP BY x, x + 1", "2"},
	{client.SqlInfoSupportsLikeEscapeClause, true, "SELECT 'a_' LIKE 'a!_' ESCAPE '!'", "true"},
	{client.SqlInfoSupportsNonNullableColumns, true, "CREATE TABLE t (x INTEGER NOT NULL); INSERT INTO t VALUES (NULL)", ""},
	{client.SqlInfoSupportsIntegrityEnhancementFacility, true, "CREATE TABLE p (x INTEGER PRIMARY KEY CHECK (x > 0), y INTEGER DEFAULT 5); CREATE TABLE c (x INTEGER REFERENCES p (x)); INSERT INTO c VALUES (1)", ""},
	{client.SqlInfoOuterJoinsSupportLevel, bits(1, 2), "SELECT count(*) FROM (VALUES (1)) a (x) FULL OUTER JOIN (VALUES (2)) b (y) ON x = y", "2"},
	{client.SqlInfoCatalogAtStart, true, "CREATE TABLE t AS SELECT 1 AS x; SELECT x FROM hyprstream.main.t", "1"},
	{client.SqlInfoSchemasSupportedActions, bits(0, 1), "CREATE TABLE t (x INTEGER); CREATE INDEX i ON main.t (x); CREATE MACRO m() AS TABLE SELECT 7; CALL main.m()", "7"},
	{client.SqlInfoCatalogsSupportedActions, bits(0, 1), "CREATE TABLE t (x INTEGER); CREATE INDEX i ON hyprstream.main.t (x); CREATE MACRO m() AS TABLE SELECT 7; CALL hyprstream.main.m()", "7"},
	{client.SqlInfoSupportedPositionedCommands, int64(0), "DECLARE c CURSOR FOR SELECT 1", ""},
	{client.SqlInfoStoredProceduresSupported, false, "CREATE PROCEDURE f() AS SELECT 1", ""},
	{client.SqlInfoSupportedSubqueries, bits(0, 1, 2, 3), "SELECT 1 = (SELECT 1) AND EXISTS (SELECT 1) AND 1 IN (SELECT 1) AND 2 > ALL (SELECT 1)", "true"},
	{client.SqlInfoCorrelatedSubqueriesSupported, true, "SELECT (SELECT x + 1) FROM (SELECT 1 AS x)", "2"},
	{client.SqlInfoSupportedUnions, bits(0, 1), "SELECT count(*) FROM (SELECT 1 UNION ALL (SELECT 1 UNION SELECT 1))", "2"},
	{client.SqlInfoDataDefinitionCausesTransactionCommit, false, "BEGIN; CREATE TABLE t (x INTEGER); ROLLBACK; SELECT count(*) FROM duckdb_tables() WHERE table_name = 't'", "0"},
	{client.SqlInfoDataDefinitionsInTransactionsIgnored, false, "BEGIN; CREATE TABLE t (x INTEGER); COMMIT; SELECT count(*) FROM duckdb_tables() WHERE table_name = 't'", "1"},
	{client.SqlInfoSavePointsSupported, false, "BEGIN; SAVEPOINT a", ""},
	{client.SqlInfoTransactionsSupported, true, "BEGIN; ROLLBACK; SELECT 1", "1"},
	{client.SqlInfoAllTablesAreASelectable, true, "SELECT count(*) FROM ai.models", "0"},
}

func TestClaims(t *testing.T) {
	addr := serve(t, flightsql.Options{})
	all := facts(t, dial(t, addr))
	for _, c := range claims {
		t.Run(pb.SqlInfo(c.id).String(), func(t *testing.T) {
			if all[c.id] != c.value {
				t.Fatalf("it says %v where the test shows %v", all[c.id], c.value)
			}
			cl := dial(t, serve(t, flightsql.Options{}))
			setup, last := "", c.sql
			if i := strings.LastIndex(c.sql, "; "); i >= 0 {
				setup, last = c.sql[:i], c.sql[i+2:]
				update(t, cl, setup)
			}
			if c.want != "" {
				equal(t, query(t, cl, last), c.want)
			} else if _, err := cl.ExecuteUpdate(t.Context(), last); err == nil {
				t.Errorf("%s: no error", last)
			}
		})
	}
}

// Each function that is named is there, and each keyword is a word of the parser's.
func TestNamedFunctions(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	all := facts(t, cl)
	for _, id := range []client.SqlInfo{client.SqlInfoNumericFunctions, client.SqlInfoStringFunctions, client.SqlInfoSystemFunctions, client.SqlInfoDateTimeFunctions} {
		for _, name := range all[id].([]string) {
			found := query(t, cl, "SELECT count(*) > 0 FROM duckdb_functions() WHERE function_name = '"+name+"'")
			if found != "true" && name != "extract" && name != "trim" { // grammar
				t.Errorf("%s is no function", name)
			}
		}
	}
	own := "MODEL ADAPTER"
	for _, word := range all[client.SqlInfoKeywords].([]string) {
		if !strings.Contains(own, word) && query(t, cl, "SELECT count(*) FROM duckdb_keywords() WHERE keyword_name = lower('"+word+"')") != "1" {
			t.Errorf("%s is no keyword", word)
		}
	}
}
