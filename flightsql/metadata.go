package flightsql

import (
	"context"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/protobuf/proto"

	"hyprstream/database"
	"hyprstream/errs"
)

// metadata answers a metadata command. Its tickets are the commands themselves:
// they cost nothing to keep and may be used again. The caller releases the batch.
func (s *service) metadata(ctx context.Context, cmd proto.Message) (*arrow.Schema, arrow.RecordBatch, error) {
	switch cmd := cmd.(type) {
	case *pb.CommandGetSqlInfo:
		return one(schema_ref.SqlInfo)(s.sqlInfo(cmd.GetInfo()))
	case *pb.CommandGetXdbcTypeInfo:
		return one(schema_ref.XdbcTypeInfo)(s.typeInfo(cmd.DataType), nil)
	case *pb.CommandGetTableTypes:
		return one(schema_ref.TableTypes)(s.tableTypes(), nil)
	}
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	l, err := sess.acquire(ctx, needLook)
	if err != nil {
		return nil, nil, err
	}
	defer l.release()
	look := lookup{ctx: ctx, sql: l.sql, mem: s.mem}
	switch cmd := cmd.(type) {
	case *pb.CommandGetCatalogs:
		return one(schema_ref.Catalogs)(look.catalogs())
	case *pb.CommandGetDbSchemas:
		return one(schema_ref.DBSchemas)(look.schemas(cmd))
	case *pb.CommandGetTables:
		if cmd.GetIncludeSchema() {
			return one(schema_ref.TablesWithIncludedSchema)(look.tablesWithSchema(cmd))
		}
		return one(schema_ref.Tables)(look.tables(cmd))
	case *pb.CommandGetPrimaryKeys:
		return one(schema_ref.PrimaryKeys)(look.primaryKeys(cmd))
	case *pb.CommandGetImportedKeys:
		return one(schema_ref.ImportedKeys)(look.foreignKeys(nil, keyTable(cmd), "p"))
	case *pb.CommandGetExportedKeys:
		return one(schema_ref.ExportedKeys)(look.foreignKeys(keyTable(cmd), nil, "f"))
	case *pb.CommandGetCrossReference:
		return one(schema_ref.CrossReference)(look.foreignKeys(
			&tableRef{cmd.PkCatalog, cmd.PkDbSchema, cmd.GetPkTable()},
			&tableRef{cmd.FkCatalog, cmd.FkDbSchema, cmd.GetFkTable()}, "p"))
	}
	return nil, nil, errs.New(errs.InvalidArgument, "DoGet", "the ticket holds no command this server answers")
}

// one pairs a batch with the schema its kind has.
func one(schema *arrow.Schema) func(arrow.RecordBatch, error) (*arrow.Schema, arrow.RecordBatch, error) {
	return func(rec arrow.RecordBatch, err error) (*arrow.Schema, arrow.RecordBatch, error) {
		return schema, rec, err
	}
}

// lookup asks DuckDB's own catalog tables in one database session. Filters are
// bound, never pasted into SQL.
type lookup struct {
	ctx context.Context
	sql *database.Session
	mem memory.Allocator
}

// query gives the rows as one batch of exactly the given schema, whose types the
// statement's columns must have.
func (q lookup) query(schema *arrow.Schema, sql string, args ...any) (arrow.RecordBatch, error) {
	res, err := q.sql.Query(q.ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer res.Close()
	batches, err := collect(res)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, rec := range batches {
			rec.Release()
		}
	}()
	return q.reshape(schema, batches)
}

func (q lookup) reshape(schema *arrow.Schema, batches []arrow.RecordBatch) (arrow.RecordBatch, error) {
	if len(batches) == 0 {
		b := array.NewRecordBuilder(q.mem, schema)
		defer b.Release()
		return b.NewRecordBatch(), nil
	}
	cols := make([]arrow.Array, schema.NumFields())
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	rows := int64(0)
	for _, rec := range batches {
		rows += rec.NumRows()
	}
	for i, f := range schema.Fields() {
		parts := make([]arrow.Array, len(batches))
		for j, rec := range batches {
			parts[j] = rec.Column(i)
			if narrow, ok := parts[j].(*array.Int16); ok && f.Type.ID() == arrow.UINT8 {
				parts[j] = q.unsigned(narrow)
				defer parts[j].Release()
			}
			if !arrow.TypeEqual(parts[j].DataType(), f.Type) {
				return nil, errs.New(errs.Internal, "metadata", "column %s has type %s where the protocol says %s", f.Name, parts[j].DataType(), f.Type)
			}
		}
		var err error
		if cols[i], err = array.Concatenate(parts, q.mem); err != nil {
			return nil, errs.Wrap(err, errs.Internal, "metadata", "column %s", f.Name)
		}
	}
	return array.NewRecordBatch(schema, cols, rows), nil
}

// unsigned makes what the protocol wants of what a Java client's session gives.
func (q lookup) unsigned(a *array.Int16) arrow.Array {
	b := array.NewUint8Builder(q.mem)
	defer b.Release()
	for i := range a.Len() {
		if a.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(uint8(a.Value(i)))
		}
	}
	return b.NewArray()
}

// optional is a filter that may be absent, as a statement argument.
func optional(filter *string) any {
	if filter == nil {
		return nil
	}
	return *filter
}

// pattern is a LIKE pattern that may be absent, as a statement argument. A \ at
// its end, which DuckDB refuses, escapes nothing and is itself.
func pattern(filter *string) any {
	if filter == nil {
		return nil
	}
	p := *filter
	if end := len(p) - len(strings.TrimRight(p, `\`)); end%2 == 1 {
		p += `\`
	}
	return p
}

// The FlightInfo of each metadata command: its schema, and itself as the ticket.

// GetFlightInfoCatalogs describes the catalogs.
func (s *service) GetFlightInfoCatalogs(_ context.Context, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return s.flightInfo(desc, desc.Cmd, schema_ref.Catalogs), nil
}

// GetFlightInfoSchemas describes the schemas.
func (s *service) GetFlightInfoSchemas(_ context.Context, _ flightsql.GetDBSchemas, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return s.flightInfo(desc, desc.Cmd, schema_ref.DBSchemas), nil
}

// GetFlightInfoTables describes the tables.
func (s *service) GetFlightInfoTables(_ context.Context, cmd flightsql.GetTables, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	schema := schema_ref.Tables
	if cmd.GetIncludeSchema() {
		schema = schema_ref.TablesWithIncludedSchema
	}
	return s.flightInfo(desc, desc.Cmd, schema), nil
}

// GetFlightInfoTableTypes describes the table types.
func (s *service) GetFlightInfoTableTypes(_ context.Context, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return s.flightInfo(desc, desc.Cmd, schema_ref.TableTypes), nil
}

// GetFlightInfoPrimaryKeys describes a table's primary key.
func (s *service) GetFlightInfoPrimaryKeys(_ context.Context, _ flightsql.TableRef, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return s.flightInfo(desc, desc.Cmd, schema_ref.PrimaryKeys), nil
}

// GetFlightInfoExportedKeys describes the keys that refer to a table.
func (s *service) GetFlightInfoExportedKeys(_ context.Context, _ flightsql.TableRef, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return s.flightInfo(desc, desc.Cmd, schema_ref.ExportedKeys), nil
}

// GetFlightInfoImportedKeys describes a table's foreign keys.
func (s *service) GetFlightInfoImportedKeys(_ context.Context, _ flightsql.TableRef, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return s.flightInfo(desc, desc.Cmd, schema_ref.ImportedKeys), nil
}

// GetFlightInfoCrossReference describes the keys between two tables.
func (s *service) GetFlightInfoCrossReference(_ context.Context, _ flightsql.CrossTableRef, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return s.flightInfo(desc, desc.Cmd, schema_ref.CrossReference), nil
}

// GetFlightInfoSqlInfo describes what the server says of itself.
func (s *service) GetFlightInfoSqlInfo(_ context.Context, _ flightsql.GetSqlInfo, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return s.flightInfo(desc, desc.Cmd, schema_ref.SqlInfo), nil
}

// GetFlightInfoXdbcTypeInfo describes the data types.
func (s *service) GetFlightInfoXdbcTypeInfo(_ context.Context, _ flightsql.GetXdbcTypeInfo, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return s.flightInfo(desc, desc.Cmd, schema_ref.XdbcTypeInfo), nil
}
