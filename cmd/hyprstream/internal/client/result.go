package client

import (
	"context"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/errs"
)

// remoteResult reads the endpoints of one execution, one after the other. One
// goroutine uses it. It owns the prepared statement and the call's context.
type remoteResult struct {
	remote    *remote
	ctx       context.Context // of the statement, from Query to Release
	cancel    context.CancelFunc
	stmt      *flightsql.PreparedStatement
	endpoints []*flight.FlightEndpoint // still to read
	reader    *flight.Reader           // the current one
	schema    *arrow.Schema
	affected  int64
	err       error
	refs      atomic.Int64
}

func (r *remoteResult) start() error {
	update, known := r.stmt.IsUpdate()
	if !known {
		s := r.stmt.DatasetSchema()
		update = s == nil || s.NumFields() == 0
	}
	if update {
		n, err := r.stmt.ExecuteUpdate(r.ctx)
		r.schema, r.affected = noRows, n
		return err
	}
	info, err := r.stmt.Execute(r.ctx)
	if err != nil {
		return err
	}
	r.endpoints = info.Endpoint
	if len(r.endpoints) == 0 {
		r.schema, err = flight.DeserializeSchema(info.Schema, memory.DefaultAllocator)
		return err
	}
	if err := r.open(); err != nil {
		return err
	}
	r.schema = r.reader.Schema()
	return nil
}

// open starts the next endpoint.
func (r *remoteResult) open() (err error) {
	if r.reader != nil {
		r.reader.Release()
	}
	r.reader, err = r.remote.client.DoGet(r.ctx, r.endpoints[0].Ticket)
	r.endpoints = r.endpoints[1:]
	return err
}

func (r *remoteResult) Next() bool {
	for r.err == nil && r.reader != nil {
		if r.reader.Next() {
			return true
		}
		if err := r.reader.Err(); err != nil {
			r.err = r.remote.failed(r.ctx, err)
			return false
		}
		if len(r.endpoints) == 0 {
			return false
		}
		if err := r.open(); err != nil {
			r.err = r.remote.failed(r.ctx, err)
		}
	}
	return false
}

func (r *remoteResult) Schema() *arrow.Schema          { return r.schema }
func (r *remoteResult) RecordBatch() arrow.RecordBatch { return r.reader.RecordBatch() }
func (r *remoteResult) Record() arrow.RecordBatch      { return r.RecordBatch() }
func (r *remoteResult) Err() error                     { return r.err }
func (r *remoteResult) RowsAffected() int64            { return r.affected }
func (r *remoteResult) Retain()                        { r.refs.Add(1) }

// Release ends the call, if it still runs, and gives the server its handle back.
func (r *remoteResult) Release() {
	if r.refs.Add(-1) != 0 {
		return
	}
	r.cancel()
	if r.reader != nil {
		r.reader.Release()
	}
	_ = r.stmt.Close(context.WithoutCancel(r.ctx)) // the server drops stale handles by itself
}

// parameters is the one-row batch that binds args.
func parameters(args []any) (arrow.RecordBatch, error) {
	fields := make([]arrow.Field, len(args))
	cols := make([]arrow.Array, len(args))
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, v := range args {
		switch v := v.(type) {
		case nil:
			cols[i] = array.NewNull(1)
		case string:
			cols[i] = single(array.NewStringBuilder(memory.DefaultAllocator), v)
		case bool:
			cols[i] = single(array.NewBooleanBuilder(memory.DefaultAllocator), v)
		case int64:
			cols[i] = single(array.NewInt64Builder(memory.DefaultAllocator), v)
		case float64:
			cols[i] = single(array.NewFloat64Builder(memory.DefaultAllocator), v)
		default:
			return nil, errs.New(errs.Internal, "cli", "a parameter of type %T cannot be sent", v)
		}
		fields[i] = arrow.Field{Name: "", Type: cols[i].DataType(), Nullable: true}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, 1), nil
}

// single is an array of one value. It takes the builder.
func single[T any, B interface {
	array.Builder
	Append(T)
}](b B, v T) arrow.Array {
	defer b.Release()
	b.Append(v)
	return b.NewArray()
}
