package sqlfuncs

import (
	"context"
	"fmt"
	"strings"
	"testing"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/inference"
)

func rowsOf(query, options string) string {
	return "FROM generate_rows('m', '" + strings.ReplaceAll(query, "'", "''") + "'" + options + ")"
}

// TestGenerateRows: the query's columns and what became of each row's prompt.
func TestGenerateRows(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a b'), (2, 'c'), (3, NULL), (4, 'fail x')) v(id, prompt)")
	all := "1|a b|<m:a b>|stop|2|0|1|NULL,2|c|<m:c>|stop|1|0|1|NULL,3|NULL|NULL|NULL|NULL|NULL|NULL|NULL,4|fail x|NULL|NULL|NULL|NULL|NULL|CONTEXT_OVERFLOW: prompt too long"
	for sql, want := range map[string]string{
		rowsOf("FROM t", "") + " ORDER BY id":                                                                                                                               all,
		"FROM generate_rows('FROM t', model := 'm') ORDER BY id":                                                                                                            all,
		"FROM generate_rows(query := 'FROM t', model := 'm', max_tokens := 5) r ORDER BY r.id":                                                                              all,
		"SELECT completion, id FROM generate_rows('FROM t WHERE id = 2;')":                                                                                                  "<:c>|2",
		"SELECT sum(length(completion)), sum(completion_tokens), count(error) " + rowsOf("FROM t", ""):                                                                      "12|2|1",
		"SELECT id " + rowsOf("FROM t", "") + " WHERE error IS NULL AND id > 2":                                                                                             "3",
		"SELECT r.a, r.completion FROM (" + rowsOf("SELECT id, prompt FROM t WHERE id = 2", "") + ") r(a)":                                                                  "2|<m:c>",
		"SELECT completion, \"generate_rows answer\" " + rowsOf("SELECT 'x' AS prompt, 7 AS \"generate_rows answer\"", ""):                                                  "<m:x>|7",
		"WITH q AS (SELECT 'y' AS PROMPT) SELECT COMPLETION " + rowsOf("FROM q", ""):                                                                                        "<m:y>",
		"SELECT completion " + rowsOf("SELECT 'x' AS prompt UNION ALL SELECT 'y' ORDER BY 1", ", adapter := ['polite'], stop := ['q'], temperature := 0.0") + " ORDER BY 1": "<m:x>,<m:y>",
		"SELECT count(*), sum(prompt_tokens), sum(completion_tokens), count(DISTINCT completion) " + rowsOf("SELECT 'same w' AS prompt FROM range(5000)", ""):               "5000|2|1|1",
		"SELECT count(*), count(completion) FROM generate_rows(NULL, 'FROM t')":                                                                                             "4|0",
		"SELECT completion " + rowsOf("SELECT prompt, completion AS first "+strings.TrimPrefix(rowsOf("SELECT 'z' AS prompt", ""), ""), ""):                                 "<m:z>",
	} {
		d.answers(sql, want)
		if !strings.Contains(sql, "5000") { // in place each chunk is a part
			d.must("SET disabled_optimizers = 'extension'")
			d.answers(sql, want)
			d.must("RESET disabled_optimizers")
		}
	}
	d.must("SET ai_max_error_ratio = 0") // failures in their rows are none of the statement
	d.answers(rowsOf("FROM t", "")+" ORDER BY id", all)
	rec := d.recorded(rowsOf("FROM t", ""))
	if rec.rows != 3 || rec.failed != 1 || rec.prompt != 3 || rec.completion != 2 {
		t.Errorf("%+v", rec)
	}
	if _, err := d.query(d.conn, rowsOf("FROM t", ", on_error := 'fail'")); err == nil || !strings.Contains(err.Error(), "[CONTEXT_OVERFLOW]") {
		t.Error(err)
	}
}

// TestGenerateRowsErrors: they come at prepare, and nothing runs there.
func TestGenerateRowsErrors(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT 1 AS id, 'x' AS prompt, 'y' AS body")
	for sql, want := range map[string]string{
		rowsOf("SELECT id, body FROM t", ""):                         `[INVALID_ARGUMENT] the query of generate_rows has no column "prompt", only "id", "body"`,
		rowsOf("SELECT prompt, id AS Error FROM t", ""):              `has a column "error", which generate_rows adds; give it another name`,
		rowsOf("SELECT prompt, 1 AS completion FROM t", ""):          `has a column "completion"`,
		rowsOf("DELETE FROM t RETURNING prompt", ""):                 "[INVALID_ARGUMENT] generate_rows takes the text of one SELECT",
		rowsOf("INSERT INTO t VALUES (1, 'a', 'b') RETURNING *", ""): "takes the text of one SELECT",
		rowsOf("FROM t; FROM t", ""):                                 "takes the text of one SELECT",
		rowsOf("", ""):                                               "takes the text of one SELECT",
		rowsOf("CREATE MODEL x FROM 'y'", ""):                        "takes the text of one SELECT",
		rowsOf("SELECT $1 AS prompt", ""):                            "has parameters",
		rowsOf("SELEC 1", ""):                                        "syntax error",
		rowsOf("FROM nothing", ""):                                   "Table with name nothing does not exist",
		"FROM generate_rows('m', NULL)":                              "takes the text of one SELECT, not NULL",
		"FROM generate_rows(model := 'm')":                           "takes the text of one SELECT, not NULL",
		"FROM generate_rows('mm', 'FROM t')":                         "[MODEL_NOT_FOUND]",
		rowsOf("FROM t", ", adapter := 'rude'"):                      "[ADAPTER_NOT_FOUND]",
		rowsOf("FROM t", ", max_tokens := 0"):                        "max_tokens must be between 1",
		rowsOf("FROM t", ", max_tokens := 'many'"):                   "max_tokens must be INTEGER, not VARCHAR",
		rowsOf("FROM t", ", max_token := 3"):                         "max_token",
		rowsOf("SELECT [1] AS prompt", ""):                           "prompt must be VARCHAR",
	} {
		if _, err := d.query(d.conn, sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", sql, err, want)
		}
	}
	d.must("PREPARE p AS " + rowsOf("FROM t", ""))
	d.must("EXPLAIN " + rowsOf("FROM t", ""))
	d.must("PREPARE q AS SELECT completion FROM generate_rows($1, $2, max_tokens := $3)")
	d.must("CREATE VIEW v AS " + rowsOf("FROM t", ""))
	d.answers("SELECT function, rows FROM ai_estimate('FROM v')", "generate_rows|1")
	if got := d.plan("EXPLAIN FROM v"); !strings.Contains(got, "Calls:; generate_rows; model m") {
		t.Error(got)
	}
	if n := d.engine.take(); n != nil {
		t.Errorf("batches %v", n)
	}
	d.answers("SELECT completion FROM v", "<m:x>")
	if rows := d.must("EXECUTE q('m', 'FROM t', 5)"); len(rows) != 1 {
		t.Error(rows)
	}
	d.answers("SELECT count(*) FROM t", "1")
}

// gatedEngine answers the prompt "slow" when it is let.
type gatedEngine struct {
	*countingEngine
	gate chan struct{}
}

func (e *gatedEngine) Generate(ctx context.Context, reqs []inference.Request, done func(int, inference.Completion)) error {
	var fast, slow []int
	for i, r := range reqs {
		if r.Prompt == "slow" {
			slow = append(slow, i)
		} else {
			fast = append(fast, i)
		}
	}
	for n, rows := range [][]int{fast, slow} {
		if n == 1 && len(slow) > 0 {
			select {
			case <-e.gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for _, i := range rows {
			done(i, inference.Completion{Text: reqs[i].Prompt, FinishReason: "stop"})
		}
	}
	return nil
}

// TestGenerateRowsLeave: a row that is done leaves before a slow one that came before it.
func TestGenerateRowsLeave(t *testing.T) {
	e := &gatedEngine{&countingEngine{}, make(chan struct{})}
	d := openTestDBWith(t, e)
	d.must("SET streaming_buffer_size = '4B'") // as sessions have it
	var p duckdb.PreparedStatement
	if duckdb.Prepare(d.conn, "SELECT completion "+rowsOf("SELECT CASE i WHEN 0 THEN 'slow' ELSE 'p' || i END AS prompt FROM range(10) r(i)", ""), &p) != duckdb.StateSuccess {
		t.Fatal(duckdb.PrepareError(p))
	}
	defer duckdb.DestroyPrepare(&p)
	var r duckdb.Result
	if duckdb.ExecutePreparedStreaming(p, &r) != duckdb.StateSuccess {
		t.Fatal(duckdb.ResultError(&r))
	}
	defer duckdb.DestroyResult(&r)
	var got []string
	for {
		ch := duckdb.FetchChunk(r)
		if ch.Ptr == nil {
			break
		}
		v := duckdb.DataChunkGetVector(ch, 0)
		for i := range int(duckdb.DataChunkGetSize(ch)) {
			got = append(got, stringAt(duckdb.VectorGetData(v), i))
		}
		duckdb.DestroyDataChunk(&ch)
		if len(got) == 9 {
			close(e.gate) // nothing else lets the slow one go on
		}
	}
	if fmt.Sprint(got) != "[p1 p2 p3 p4 p5 p6 p7 p8 p9 slow]" {
		t.Error(got)
	}
}

// TestGenerateRowsStop: who has enough rows stops the model.
func TestGenerateRowsStop(t *testing.T) {
	e := &gatedEngine{&countingEngine{}, make(chan struct{})}
	d := openTestDBWith(t, e)
	const query = "SELECT CASE i WHEN 0 THEN 'slow' ELSE 'p' || i END AS prompt FROM range(10) r(i)"
	d.answers("SELECT completion "+rowsOf(query, "")+" WHERE completion LIKE 'p%' LIMIT 3", "p1,p2,p3")
	if n := d.at.Live(); n != 0 {
		t.Errorf("%d operators are left", n)
	}
}
