package flightsql

import (
	"context"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

const (
	// aheadBytes is how far the database may be ahead of the client.
	aheadBytes = 4 << 20
	// spillBytes is how far while another statement waits for the session.
	spillBytes = 64 << 20
)

// schemaDelay is how long a statement may take to its first rows before the
// schema is sent without them: clients wait for it when they open a result, and
// can cancel only a result that is open. Errors that come sooner are told in its
// place.
const schemaDelay = 100 * time.Millisecond

// source is a statement about to run.
type source struct {
	lease  *lease
	schema *arrow.Schema // of the rows; nil when only running tells
	// open starts the statement. finish frees what it took, after the rows were
	// read or given up.
	open func() (rows array.RecordReader, finish func(), err error)
}

// pump carries batches from a producer goroutine to the handler that sends
// them. Bounded by bytes, so that a slow client slows the database down.
type pump struct {
	opened chan struct{} // closed once the statement has started or failed
	ready  chan struct{} // capacity 1: something to pop, or done
	space  chan struct{} // capacity 1: something was popped

	limit int64 // bytes that may wait

	mu     sync.Mutex
	schema *arrow.Schema       // once opened without an error
	queue  []arrow.RecordBatch // owned by the pump until popped
	bytes  int64
	done   bool
	full   bool // the producer waits
	err    error
}

func newPump(limit int64) *pump {
	return &pump{limit: limit, opened: make(chan struct{}), ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

// produce runs the statement and reads its rows to their end, then lets the
// lease go, whether or not the client has read them all. It runs in a goroutine
// of its own.
func (p *pump) produce(ctx context.Context, src source) {
	err := p.read(ctx, src)
	src.lease.release()
	p.end(causeOf(ctx, err))
}

// fail ends a pump whose statement never began.
func (p *pump) fail(err error) {
	close(p.opened)
	p.end(err)
}

func (p *pump) end(err error) {
	p.mu.Lock()
	p.done, p.err = true, err
	p.mu.Unlock()
	signal(p.ready)
}

// state says whether all rows are there, or as many as may wait, and what went wrong.
func (p *pump) state() (ready bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done || p.full, p.err
}

func (p *pump) read(ctx context.Context, src source) error {
	rows, finish, err := src.open()
	if err != nil {
		close(p.opened)
		return err
	}
	defer finish()
	p.mu.Lock()
	p.schema = rows.Schema()
	p.mu.Unlock()
	close(p.opened)
	for rows.Next() {
		rec := rows.RecordBatch()
		rec.Retain()
		p.push(rec)
		if err := p.waitForSpace(ctx, src.lease); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (p *pump) push(rec arrow.RecordBatch) {
	p.mu.Lock()
	p.queue = append(p.queue, rec)
	p.bytes += sizeOf(rec)
	p.mu.Unlock()
	signal(p.ready)
}

func (p *pump) waitForSpace(ctx context.Context, l *lease) error {
	wanted, stalled := l.wanted, false
	limit := p.limit
	defer func() {
		if stalled {
			l.setStalled(false)
		}
	}()
	for {
		select {
		case <-l.wanted:
			wanted, limit = nil, max(limit, spillBytes)
		default:
		}
		p.mu.Lock()
		full := p.bytes >= limit
		p.full = full
		p.mu.Unlock()
		if !full {
			return ctx.Err()
		}
		if !stalled {
			stalled = true
			l.setStalled(true)
		}
		select {
		case <-p.space:
		case <-wanted:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pop gives the next batch, which the caller releases; nil after the last.
func (p *pump) pop(ctx context.Context) (arrow.RecordBatch, error) {
	for {
		p.mu.Lock()
		if len(p.queue) > 0 {
			rec := p.queue[0]
			p.queue[0] = nil
			p.queue = p.queue[1:]
			p.bytes -= sizeOf(rec)
			p.mu.Unlock()
			signal(p.space)
			return rec, nil
		}
		done, err := p.done, p.err
		p.mu.Unlock()
		if done {
			return nil, err
		}
		select {
		case <-p.ready:
		case <-ctx.Done():
			return nil, causeOf(ctx, ctx.Err())
		}
	}
}

// drain frees what was not sent. The producer must have ended.
func (p *pump) drain() {
	for _, rec := range p.queue {
		rec.Release()
	}
	p.queue = nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// sendStream runs a statement and sends its rows until their end, an error or
// the end of ctx. cancel must end ctx. The lease is released by then, and
// nothing is left running.
func sendStream(ctx context.Context, cancel context.CancelCauseFunc, src source, out flight.FlightService_DoGetServer) error {
	p := newPump(aheadBytes)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.produce(ctx, src)
	}()
	err := p.send(ctx, src.schema, out)
	cancel(nil) // stops a producer whose client has gone; harmless after the end
	<-ended
	p.drain()
	return err
}

func (p *pump) send(ctx context.Context, promised *arrow.Schema, out flight.FlightService_DoGetServer) error {
	schema, err := p.awaitSchema(ctx, promised)
	if err != nil {
		return err
	}
	w, err := newBatchWriter(out, schema)
	if err != nil {
		return err
	}
	err = p.sendAll(ctx, w)
	if cerr := w.close(); err == nil {
		err = cerr
	}
	return err
}

// awaitSchema gives the rows' schema once there are rows, or the promised one
// when they are slow to begin.
func (p *pump) awaitSchema(ctx context.Context, promised *arrow.Schema) (schema *arrow.Schema, err error) {
	var slow <-chan time.Time
	if promised != nil {
		timer := time.NewTimer(schemaDelay)
		defer timer.Stop()
		slow = timer.C
	}
	select {
	case <-p.opened:
	case <-slow:
		return promised, nil
	case <-ctx.Done():
		return nil, causeOf(ctx, ctx.Err())
	}
	p.mu.Lock()
	schema = p.schema
	p.mu.Unlock()
	if schema == nil { // it failed: done and the error follow
		_, err = p.pop(ctx)
	}
	return schema, err
}

func (p *pump) sendAll(ctx context.Context, w *batchWriter) error {
	for {
		rec, err := p.pop(ctx)
		if rec == nil || err != nil {
			return err
		}
		err = w.write(rec)
		rec.Release()
		if err != nil {
			return err
		}
	}
}

// sendBatches sends batches that exist already.
func sendBatches(schema *arrow.Schema, batches []arrow.RecordBatch, out flight.FlightService_DoGetServer) error {
	w, err := newBatchWriter(out, schema)
	if err != nil {
		return err
	}
	for _, rec := range batches {
		if err = w.write(rec); err != nil {
			break
		}
	}
	if cerr := w.close(); err == nil {
		err = cerr
	}
	return err
}

// batchWriter writes an Arrow stream whose schema leaves at once: clients that
// open a result wait for it, and the first row may be seconds away.
type batchWriter struct{ ipc *flight.Writer }

func newBatchWriter(out flight.FlightService_DoGetServer, schema *arrow.Schema) (*batchWriter, error) {
	once := &onceSchema{DataStreamWriter: out}
	// A writer that is closed unused has written exactly the schema.
	if err := flight.NewRecordWriter(once, ipc.WithSchema(schema)).Close(); err != nil {
		return nil, err
	}
	once.drop = true
	return &batchWriter{ipc: flight.NewRecordWriter(once, ipc.WithSchema(schema))}, nil
}

// write sends rec. The database cuts its batches to what clients take.
func (w *batchWriter) write(rec arrow.RecordBatch) error {
	if rec.NumRows() == 0 {
		return nil
	}
	return w.ipc.Write(rec)
}

func (w *batchWriter) close() error { return w.ipc.Close() }

// onceSchema passes messages on, but for the first after drop was set: the
// second writer's copy of the schema.
type onceSchema struct {
	flight.DataStreamWriter
	drop bool
}

func (o *onceSchema) Send(data *flight.FlightData) error {
	if o.drop {
		o.drop = false
		return nil
	}
	return o.DataStreamWriter.Send(data)
}

// sizeOf is the memory a batch's buffers take. It counts a slice as the whole.
func sizeOf(rec arrow.RecordBatch) int64 {
	var n int64
	for _, c := range rec.Columns() {
		n += sizeOfData(c.Data())
	}
	return n
}

func sizeOfData(data arrow.ArrayData) int64 {
	var n int64
	for _, b := range data.Buffers() {
		if b != nil {
			n += int64(b.Len())
		}
	}
	for _, child := range data.Children() {
		n += sizeOfData(child)
	}
	return n
}
