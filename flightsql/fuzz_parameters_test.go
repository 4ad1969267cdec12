package flightsql_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// uploadRows is how many rows the uploads of uploads have: a number that is in a
// message's header nowhere else.
const uploadRows = 777

// columnOfEach are a type and two values, as JSON.
var columnOfEach = []struct {
	typ    arrow.DataType
	values [2]string
}{
	{arrow.FixedWidthTypes.Boolean, [2]string{"true", "null"}},
	{arrow.PrimitiveTypes.Int32, [2]string{"1", "null"}},
	{arrow.PrimitiveTypes.Uint64, [2]string{"1", "2"}},
	{arrow.PrimitiveTypes.Float64, [2]string{"1.5", "null"}},
	{arrow.Null, [2]string{"null", "null"}},
	{arrow.BinaryTypes.String, [2]string{`"one"`, `"a text of more than twelve bytes"`}},
	{arrow.BinaryTypes.LargeString, [2]string{`"one"`, "null"}},
	{arrow.BinaryTypes.StringView, [2]string{`"one"`, `"a text of more than twelve bytes"`}},
	{arrow.BinaryTypes.Binary, [2]string{`"AAFi"`, "null"}},
	{&arrow.FixedSizeBinaryType{ByteWidth: 3}, [2]string{`"AAFi"`, "null"}},
	{&arrow.Decimal128Type{Precision: 12, Scale: 2}, [2]string{`"1.25"`, "null"}},
	{&arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}, [2]string{"1709168523000000004", "null"}},
	{arrow.FixedWidthTypes.Time64us, [2]string{`"12:34:56"`, "null"}},
	{arrow.FixedWidthTypes.Date32, [2]string{`"2024-02-29"`, "null"}},
	{arrow.FixedWidthTypes.MonthDayNanoInterval, [2]string{`{"months": 1, "days": 2, "nanoseconds": 3}`, "null"}},
	{arrow.ListOf(arrow.PrimitiveTypes.Int32), [2]string{"[1, null]", "[]"}},
	{arrow.ListOf(arrow.ListOf(arrow.BinaryTypes.String)), [2]string{`[["a"], []]`, "null"}},
	{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), [2]string{"[1, 2]", "null"}},
	{arrow.StructOf(arrow.Field{Name: "k", Type: arrow.BinaryTypes.String, Nullable: true}), [2]string{`{"k": "v"}`, "null"}},
	{arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32), [2]string{`[{"key": "a", "value": 1}]`, "null"}},
	{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}, [2]string{`"one"`, `"two"`}},
}

// sent keeps what a record writer sends.
type sent struct{ messages []*flight.FlightData }

func (s *sent) Send(m *flight.FlightData) error {
	s.messages = append(s.messages, proto.Clone(m).(*flight.FlightData))
	return nil
}

// uploadsOf are the messages of a column: its schema and the batches after it.
func uploadsOf(f testing.TB, typ arrow.DataType, values [2]string, opts ...ipc.Option) []*flight.FlightData {
	f.Helper()
	rows := "[" + strings.Repeat(`{"x": `+values[0]+`}, `, uploadRows-1) + `{"x": ` + values[1] + "}]"
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: typ, Nullable: true}}, nil)
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(rows))
	if err != nil {
		f.Fatal(typ, err)
	}
	defer rec.Release()
	out := &sent{}
	w := flight.NewRecordWriter(out, append(opts, ipc.WithSchema(schema))...)
	if err := w.Write(rec); err != nil {
		f.Fatal(typ, err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(typ, err)
	}
	return out.messages
}

// lies gives messages like m whose header says another number of rows, or whose
// body is not what the header says.
func lies(m *flight.FlightData) []*flight.FlightData {
	var out []*flight.FlightData
	var want [8]byte
	binary.LittleEndian.PutUint64(want[:], uploadRows)
	for _, rows := range []int64{uploadRows + 1000, 1 << 25, 1 << 40, -1} {
		header := slices.Clone(m.DataHeader)
		for at := bytes.Index(header, want[:]); at >= 0; at = bytes.Index(header, want[:]) {
			binary.LittleEndian.PutUint64(header[at:], uint64(rows))
		}
		out = append(out, &flight.FlightData{DataHeader: header, DataBody: m.DataBody})
	}
	for _, fill := range []byte{0xff, 0x7f, 0x80, 0x01} {
		body := bytes.Repeat([]byte{fill}, len(m.DataBody))
		out = append(out, &flight.FlightData{DataHeader: m.DataHeader, DataBody: body})
		half := append(slices.Clone(m.DataBody[:len(body)/2]), body[len(body)/2:]...)
		out = append(out, &flight.FlightData{DataHeader: m.DataHeader, DataBody: half})
	}
	for _, size := range []uint64{1 << 34, 1 << 46, 1 << 62} { // of what a compressed buffer unpacks to
		if body := slices.Clone(m.DataBody); len(body) >= 8 {
			binary.LittleEndian.PutUint64(body, size)
			out = append(out, &flight.FlightData{DataHeader: m.DataHeader, DataBody: body})
		}
	}
	return append(out, &flight.FlightData{DataHeader: m.DataHeader}, &flight.FlightData{DataHeader: m.DataHeader[:len(m.DataHeader)/2], DataBody: m.DataBody})
}

// Whatever Arrow data a client sends as parameters or rows of an ingest.
func FuzzParameters(f *testing.F) {
	cl := fuzzed(f)
	update(f, cl, "CREATE TABLE t (x VARCHAR)")
	query, err := cl.Prepare(f.Context(), "SELECT ? AS x")
	if err != nil {
		f.Fatal(err)
	}
	insert, err := cl.Prepare(f.Context(), "INSERT INTO t VALUES (?)")
	if err != nil {
		f.Fatal(err)
	}
	seed := func(messages []*flight.FlightData) {
		for how := range uint8(3) {
			last := len(messages) - 1
			var dict *flight.FlightData
			if last == 2 {
				dict = messages[1]
			}
			f.Add(how, messages[0].DataHeader, dict.GetDataHeader(), dict.GetDataBody(), messages[last].DataHeader, messages[last].DataBody)
			for i, m := range messages[1:] {
				for _, damaged := range lies(m) {
					if i+1 == last {
						f.Add(how, messages[0].DataHeader, dict.GetDataHeader(), dict.GetDataBody(), damaged.DataHeader, damaged.DataBody)
					} else {
						f.Add(how, messages[0].DataHeader, damaged.DataHeader, damaged.DataBody, messages[last].DataHeader, messages[last].DataBody)
					}
				}
			}
		}
	}
	for _, c := range columnOfEach {
		seed(uploadsOf(f, c.typ, c.values))
	}
	seed(uploadsOf(f, arrow.PrimitiveTypes.Int32, [2]string{"1", "2"}, ipc.WithLZ4()))
	seed(uploadsOf(f, arrow.BinaryTypes.String, [2]string{`"one"`, `"two"`}, ipc.WithZstd()))
	f.Fuzz(func(t *testing.T, how uint8, schema, dictHeader, dictBody, header, body []byte) {
		messages := []*flight.FlightData{{DataHeader: schema}}
		if len(dictHeader) > 0 {
			messages = append(messages, &flight.FlightData{DataHeader: dictHeader, DataBody: dictBody})
		}
		messages = append(messages, &flight.FlightData{DataHeader: header, DataBody: body})
		err := uploadTo(soon(t), t, cl, how%3, query.Handle(), insert.Handle(), messages)
		if status.Code(err) == codes.DeadlineExceeded {
			err = nil // so many rows: it is enough that the server goes on
		}
		answered(t, cl, err)
	})
}

// uploadTo binds the messages to a query and runs it, runs an update with them,
// or ingests them.
func uploadTo(ctx context.Context, t testing.TB, cl *client.Client, how uint8, query, insert []byte, messages []*flight.FlightData) error {
	switch how {
	case 0:
		messages[0].FlightDescriptor = command(t, &pb.CommandPreparedStatementQuery{PreparedStatementHandle: query})
		if err := put(ctx, cl, messages...); status.Code(err) != codes.Unknown { // EOF, that is
			return err
		}
		info, err := cl.Client.GetFlightInfo(ctx, messages[0].FlightDescriptor)
		if err != nil {
			return err
		}
		stream, err := cl.Client.DoGet(ctx, info.Endpoint[0].Ticket)
		for err == nil {
			_, err = stream.Recv()
		}
		return err
	case 1:
		messages[0].FlightDescriptor = command(t, &pb.CommandPreparedStatementUpdate{PreparedStatementHandle: insert})
	case 2:
		messages[0].FlightDescriptor = command(t, &pb.CommandStatementIngest{
			Table: "ingested", Temporary: true,
			TableDefinitionOptions: &pb.CommandStatementIngest_TableDefinitionOptions{
				IfNotExist: pb.CommandStatementIngest_TableDefinitionOptions_TABLE_NOT_EXIST_OPTION_CREATE,
				IfExists:   pb.CommandStatementIngest_TableDefinitionOptions_TABLE_EXISTS_OPTION_REPLACE,
			},
		})
	}
	return put(ctx, cl, messages...)
}
