package adbc_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-adbc/go/adbc"
	driver "github.com/apache/arrow-adbc/go/adbc/driver/flightsql"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/database"
	server "hyprstream/flightsql"
)

const version = "1.2.3" // what the servers of these tests say they are

// quirks is what the suite asks about a database: each of its tests gets a server
// of its own over a fresh one.
type quirks struct {
	addr string
	db   *database.DB
	mem  *memory.CheckedAllocator
}

// SetupDriver starts the server. What the driver allocates is counted.
func (q *quirks) SetupDriver(t *testing.T) adbc.Driver {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(db, server.Options{Version: version})
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(srv.Shutdown(ctx), <-served, db.Close(ctx)); err != nil {
			t.Error(err)
		}
	})
	q.db, q.addr, q.mem = db, lis.Addr().String(), memory.NewCheckedAllocator(memory.DefaultAllocator)
	return driver.NewDriver(q.mem)
}

// TearDownDriver wants all of the driver's memory back.
func (q *quirks) TearDownDriver(t *testing.T, _ adbc.Driver) { q.mem.AssertSize(t, 0) }

func (q *quirks) DatabaseOptions() map[string]string {
	return map[string]string{adbc.OptionKeyURI: "grpc://" + q.addr}
}

func (q *quirks) Alloc() memory.Allocator { return q.mem }

// The catalog and schema a new connection is in.

func (q *quirks) Catalog() string  { return "hyprstream" }
func (q *quirks) DBSchema() string { return "main" }

// What works. Only statistics do not: Flight SQL has no command for them, so that
// the driver cannot ask.

func (q *quirks) BindParameter(int) string                    { return "?" }
func (q *quirks) SupportsBulkIngest(string) bool              { return true }
func (q *quirks) SupportsConcurrentStatements() bool          { return true }
func (q *quirks) SupportsCurrentCatalogSchema() bool          { return true }
func (q *quirks) SupportsGetSetOptions() bool                 { return true }
func (q *quirks) SupportsExecuteSchema() bool                 { return true }
func (q *quirks) SupportsPartitionedData() bool               { return true }
func (q *quirks) SupportsStatistics() bool                    { return false }
func (q *quirks) SupportsTransactions() bool                  { return true }
func (q *quirks) SupportsGetParameterSchema() bool            { return true }
func (q *quirks) SupportsDynamicParameterBinding() bool       { return true }
func (q *quirks) SupportsErrorIngestIncompatibleSchema() bool { return true }

// GetMetadata is what the driver must say of itself, which in a test's binary is
// no version, and of the server.
func (q *quirks) GetMetadata(code adbc.InfoCode) any {
	switch code {
	case adbc.InfoDriverName:
		return "ADBC Flight SQL Driver - Go"
	case adbc.InfoDriverVersion, adbc.InfoDriverArrowVersion:
		return "(unknown or development build)"
	case adbc.InfoDriverADBCVersion:
		return adbc.AdbcVersion1_1_0
	case adbc.InfoVendorName:
		return "hyprstream"
	case adbc.InfoVendorVersion:
		return version
	case adbc.InfoVendorArrowVersion:
		return arrow.PkgVersion
	}
	return nil
}

// CreateSampleTable goes around Flight, by a session of the database.
func (q *quirks) CreateSampleTable(table string, rec arrow.RecordBatch) error {
	ctx := context.Background()
	s, err := q.db.Session(ctx, database.SessionOptions{Client: "test"})
	if err != nil {
		return err
	}
	defer s.Close()
	columns := make([]string, rec.NumCols())
	for i, f := range rec.Schema().Fields() {
		columns[i] = f.Name + " " + sqlType(f.Type)
	}
	if _, err := s.Exec(ctx, "CREATE TABLE "+table+" ("+strings.Join(columns, ", ")+")"); err != nil {
		return err
	}
	for row := range int(rec.NumRows()) {
		cells := make([]any, rec.NumCols())
		for i, c := range rec.Columns() {
			if !c.IsNull(row) {
				cells[i] = c.ValueStr(row)
			}
		}
		if _, err := s.Exec(ctx, "INSERT INTO "+table+" VALUES (?"+strings.Repeat(", ?", len(cells)-1)+")", cells...); err != nil {
			return err
		}
	}
	return nil
}

func sqlType(t arrow.DataType) string {
	if t.ID() == arrow.INT64 {
		return "BIGINT"
	}
	return "VARCHAR"
}

// SampleTableSchemaMetadata is what a column's field of a table says besides its
// Arrow type.
func (q *quirks) SampleTableSchemaMetadata(table string, t arrow.DataType) arrow.Metadata {
	md := flightsql.NewColumnMetadataBuilder().
		CatalogName(q.Catalog()).SchemaName(q.DBSchema()).TableName(table).TypeName(sqlType(t)).
		IsAutoIncrement(false).IsCaseSensitive(true).IsReadOnly(false).IsSearchable(true)
	size := int32(2147483647) // characters
	if t.ID() == arrow.INT64 {
		size = 19
	}
	return md.Precision(size).Scale(0).Metadata()
}

func (q *quirks) DropTable(con adbc.Connection, table string) (err error) {
	st, err := con.NewStatement()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.SetSqlQuery("DROP TABLE IF EXISTS " + table); err != nil {
		return err
	}
	_, err = st.ExecuteUpdate(context.Background())
	return err
}
