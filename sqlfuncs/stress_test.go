package sqlfuncs

import (
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"time"

	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// TestStress: connections that are interrupted and streams that are dropped at any
// moment leave nothing behind and end no other statement.
func TestStress(t *testing.T) {
	d := openTestDB(t)
	d.must("CREATE TABLE t AS SELECT i AS id, i%30 AS cat, (i*7919)%3000 AS o, 'p'||i AS prompt FROM range(3000) r(i)")
	d.engine.setStep(100 * time.Microsecond)
	end := time.Now().Add(3 * time.Second)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewSource(int64(w)))
			c := d.connect()
			defer duckdb.Disconnect(&c)
			for time.Now().Before(end) {
				k := rnd.Intn(30)
				sql := fmt.Sprintf("SELECT id, generate('m', prompt) FROM t WHERE cat=%d ORDER BY o LIMIT %d", k, 1+rnd.Intn(60))
				if rnd.Intn(3) == 0 {
					sql = fmt.Sprintf("SELECT a.id, g, generate('z', prompt) FROM (SELECT id, prompt, generate('m', prompt) g FROM t WHERE cat=%d) a WHERE g LIKE '%%1%%' UNION ALL SELECT id, text, text FROM t, generate_stream('q', 'a b c') WHERE cat=%d", k, (k+1)%30)
				}
				var stop *time.Timer
				fired := make(chan struct{})
				if rnd.Intn(2) == 0 {
					stop = time.AfterFunc(time.Duration(rnd.Intn(15000))*time.Microsecond, func() {
						duckdb.Interrupt(c)
						d.at.Wake(c)
						close(fired)
					})
				}
				if rnd.Intn(3) == 0 {
					dropStream(c, sql, rnd.Intn(4))
				} else if _, err := d.query(c, sql); err != nil && !strings.Contains(err.Error(), "INTERRUPT") {
					t.Errorf("%s: %v", sql, err)
				}
				if stop != nil && !stop.Stop() {
					<-fired // or it would interrupt the next statement, or a closed connection
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatal("a statement hangs")
	}
	if n := d.at.Live(); n != 0 {
		t.Errorf("%d operators left behind", n)
	}
}

func dropStream(c duckdb.Connection, sql string, chunks int) {
	var p duckdb.PreparedStatement
	defer duckdb.DestroyPrepare(&p)
	if duckdb.Prepare(c, sql, &p) != duckdb.StateSuccess {
		return
	}
	var r duckdb.Result
	defer duckdb.DestroyResult(&r)
	if duckdb.ExecutePreparedStreaming(p, &r) != duckdb.StateSuccess {
		return
	}
	for range chunks {
		ch := duckdb.FetchChunk(r)
		if ch.Ptr == nil {
			return
		}
		duckdb.DestroyDataChunk(&ch)
	}
}
