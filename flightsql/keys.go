package flightsql

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
)

// tableRef names a table; a nil catalog or schema matches any.
type tableRef struct {
	catalog, schema *string
	table           string
}

// keyTable is the table that a key command names.
func keyTable(cmd interface {
	GetCatalog() string
	GetDbSchema() string
	GetTable() string
}) *tableRef {
	ref := &tableRef{table: cmd.GetTable()}
	if c := cmd.GetCatalog(); c != "" {
		ref.catalog = &c
	}
	if s := cmd.GetDbSchema(); s != "" {
		ref.schema = &s
	}
	return ref
}

func (r *tableRef) args() []any {
	if r == nil {
		return []any{nil, nil, nil}
	}
	return []any{optional(r.catalog), optional(r.schema), r.table}
}

func (q lookup) primaryKeys(cmd *pb.CommandGetPrimaryKeys) (arrow.RecordBatch, error) {
	return q.query(schema_ref.PrimaryKeys, `SELECT database_name, schema_name, table_name, column_name, key_sequence::INTEGER, constraint_name
		FROM (SELECT *, unnest(constraint_column_names) AS column_name, unnest(range(1, len(constraint_column_names) + 1)) AS key_sequence
			FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY')
		WHERE ($1::VARCHAR IS NULL OR database_name = $1::VARCHAR)
			AND ($2::VARCHAR IS NULL OR schema_name = $2::VARCHAR) AND table_name = $3::VARCHAR
		ORDER BY database_name, schema_name, constraint_name, key_sequence`, keyTable(cmd).args()...)
}

// noAction is UpdateDeleteRules.NO_ACTION: DuckDB refuses changes that would
// break a foreign key and knows no other rule.
const noAction = "3::UTINYINT"

// foreignKeys lists the foreign keys from fk to pk; nil is any table. by says
// whose key comes first in the order: "f" or "p". DuckDB's foreign keys stay
// within a schema.
func (q lookup) foreignKeys(pk, fk *tableRef, by string) (arrow.RecordBatch, error) {
	order := "referenced_table, pk_name, f.constraint_name"
	if by == "f" {
		order = "f.table_name, f.constraint_name"
	}
	return q.query(schema_ref.CrossReference, `SELECT f.database_name, f.schema_name, f.referenced_table, f.pk_column,
			f.database_name, f.schema_name, f.table_name, f.fk_column, f.key_sequence::INTEGER,
			f.constraint_name, (SELECT min_by(p.constraint_name, p.constraint_type) FROM duckdb_constraints() p
				WHERE p.database_name = f.database_name AND p.schema_name = f.schema_name AND p.table_name = f.referenced_table
					AND list_sort(p.constraint_column_names) = list_sort(f.referenced_column_names)
					AND p.constraint_type IN ('PRIMARY KEY', 'UNIQUE')) AS pk_name, `+noAction+`, `+noAction+`
		FROM (SELECT *, unnest(constraint_column_names) AS fk_column, unnest(referenced_column_names) AS pk_column,
				unnest(range(1, len(constraint_column_names) + 1)) AS key_sequence
			FROM duckdb_constraints() WHERE constraint_type = 'FOREIGN KEY') f
		WHERE ($1::VARCHAR IS NULL OR f.database_name = $1::VARCHAR)
			AND ($2::VARCHAR IS NULL OR f.schema_name = $2::VARCHAR)
			AND ($3::VARCHAR IS NULL OR f.referenced_table = $3::VARCHAR)
			AND ($4::VARCHAR IS NULL OR f.database_name = $4::VARCHAR)
			AND ($5::VARCHAR IS NULL OR f.schema_name = $5::VARCHAR)
			AND ($6::VARCHAR IS NULL OR f.table_name = $6::VARCHAR)
		ORDER BY f.database_name, f.schema_name, `+order+`, f.key_sequence`, append(pk.args(), fk.args()...)...)
}
