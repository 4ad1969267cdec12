package flightsql

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
)

// Types of tables, by the names JDBC tools filter with.
const (
	typeTable     = "TABLE"
	typeTemporary = "LOCAL TEMPORARY"
	typeView      = "VIEW"
)

// relations are the tables and views clients see.
const relations = `WITH relations AS (
	SELECT database_name c, schema_name s, table_name t,
		CASE WHEN temporary THEN '` + typeTemporary + `' ELSE '` + typeTable + `' END AS kind
	FROM duckdb_tables() WHERE NOT internal
	UNION ALL
	SELECT database_name, schema_name, view_name,
		CASE WHEN temporary THEN '` + typeTemporary + `' ELSE '` + typeView + `' END
	FROM duckdb_views() WHERE NOT internal)
`

// relationFilter takes catalog, schema pattern, table pattern and types, $1 to $4.
const relationFilter = `
WHERE ($1::VARCHAR IS NULL OR c = $1::VARCHAR)
	AND ($2::VARCHAR IS NULL OR s LIKE $2::VARCHAR ESCAPE '\')
	AND ($3::VARCHAR IS NULL OR t LIKE $3::VARCHAR ESCAPE '\')
	AND (len($4::VARCHAR[]) = 0 OR list_contains($4::VARCHAR[], kind))
`

// visibleCatalogs are the databases that hold something of the clients'.
const visibleCatalogs = `
	SELECT database_name c FROM duckdb_databases() WHERE NOT internal
	UNION SELECT database_name FROM duckdb_tables() WHERE temporary
	UNION SELECT database_name FROM duckdb_views() WHERE temporary AND NOT internal
`

func (q lookup) catalogs() (arrow.RecordBatch, error) {
	return q.query(schema_ref.Catalogs, `SELECT c FROM (`+visibleCatalogs+`) ORDER BY c`)
}

func (q lookup) schemas(cmd *pb.CommandGetDbSchemas) (arrow.RecordBatch, error) {
	return q.query(schema_ref.DBSchemas, `SELECT database_name c, schema_name s FROM duckdb_schemas()
		WHERE database_name IN (`+visibleCatalogs+`)
			AND schema_name NOT IN ('information_schema', 'pg_catalog')
			AND ($1::VARCHAR IS NULL OR database_name = $1::VARCHAR)
			AND ($2::VARCHAR IS NULL OR schema_name LIKE $2::VARCHAR ESCAPE '\')
		ORDER BY ALL`, optional(cmd.Catalog), pattern(cmd.DbSchemaFilterPattern))
}

func (q lookup) tables(cmd *pb.CommandGetTables) (arrow.RecordBatch, error) {
	return q.query(schema_ref.Tables, relations+`SELECT c, s, t, kind FROM relations`+relationFilter+`ORDER BY c, s, t, kind`,
		tableFilters(cmd)...)
}

func tableFilters(cmd *pb.CommandGetTables) []any {
	types := append([]string{}, cmd.GetTableTypes()...) // never nil: an empty list is no filter
	return []any{optional(cmd.Catalog), pattern(cmd.DbSchemaFilterPattern), pattern(cmd.TableNameFilterPattern), types}
}

// columnRow is what DuckDB's catalog says of a column beyond its Arrow type.
type columnRow struct {
	name, typeName, remarks string
	nullable, counted       bool // counted: the default is a sequence's next value
	precision, scale        int32
}

func (q lookup) tablesWithSchema(cmd *pb.CommandGetTables) (arrow.RecordBatch, error) {
	tables, err := q.tables(cmd)
	if err != nil {
		return nil, err
	}
	defer tables.Release()
	columns, err := q.columns(cmd)
	if err != nil {
		return nil, err
	}
	b := array.NewBinaryBuilder(q.mem, arrow.BinaryTypes.Binary)
	defer b.Release()
	for i := range int(tables.NumRows()) {
		ref := [3]string{text(tables, 0, i), text(tables, 1, i), text(tables, 2, i)}
		b.Append(flight.SerializeSchema(q.tableSchema(ref, columns[ref]), q.mem))
	}
	schemas := b.NewArray()
	defer schemas.Release()
	cols := append(append([]arrow.Array{}, tables.Columns()...), schemas)
	return array.NewRecordBatch(schema_ref.TablesWithIncludedSchema, cols, tables.NumRows()), nil
}

// columns reads the columns of all tables that match, by table.
func (q lookup) columns(cmd *pb.CommandGetTables) (map[[3]string][]columnRow, error) {
	rec, err := q.query(columnsSchema, relations+`SELECT c, s, t, column_name, data_type,
			coalesce("comment", ''), is_nullable,
			coalesce(numeric_precision, 0)::INTEGER, coalesce(numeric_scale, 0)::INTEGER,
			coalesce(column_default LIKE 'nextval(%', false)
		FROM relations JOIN duckdb_columns() d ON d.database_name = c AND d.schema_name = s AND d.table_name = t`+
		relationFilter+`ORDER BY c, s, t, column_index`, tableFilters(cmd)...)
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	out := map[[3]string][]columnRow{}
	nullable, counted := rec.Column(6).(*array.Boolean), rec.Column(9).(*array.Boolean)
	precision, scale := rec.Column(7).(*array.Int32), rec.Column(8).(*array.Int32)
	for i := range int(rec.NumRows()) {
		ref := [3]string{text(rec, 0, i), text(rec, 1, i), text(rec, 2, i)}
		out[ref] = append(out[ref], columnRow{
			name: text(rec, 3, i), typeName: text(rec, 4, i), remarks: text(rec, 5, i),
			nullable: nullable.Value(i), counted: counted.Value(i), precision: precision.Value(i), scale: scale.Value(i),
		})
	}
	return out, nil
}

var columnsSchema = arrow.NewSchema([]arrow.Field{
	{Name: "c", Type: arrow.BinaryTypes.String}, {Name: "s", Type: arrow.BinaryTypes.String},
	{Name: "t", Type: arrow.BinaryTypes.String}, {Name: "column_name", Type: arrow.BinaryTypes.String},
	{Name: "data_type", Type: arrow.BinaryTypes.String}, {Name: "comment", Type: arrow.BinaryTypes.String},
	{Name: "is_nullable", Type: arrow.FixedWidthTypes.Boolean},
	{Name: "precision", Type: arrow.PrimitiveTypes.Int32}, {Name: "scale", Type: arrow.PrimitiveTypes.Int32},
	{Name: "counted", Type: arrow.FixedWidthTypes.Boolean},
}, nil)

// text is a string of a column that text() callers know to hold strings.
func text(rec arrow.RecordBatch, col, row int) string {
	return strings.Clone(rec.Column(col).(*array.String).Value(row))
}

// tableSchema is the Arrow schema of a table's rows with what drivers read from
// field metadata. A view that does not bind any more has an empty schema.
func (q lookup) tableSchema(ref [3]string, columns []columnRow) *arrow.Schema {
	stmt, err := q.sql.Prepare(q.ctx, fmt.Sprintf("SELECT * FROM %s.%s.%s", quote(ref[0]), quote(ref[1]), quote(ref[2])))
	if err != nil {
		return arrow.NewSchema(nil, nil)
	}
	defer stmt.Close()
	if stmt.Schema() == nil {
		return arrow.NewSchema(nil, nil)
	}
	fields := stmt.Schema().Fields()
	for i := range fields {
		if i >= len(columns) || columns[i].name != fields[i].Name {
			continue
		}
		c := columns[i]
		md := flightsql.NewColumnMetadataBuilder().
			CatalogName(ref[0]).SchemaName(ref[1]).TableName(ref[2]).TypeName(c.typeName).
			IsAutoIncrement(c.counted).IsCaseSensitive(true).IsReadOnly(false).IsSearchable(true)
		if size, scale := c.size(); size > 0 {
			md.Precision(size).Scale(scale)
		}
		if c.remarks != "" {
			md.Remarks(c.remarks)
		}
		fields[i].Nullable = c.nullable
		fields[i].Metadata = md.Metadata()
	}
	return arrow.NewSchema(fields, nil)
}

// size is the column's size as tools show it, in decimal digits or characters:
// DuckDB counts the bits of integers.
func (c columnRow) size() (size, scale int32) {
	name, _, decimal := strings.Cut(c.typeName, "(")
	if decimal {
		return c.precision, c.scale
	}
	for _, t := range dataTypes {
		if t.name == name {
			return t.size, 0
		}
	}
	return 0, 0
}

// quote makes an identifier of a name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// tableTypes lists the kinds that GetTables reports.
func (s *service) tableTypes() arrow.RecordBatch {
	b := array.NewRecordBuilder(s.mem, schema_ref.TableTypes)
	defer b.Release()
	b.Field(0).(*array.StringBuilder).AppendValues([]string{typeTemporary, typeTable, typeView}, nil) // ordered
	return b.NewRecordBatch()
}
