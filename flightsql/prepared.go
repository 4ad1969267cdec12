package flightsql

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/errs"
)

// prepared is a prepared statement a client holds: a plan and the parameters
// bound to it last. It belongs to no transaction: the protocol names one only
// when the statement is made, and the Python driver runs it again after that one
// has ended. It runs in whatever transaction its session then has.
type prepared struct {
	plan *plan

	mu     sync.Mutex
	params arrow.RecordBatch
}

func (p *prepared) bind(params arrow.RecordBatch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.params != nil {
		p.params.Release()
	}
	p.params = params
}

// bound gives the parameters, retained, or nil.
func (p *prepared) bound() arrow.RecordBatch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.params != nil {
		p.params.Retain()
	}
	return p.params
}

func (p *prepared) release() {
	p.bind(nil)
	p.plan.release()
}

// CreatePreparedStatement prepares a statement and keeps it under a handle that
// expires when it is not used.
func (s *service) CreatePreparedStatement(ctx context.Context, req flightsql.ActionCreatePreparedStatementRequest) (flightsql.ActionCreatePreparedStatementResult, error) {
	p, err := s.plan(ctx, req.GetQuery(), string(req.GetTransactionId()))
	if err != nil {
		return flightsql.ActionCreatePreparedStatementResult{}, err
	}
	update := !p.query
	return flightsql.ActionCreatePreparedStatementResult{
		Handle:          []byte(s.prepared.put(&prepared{plan: p})),
		DatasetSchema:   p.schema,
		ParameterSchema: p.params,
		IsUpdate:        &update,
	}, nil
}

// ClosePreparedStatement forgets a handle. One that has expired is closed too.
func (s *service) ClosePreparedStatement(_ context.Context, req flightsql.ActionClosePreparedStatementRequest) error {
	if p, ok := s.prepared.take(string(req.GetPreparedStatementHandle())); ok {
		p.release()
	}
	return nil
}

func (s *service) findPrepared(handle []byte) (*prepared, error) {
	p, ok := s.prepared.get(string(handle))
	if !ok {
		return nil, errs.New(errs.NotFound, "prepared statement", "no such prepared statement: it was closed or has expired, prepare it again")
	}
	return p, nil
}

// GetFlightInfoPreparedStatement describes the rows for the bound parameters.
func (s *service) GetFlightInfoPreparedStatement(ctx context.Context, cmd flightsql.PreparedStatementQuery, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	p, err := s.findPrepared(cmd.GetPreparedStatementHandle())
	if err != nil {
		return nil, err
	}
	params := p.bound()
	if params != nil {
		defer params.Release()
	}
	info, err := s.describe(ctx, p.plan, "", params, desc)
	return info, err
}

// GetSchemaPreparedStatement gives the schema of the rows.
func (s *service) GetSchemaPreparedStatement(ctx context.Context, cmd flightsql.PreparedStatementQuery, _ *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	p, err := s.findPrepared(cmd.GetPreparedStatementHandle())
	if err != nil {
		return nil, err
	}
	params := p.bound()
	if params != nil {
		defer params.Release()
	}
	schema, err := p.plan.schemaWith(ctx, params)
	if err == nil && schema == nil {
		err = errSchemaUnknown()
	}
	if err != nil {
		return nil, err
	}
	return &flight.SchemaResult{Schema: flight.SerializeSchema(schema, s.mem)}, nil
}

// DoPutPreparedStatementQuery binds parameters; the rows for several rows of them
// follow each other.
func (s *service) DoPutPreparedStatementQuery(_ context.Context, cmd flightsql.PreparedStatementQuery, in flight.MessageReader, _ flight.MetadataWriter) ([]byte, error) {
	p, err := s.findPrepared(cmd.GetPreparedStatementHandle())
	if err != nil {
		return nil, err
	}
	params, err := readAll(in, s.mem)
	if err != nil {
		return nil, err
	}
	p.bind(params)
	return cmd.GetPreparedStatementHandle(), nil
}

// DoPutPreparedStatementUpdate runs the statement for all rows of parameters and
// sums the counts.
func (s *service) DoPutPreparedStatementUpdate(ctx context.Context, cmd flightsql.PreparedStatementUpdate, in flight.MessageReader) (int64, error) {
	p, err := s.findPrepared(cmd.GetPreparedStatementHandle())
	if err != nil {
		return 0, err
	}
	if p.plan.params.NumFields() == 0 {
		n, err := p.update(ctx, nil)
		return n, err
	}
	params, err := readAll(in, s.mem)
	if err != nil {
		return 0, err
	}
	if params == nil {
		params = p.bound()
	}
	if params != nil {
		defer params.Release()
	}
	n, err := p.update(ctx, params)
	return n, err
}

func (p *prepared) update(ctx context.Context, params arrow.RecordBatch) (int64, error) {
	rows, n, err := p.plan.run(ctx, "", params)
	for _, rec := range rows {
		rec.Release()
	}
	return n, err
}

// readAll reads a client's parameter batches into one; nil when there are no
// columns. The caller releases it.
func readAll(in flight.MessageReader, mem memory.Allocator) (arrow.RecordBatch, error) {
	checked, err := newChecked(in)
	if errors.Is(err, io.EOF) { // nothing came
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	batches, err := collect(checked)
	if err != nil {
		return nil, errs.Wrap(err, errs.InvalidArgument, "parameters", "the parameters cannot be read")
	}
	defer func() {
		for _, rec := range batches {
			rec.Release()
		}
	}()
	if len(batches) == 0 || batches[0].NumCols() == 0 {
		return nil, nil
	}
	if len(batches) == 1 {
		batches[0].Retain()
		return batches[0], nil
	}
	cols := make([]arrow.Array, batches[0].NumCols())
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	rows := int64(0)
	for i := range cols {
		parts := make([]arrow.Array, len(batches))
		for j, rec := range batches {
			parts[j] = rec.Column(i)
		}
		if cols[i], err = array.Concatenate(parts, mem); err != nil {
			return nil, errs.Wrap(err, errs.InvalidArgument, "parameters", "the parameter batches do not fit together")
		}
	}
	for _, rec := range batches {
		rows += rec.NumRows()
	}
	return array.NewRecordBatch(in.Schema(), cols, rows), nil
}
