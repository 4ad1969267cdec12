package sqlfuncs

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/sqlfuncs/operator"
)

// diffDB is a database that runs the same statements as others.
type diffDB struct {
	db     duckdb.Database
	conn   duckdb.Connection
	at     *operator.Attachment // nil: the functions are plain SQL, not ours
	engine *diffEngine
	file   string
	ours   bool
	off    []string // optimizers that do not run
}

// outcome is what a statement came to, and what was asked of the engine for it.
type outcome struct {
	rows  []string
	err   error
	asked map[string]int
}

// openDiffDB has the tables and the functions: ours, or plain SQL.
func openDiffDB(t *testing.T, ours bool, off ...string) *diffDB {
	t.Helper()
	d := &diffDB{engine: &diffEngine{}, file: filepath.Join(t.TempDir(), "copy.csv"), ours: ours, off: off}
	t.Cleanup(d.close)
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *diffDB) open() error {
	if duckdb.Open("", &d.db) != duckdb.StateSuccess {
		return errors.New("open")
	}
	setup := append([]string{"SET threads = 2"}, diffMacros()...)
	if d.ours {
		at, err := Register(d.db, Deps{Engine: d.engine, Registry: fakeRegistry{}, Statements: fakeStatements{}})
		if err != nil {
			return err
		}
		d.at = at
		setup = []string{"SET threads = 2", "SET GLOBAL ai_max_error_ratio = 1"}
	}
	if duckdb.Connect(d.db, &d.conn) != duckdb.StateSuccess {
		return errors.New("connect")
	}
	for _, sql := range append(setup, diffTables()...) {
		if _, err := d.query(sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

func (d *diffDB) close() {
	duckdb.Disconnect(&d.conn)
	if d.at != nil {
		d.at.Detach()
	}
	duckdb.Close(&d.db)
}

// run runs a statement's steps and undoes what they did.
func (d *diffDB) run(s diffStatement) (o outcome) {
	watchdog := time.AfterFunc(time.Minute, func() { // a statement that hangs fails
		duckdb.Interrupt(d.conn)
		if d.at != nil {
			d.at.Wake(d.conn)
		}
	})
	defer watchdog.Stop()
	d.engine.taken()
	off := d.off
	if s.hit["LIMIT"] {
		// DuckDB 1.5.5 pushes what it learns of a join's one side below the LIMIT of the
		// other, when the threads run so: the rows are chance then, with any function.
		off = append([]string{"join_filter_pushdown"}, off...)
	}
	if _, o.err = d.query("SET disabled_optimizers = '" + strings.Join(off, ",") + "'"); o.err != nil {
		return o
	}
	for _, sql := range s.steps {
		if strings.HasPrefix(sql, "EXECUTE") {
			d.engine.taken() // each run is a statement
		}
		o.rows, o.err = d.query(strings.ReplaceAll(sql, diffFile, d.file))
		if o.err != nil {
			break
		}
	}
	o.asked = d.engine.taken()
	if internal(o.err) { // the database is of no more use
		d.close()
		if err := d.open(); err != nil {
			panic(err)
		}
		return o
	}
	switch first := s.steps[0]; {
	case first == "BEGIN":
		d.query("ROLLBACK")
	case strings.HasPrefix(first, "PREPARE"):
		d.query("DEALLOCATE made")
	}
	if !s.ordered {
		sort.Strings(o.rows)
	}
	return o
}

// internal is an error of DuckDB's own making.
func internal(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "INTERNAL") }

// query returns rows as text, cells joined by "|".
func (d *diffDB) query(sql string) ([]string, error) {
	if d.at != nil && len(d.off) == 0 { // the reference asks anew whatever it comes to
		ctx, end := WithStatement(context.Background(), filepath.Dir(d.file))
		defer end()
		defer d.at.Begin(ctx, d.conn)(func() {})
	}
	if !d.ours {
		sql = strings.ReplaceAll(sql, "ai_agg(", "string_agg(") // no macro is an aggregate
	}
	var r duckdb.Result
	defer duckdb.DestroyResult(&r)
	if duckdb.Query(d.conn, sql, &r) != duckdb.StateSuccess {
		return nil, errors.New(duckdb.ResultError(&r))
	}
	var out []string
	for {
		ch := duckdb.FetchChunk(r)
		if ch.Ptr == nil {
			return out, nil
		}
		row := make([]string, int(duckdb.ColumnCount(&r)))
		for i := range int(duckdb.DataChunkGetSize(ch)) {
			for j := range row {
				v := duckdb.DataChunkGetVector(ch, duckdb.IdxT(j))
				row[j] = "NULL"
				if val := duckdb.VectorGetValidity(v); val == nil || duckdb.ValidityRowIsValid(val, duckdb.IdxT(i)) {
					row[j] = cell(duckdb.ColumnType(&r, duckdb.IdxT(j)), duckdb.VectorGetData(v), i)
				}
			}
			out = append(out, strings.Join(row, "|"))
		}
		duckdb.DestroyDataChunk(&ch)
	}
}

func cell(typ duckdb.Type, data unsafe.Pointer, i int) string {
	switch typ {
	case duckdb.TypeVarchar:
		return strconv.Quote(stringAt(data, i))
	case duckdb.TypeBigInt:
		return fmt.Sprint(unsafe.Slice((*int64)(data), i+1)[i])
	case duckdb.TypeDouble:
		return fmt.Sprint(unsafe.Slice((*float64)(data), i+1)[i])
	case duckdb.TypeBoolean:
		return fmt.Sprint(unsafe.Slice((*bool)(data), i+1)[i])
	}
	return fmt.Sprintf("type %d", typ)
}
