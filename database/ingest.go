package database

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
	"hyprstream/sqlfuncs/operator"
)

// IngestMode says what becomes of the table rows are loaded into.
type IngestMode string

// The modes, as ADBC has them.
const (
	IngestCreate       IngestMode = "create"        // the table must not be there
	IngestAppend       IngestMode = "append"        // it must be there
	IngestReplace      IngestMode = "replace"       // it is made anew
	IngestCreateAppend IngestMode = "create_append" // it is made where it is missing
)

// IngestOptions name the target. Catalog and Schema may be "".
type IngestOptions struct {
	Catalog, Schema, Table string
	Mode                   IngestMode // "" is IngestCreate
	Temporary              bool
}

// Ingest loads all batches of r into a table, all or nothing, matching columns
// by name (missing ones get their default), and returns the number of rows. It
// does not release r. Within a client's transaction it is part of that.
func (s *Session) Ingest(ctx context.Context, opt IngestOptions, r array.RecordReader) (rows int64, err error) {
	const op = "ingest"
	if opt.Table == "" {
		return 0, errs.New(errs.InvalidArgument, op, "no target table was named")
	}
	if opt.Temporary {
		if opt.Catalog != "" && opt.Catalog != "temp" || opt.Schema != "" && opt.Schema != "main" {
			return 0, errs.New(errs.InvalidArgument, op, "a temporary table lives in temp.main: leave catalog and schema out")
		}
		opt.Catalog, opt.Schema = "temp", "main"
	}
	create, err := createTable(opt, r.Schema())
	if err != nil {
		return 0, err
	}
	run, err := s.begin(ctx, "INGEST INTO "+opt.target())
	if err != nil {
		return 0, err
	}
	defer func() { s.end(err) }()
	err = s.atomically(func() error {
		if create != "" {
			if err := s.exec(create); err != nil {
				return err
			}
		}
		rows, err = s.load(run, opt, r)
		return err
	})
	if err != nil {
		return 0, err
	}
	return rows, nil
}

// createTable is the statement that readies the table, "" for an append.
func createTable(opt IngestOptions, schema *arrow.Schema) (string, error) {
	var how string
	switch opt.Mode {
	case IngestCreate, "":
		how = "CREATE TABLE "
	case IngestReplace:
		how = "CREATE OR REPLACE TABLE "
	case IngestCreateAppend:
		how = "CREATE TABLE IF NOT EXISTS "
	case IngestAppend:
		return "", nil
	default:
		return "", errs.New(errs.InvalidArgument, "ingest", "unknown mode %q: use create, append, replace or create_append", opt.Mode)
	}
	cols := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		t, err := sqlType(f.Type)
		if err != nil {
			return "", errs.Wrap(err, errs.Unsupported, "ingest", "column %q", f.Name)
		}
		cols[i] = quote(f.Name) + " " + t
	}
	if opt.Temporary {
		opt.Catalog, opt.Schema = "", "" // the parser wants the keyword, the appender the catalog
		how = strings.Replace(how, "TABLE", "TEMPORARY TABLE", 1)
	}
	return how + opt.target() + " (" + strings.Join(cols, ", ") + ")", nil
}

// target is the table's qualified, quoted name.
func (opt IngestOptions) target() string {
	var parts []string
	for _, p := range []string{opt.Catalog, opt.Schema, opt.Table} {
		if p != "" {
			parts = append(parts, quote(p))
		}
	}
	return strings.Join(parts, ".")
}

// load appends the batches; the caller has the turn and a transaction.
func (s *Session) load(ctx context.Context, opt IngestOptions, r array.RecordReader) (rows int64, err error) {
	var app m.Appender
	if m.AppenderCreateExt(s.conn, opt.Catalog, opt.Schema, opt.Table, &app) != m.StateSuccess {
		defer m.AppenderDestroy(&app)
		err := appendError(app)
		if errs.CodeOf(err) == errs.NotFound { // DuckDB names it with the parts that were left out, as "..t"
			err = errs.New(errs.NotFound, "ingest", "there is no table %s to append to: mode create_append makes it where it is missing", opt.target())
		}
		return 0, err
	}
	defer m.AppenderDestroy(&app)
	for _, f := range r.Schema().Fields() {
		if m.AppenderAddColumn(app, f.Name) != m.StateSuccess {
			return 0, appendError(app)
		}
	}
	types, err := newArrowTypes(s.conn, r.Schema())
	if err != nil {
		return 0, err
	}
	defer types.close()
	var into columns
	defer into.destroy()
	for i, f := range r.Schema().Fields() {
		into.add(f.Name, m.AppenderColumnType(app, m.IdxT(i)))
	}
	for r.Next() {
		rec := r.RecordBatch()
		if err := s.append(ctx, app, types, into, rec); err != nil {
			return 0, err
		}
		rows += rec.NumRows()
	}
	if err := r.Err(); err != nil {
		return 0, errs.Wrap(err, errs.CodeOf(err), "ingest", "the rows ended early")
	}
	var state m.State
	s.during(ctx, func() { state = m.AppenderFlush(app) })
	if err := stopped(ctx); err != nil {
		return 0, err
	}
	if state != m.StateSuccess {
		return 0, appendError(app)
	}
	return rows, nil
}

// append hands a batch over in pieces of DuckDB's vector size, cast to the table's types.
func (s *Session) append(ctx context.Context, app m.Appender, types arrowTypes, into columns, rec arrow.RecordBatch) error {
	step := int64(m.VectorSize())
	for from := int64(0); from < rec.NumRows(); from += step {
		if err := stopped(ctx); err != nil {
			return err
		}
		part := rec.NewSlice(from, min(from+step, rec.NumRows()))
		chunk, err := types.chunkOf(s.conn, part)
		if err == nil {
			if msg := operator.Cast(s.conn, &chunk, into.types); msg != "" {
				err = translateText(msg)
			}
		}
		if err == nil && m.AppendDataChunk(app, chunk) != m.StateSuccess {
			err = appendError(app)
		}
		m.DestroyDataChunk(&chunk)
		part.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func appendError(app m.Appender) error {
	e := m.AppenderErrorData(app)
	defer m.DestroyErrorData(&e)
	if !m.ErrorDataHasError(e) {
		return errs.New(errs.Internal, "ingest", "DuckDB refused the rows without a reason")
	}
	return translate(m.ErrorDataErrorType(e), m.ErrorDataMessage(e))
}

// quote makes an identifier of any name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// sqlNames are the SQL names of types without parameters.
var sqlNames = map[m.Type]string{
	m.TypeSQLNull: "INTEGER", m.TypeBoolean: "BOOLEAN",
	m.TypeTinyInt: "TINYINT", m.TypeSmallInt: "SMALLINT", m.TypeInteger: "INTEGER", m.TypeBigInt: "BIGINT",
	m.TypeUTinyInt: "UTINYINT", m.TypeUSmallInt: "USMALLINT", m.TypeUInteger: "UINTEGER", m.TypeUBigInt: "UBIGINT",
	m.TypeFloat: "FLOAT", m.TypeDouble: "DOUBLE", m.TypeVarchar: "VARCHAR", m.TypeBlob: "BLOB",
	m.TypeDate: "DATE", m.TypeTime: "TIME", m.TypeTimeNS: "TIME_NS", m.TypeInterval: "INTERVAL",
	m.TypeTimestamp: "TIMESTAMP", m.TypeTimestampS: "TIMESTAMP_S", m.TypeTimestampMS: "TIMESTAMP_MS",
	m.TypeTimestampNS: "TIMESTAMP_NS", m.TypeTimestampTZ: "TIMESTAMPTZ",
}

// sqlType is the SQL spelling of the DuckDB type that keeps an Arrow type.
func sqlType(t arrow.DataType) (string, error) {
	if id, ok := scalarTypes[t.ID()]; ok {
		return sqlNames[id], nil
	}
	switch t := t.(type) {
	case arrow.ExtensionType:
		return sqlType(t.StorageType())
	case *arrow.DictionaryType:
		return sqlType(t.ValueType)
	case arrow.DecimalType:
		if t.GetPrecision() <= 38 && t.GetScale() >= 0 {
			return fmt.Sprintf("DECIMAL(%d,%d)", t.GetPrecision(), t.GetScale()), nil
		}
	case *arrow.TimestampType:
		return sqlNames[timestampType(t)], nil
	case *arrow.Time64Type:
		return sqlNames[timeType(t)], nil
	case *arrow.MapType:
		k, err := sqlType(t.KeyType())
		if err != nil {
			return "", err
		}
		v, err := sqlType(t.ItemType())
		return "MAP(" + k + ", " + v + ")", err
	case arrow.ListLikeType:
		e, err := sqlType(t.Elem())
		if n := arraySize(t); n > 0 {
			return fmt.Sprintf("%s[%d]", e, n), err
		}
		return e + "[]", err
	case *arrow.StructType:
		parts, err := sqlParts(t.Fields())
		return "STRUCT(" + parts + ")", err
	case arrow.UnionType:
		parts, err := sqlParts(t.Fields())
		return "UNION(" + parts + ")", err
	}
	return "", errs.New(errs.Unsupported, "ingest", "Arrow type %s has no DuckDB type", t)
}

// sqlParts spells what a STRUCT or UNION consists of.
func sqlParts(fields []arrow.Field) (string, error) {
	parts := make([]string, len(fields))
	for i, f := range fields {
		t, err := sqlType(f.Type)
		if err != nil {
			return "", err
		}
		parts[i] = quote(f.Name) + " " + t
	}
	return strings.Join(parts, ", "), nil
}
