package sqlfuncs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// TestLimitStopsTheEngine: a LIMIT that is satisfied ends what is asked ahead, also
// while the rest of the statement goes on.
func TestLimitStopsTheEngine(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, 'p'||i AS prompt FROM range(10000) r(i)")
	d.engine.setStep(time.Millisecond)
	for _, sql := range []string{
		"SELECT id FROM t WHERE generate('m', prompt) LIKE '%7%' LIMIT 3",
		"SELECT count(*) FROM (SELECT id FROM t WHERE generate('m', prompt) LIKE '%7%' LIMIT 3)",
		"SELECT count(*) FROM (FROM t WHERE generate('m', prompt) LIKE '%7%' LIMIT 3) a JOIN t b ON a.id <= b.id WHERE b.id < 500 AND generate('n', b.prompt) = '<n:p9>'",
	} {
		d.must(sql)
		d.engine.mu.Lock()
		n := d.engine.answered["m"]
		clear(d.engine.answered)
		d.engine.mu.Unlock()
		if n < 28 || n > 500 {
			t.Errorf("%s: %d rows were answered", sql, n)
		}
	}
}

// TestStartsBeforeTheInputEnds: rows that come slowly do not wait for each other.
func TestStartsBeforeTheInputEnds(t *testing.T) {
	d := openTestDB(t)
	d.engine.setStep(5 * time.Millisecond)
	d.must("SELECT generate('m', text || seq) FROM generate_stream('m', '" + strings.Repeat("w ", 50) + "') WHERE NOT done")
	if d.engine.meanwhile < 5 {
		t.Errorf("%d batches while the input was being made", d.engine.meanwhile)
	}
}

// TestSlowReader: who does not read is not worked for beyond what is read ahead.
func TestSlowReader(t *testing.T) {
	d := openTestDB(t)
	d.must("SET streaming_buffer_size = '1B'")
	var p duckdb.PreparedStatement
	if duckdb.Prepare(d.conn, "SELECT generate('m', i::VARCHAR) FROM range(200000) r(i)", &p) != duckdb.StateSuccess {
		t.Fatal(duckdb.PrepareError(p))
	}
	defer duckdb.DestroyPrepare(&p)
	for range 2 {
		d.engine.take()
		var r duckdb.Result
		if duckdb.ExecutePreparedStreaming(p, &r) != duckdb.StateSuccess {
			t.Fatal(duckdb.ResultError(&r))
		}
		for range 3 {
			ch := duckdb.FetchChunk(r)
			duckdb.DestroyDataChunk(&ch)
		}
		time.Sleep(100 * time.Millisecond) // time enough to do wrong
		asked := 0
		for _, n := range d.engine.take() {
			asked += n
		}
		if asked == 0 || asked > 40000 { // two windows and a part
			t.Errorf("%d rows asked for three chunks", asked)
		}
		duckdb.DestroyResult(&r)
	}
	d.must("SELECT 1") // DuckDB ends the one before
	if d.at.Live() != 0 {
		t.Errorf("%d operators are left", d.at.Live())
	}
}

// TestOrder: rows leave in the order they came, or, where that was given up, as they finish.
func TestOrder(t *testing.T) {
	d := openTestDB(t)
	d.engine.backwards = true
	d.must("CREATE TABLE t AS SELECT i AS id, 'p'||i AS prompt FROM range(300) r(i)")
	const sql = "SELECT list(id) = list_sort(list(id)), count(DISTINCT g), bool_and(g = '<m:p' || id || '>') FROM (SELECT id, generate('m', prompt) AS g FROM t)"
	d.answers(sql, "true|300|true")
	d.engine.setStep(time.Millisecond)
	d.must("SET preserve_insertion_order = false")
	d.answers(sql, "false|300|true")
	d.answers("SELECT count(*), count(g), count(DISTINCT id) FROM (SELECT id, generate('m', CASE WHEN id % 3 = 0 THEN prompt END) AS g FROM t)", "300|100|300")
	d.answers("SELECT id FROM (SELECT id, generate('m', prompt) FROM t) ORDER BY id LIMIT 3", "0,1,2")
}

// TestWideRows: few rows with much text are enough to be full.
func TestWideRows(t *testing.T) {
	d := openTestDB(t)
	d.answers("SELECT count(*), sum(length(generate('m', repeat('x', 20000) || i))) FROM range(10000) r(i)", fmt.Sprintf("10000|%d", 10000*(20000+4)+10+90*2+900*3+9000*4))
	if b := d.engine.take(); len(b) < 3 {
		t.Errorf("200 MB in %v", b)
	}
}
