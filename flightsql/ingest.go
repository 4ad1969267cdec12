package flightsql

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"

	"hyprstream/database"
	"hyprstream/errs"
)

// DoPutCommandStatementIngest loads a client's batches into a table as they
// arrive, all or nothing.
func (s *service) DoPutCommandStatementIngest(ctx context.Context, cmd flightsql.StatementIngest, in flight.MessageReader) (int64, error) {
	mode, err := ingestMode(cmd.GetTableDefinitionOptions())
	if err != nil {
		return 0, err
	}
	rows, err := newChecked(in)
	if err != nil {
		return 0, err
	}
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	if cmd.GetTemporary() {
		sess.setLocal()
	}
	n, err := sess.needFor("", string(cmd.GetTransactionId()))
	if err != nil {
		return 0, err
	}
	l, err := sess.acquire(ctx, n)
	if err != nil {
		return 0, err
	}
	defer l.release()
	count, err := l.sql.Ingest(ctx, database.IngestOptions{
		Catalog: cmd.GetCatalog(), Schema: cmd.GetSchema(), Table: cmd.GetTable(),
		Mode: mode, Temporary: cmd.GetTemporary(),
	}, rows)
	return count, causeOf(ctx, err)
}

// ingestMode joins the two options of the protocol into the database's mode.
func ingestMode(opt *flightsql.TableDefinitionOptions) (database.IngestMode, error) {
	create := opt.GetIfNotExist() == flightsql.TableDefinitionOptionsTableNotExistOptionCreate
	switch exists := opt.GetIfExists(); {
	case exists == flightsql.TableDefinitionOptionsTableExistsOptionReplace && create:
		return database.IngestReplace, nil
	case exists == flightsql.TableDefinitionOptionsTableExistsOptionAppend && create:
		return database.IngestCreateAppend, nil
	case exists == flightsql.TableDefinitionOptionsTableExistsOptionAppend:
		return database.IngestAppend, nil
	case exists != flightsql.TableDefinitionOptionsTableExistsOptionReplace && create:
		return database.IngestCreate, nil
	}
	return "", errs.New(errs.InvalidArgument, "ingest",
		"these table options leave nothing to do: create the table, append to it, replace it, or create it when missing")
}
