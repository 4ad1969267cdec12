package flightsql

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/status"

	"hyprstream/errs"
)

// unpackedBytes bounds what the compressed buffers of an upload may unpack to at
// once: a few bytes can claim to be terabytes.
const unpackedBytes = 1 << 30

// DoPut is arrow-go's, which takes it for granted that the first message names a
// command and that buffers are as large as they say.
func (t *transport) DoPut(stream flight.FlightService_DoPutServer) error {
	up := &upload{FlightService_DoPutServer: stream}
	err := flightsql.NewFlightServerWithAllocator(t.service, &budget{Allocator: t.service.mem}).DoPut(up)
	if up.refused != nil {
		return up.refused
	}
	return err
}

// upload is a client's stream whose first message has a descriptor, and whose
// messages claim nothing that they do not hold.
type upload struct {
	flight.FlightService_DoPutServer
	begun   bool
	refused error
}

// Recv gives the next message.
func (u *upload) Recv() (*flight.FlightData, error) {
	data, err := u.FlightService_DoPutServer.Recv()
	if err != nil {
		return nil, err
	}
	if !u.begun && data.GetFlightDescriptor() == nil {
		u.refused = errs.New(errs.InvalidArgument, "DoPut", "the first message has no descriptor: it must name a command")
		return nil, u.refused
	}
	u.begun = true
	if len(data.GetDataHeader()) > 0 {
		if u.refused = checkMetadata(data.GetDataHeader()); u.refused != nil {
			return nil, u.refused
		}
	}
	return data, nil
}

// budget is the memory of one upload, whose calls are its handler's. What is too
// much panics, which arrow-go's reader makes an error of.
type budget struct {
	memory.Allocator
	used int
}

func (b *budget) check(more int) {
	if more > unpackedBytes-b.used {
		panic(fmt.Errorf("it unpacks to more than %d MB: send smaller batches", unpackedBytes>>20))
	}
}

// Allocate gives size bytes.
func (b *budget) Allocate(size int) []byte {
	b.check(size)
	out := b.Allocator.Allocate(size)
	b.used += cap(out)
	return out
}

// Reallocate gives size bytes for those of data.
func (b *budget) Reallocate(size int, data []byte) []byte {
	had := cap(data)
	b.check(size - had)
	out := b.Allocator.Reallocate(size, data)
	b.used += cap(out) - had
	return out
}

// Free takes bytes back.
func (b *budget) Free(data []byte) {
	b.used -= cap(data)
	b.Allocator.Free(data)
}

// checked is a client's record batches. What is in them becomes addresses in
// DuckDB, so each is looked through before it is handed out (see checkBatch).
// arrow-go's reader panics on some of what is wrong.
type checked struct {
	flight.MessageReader
	schema *arrow.Schema
	err    error
}

// newChecked reads the schema of the batches.
func newChecked(in flight.MessageReader) (c *checked, err error) {
	defer broken(&err)
	c = &checked{MessageReader: in, schema: in.Schema()}
	if c.schema == nil { // the upload ended, or something else came
		return nil, errs.Wrap(in.Err(), errs.InvalidArgument, "Arrow data", "the data has no schema")
	}
	return c, nil
}

// Schema of the batches.
func (c *checked) Schema() *arrow.Schema { return c.schema }

// Next reads a batch.
func (c *checked) Next() bool {
	more, err := c.next()
	if err != nil {
		c.err = err
	}
	return more && err == nil
}

func (c *checked) next() (more bool, err error) {
	defer broken(&err)
	if c.err != nil || !c.MessageReader.Next() {
		return false, nil
	}
	if err := checkBatch(c.RecordBatch()); err != nil {
		return false, errs.Wrap(err, errs.InvalidArgument, "Arrow data", "the data is damaged")
	}
	return true, nil
}

// Err is what ended the batches early.
func (c *checked) Err() error {
	if c.err != nil {
		return c.err
	}
	err := c.MessageReader.Err()
	if _, ok := status.FromError(err); ok { // nil too; of the connection, not of the data
		return err
	}
	return errs.Wrap(err, errs.InvalidArgument, "Arrow data", "the data is damaged")
}

// broken makes an error of a panic over a client's data.
func broken(err *error) {
	if p := recover(); p != nil {
		*err = errs.New(errs.InvalidArgument, "Arrow data", "the data is damaged: %v", p)
	}
}
