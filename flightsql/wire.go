package flightsql

import (
	"runtime"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that ours extends
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"hyprstream/errs"
)

// batchWriter writes an Arrow stream whose schema leaves at once: clients that
// open a result wait for it, and the first row may be seconds away. Batches go to
// gRPC as they lie in memory; arrow-go's own writer and protobuf copy each twice.
type batchWriter struct {
	ipc *ipc.Writer
	out *payloads
}

func newBatchWriter(out flight.FlightService_DoGetServer, schema *arrow.Schema) (*batchWriter, error) {
	p := &payloads{out: out}
	// A writer that is closed unused has written exactly the schema.
	if err := ipc.NewWriterWithPayloadWriter(p, ipc.WithSchema(schema)).Close(); err != nil {
		return nil, err
	}
	p.skip = true // the second writer's copy of the schema
	return &batchWriter{ipc: ipc.NewWriterWithPayloadWriter(p, ipc.WithSchema(schema)), out: p}, nil
}

// write sends rec. The database cuts its batches to what clients take.
func (w *batchWriter) write(rec arrow.RecordBatch) error {
	if rec.NumRows() == 0 {
		return nil
	}
	w.out.rec = rec
	defer func() { w.out.rec = nil }()
	return w.ipc.Write(rec)
}

func (w *batchWriter) close() error { return w.ipc.Close() }

// payloads sends each IPC message as a FlightData.
type payloads struct {
	out  flight.FlightService_DoGetServer
	rec  arrow.RecordBatch // being written, nil for the schema
	skip bool              // the next message
}

// Start does nothing.
func (p *payloads) Start() error { return nil }

// Close does nothing.
func (p *payloads) Close() error { return nil }

// WritePayload sends a message.
func (p *payloads) WritePayload(payload ipc.Payload) error {
	if p.skip {
		p.skip = false
		return nil
	}
	meta := payload.Meta()
	defer meta.Release()
	var body pieces
	if err := payload.SerializeBody(&body); err != nil {
		return err
	}
	return p.out.SendMsg(&flightData{header: meta.Bytes(), body: body, rec: p.rec})
}

// smallPiece is the size below which a piece is rather copied than sent by itself.
const smallPiece = 4096

// pieces are the parts of a message's body, in order. Large ones are not copied.
type pieces struct {
	list  [][]byte
	large []bool // by piece: it is somebody else's memory
	size  int
}

// Write adds a part.
func (p *pieces) Write(b []byte) (int, error) {
	p.size += len(b)
	last := len(p.list) - 1
	switch {
	case len(b) >= smallPiece:
		p.list, p.large = append(p.list, b), append(p.large, true)
	case last >= 0 && !p.large[last]:
		p.list[last] = append(p.list[last], b...)
	default:
		p.list, p.large = append(p.list, append(make([]byte, 0, smallPiece), b...)), append(p.large, false)
	}
	return len(b), nil
}

// flightData is a FlightData message whose body lies in pieces.
type flightData struct {
	header []byte
	body   pieces
	rec    arrow.RecordBatch // owns the large pieces; nil where there are none
}

// Fields of FlightData in Flight.proto.
const (
	fieldHeader = 2
	fieldBody   = 1000
)

// encode gives gRPC the message. What the pieces lie in is kept until gRPC has freed them.
func (d *flightData) encode() mem.BufferSlice {
	front := make([]byte, 0, len(d.header)+32)
	front = protowire.AppendTag(front, fieldHeader, protowire.BytesType)
	front = protowire.AppendBytes(front, d.header)
	if d.body.size > 0 {
		front = protowire.AppendTag(front, fieldBody, protowire.BytesType)
		front = protowire.AppendVarint(front, uint64(d.body.size))
	}
	out := mem.BufferSlice{mem.SliceBuffer(front)}
	var kept *keeper
	for i, b := range d.body.list {
		if !d.body.large[i] || d.rec == nil {
			out = append(out, mem.SliceBuffer(b))
			continue
		}
		if kept == nil {
			kept = keep(d.rec)
		}
		kept.left.Add(1)
		out = append(out, mem.NewBuffer(&b, kept))
	}
	if kept != nil {
		kept.drop()
	}
	return out
}

// keeper keeps a batch until all pieces of it are sent. It is the pool they are
// returned to.
type keeper struct {
	rec  arrow.RecordBatch
	left atomic.Int32
}

func keep(rec arrow.RecordBatch) *keeper {
	rec.Retain()
	k := &keeper{rec: rec}
	k.left.Store(1)
	// Where a connection breaks, gRPC may leave messages to the garbage collector.
	runtime.SetFinalizer(k, func(k *keeper) {
		if k.left.Swap(0) > 0 {
			k.rec.Release()
		}
	})
	return k
}

func (k *keeper) drop() {
	if k.left.Add(-1) == 0 {
		runtime.SetFinalizer(k, nil)
		k.rec.Release()
	}
}

// Put takes back a piece.
func (k *keeper) Put(*[]byte) { k.drop() }

// Get is never called: nothing is taken from this pool.
func (k *keeper) Get(n int) *[]byte {
	b := make([]byte, n)
	return &b
}

// codec is gRPC's own but for flightData.
type codec struct{ encoding.CodecV2 }

// Marshal encodes a message.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if d, ok := v.(*flightData); ok {
		return d.encode(), nil
	}
	out, err := c.CodecV2.Marshal(v)
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "flightsql", "a message cannot be written")
	}
	return out, nil
}
