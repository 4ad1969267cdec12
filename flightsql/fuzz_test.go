package flightsql_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"hyprstream/database"
	"hyprstream/flightsql"
)

// fuzzed serves a database whose statements reach no files, since some of them
// come from the fuzzer.
func fuzzed(f *testing.F) *client.Client {
	f.Helper()
	dir := f.TempDir()
	db, err := database.Open(f.Context(), database.Config{Dir: dir, AllowDirs: []string{f.TempDir()}})
	if err != nil {
		f.Fatal(err)
	}
	srv, err := flightsql.New(db, flightsql.Options{})
	if err != nil {
		f.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := errors.Join(srv.Shutdown(ctx), <-served, db.Close(context.Background())); err != nil {
			f.Error(err)
		}
	})
	return dial(f, lis.Addr().String())
}

// answered fails where an error says that the server itself went wrong, or that
// it did not answer in time; and where it does not answer the next question.
func answered(t *testing.T, cl *client.Client, err error) {
	t.Helper()
	if s := status.Code(err); s == codes.Internal || s == codes.Unknown && err != nil && !errors.Is(err, io.EOF) || s == codes.DeadlineExceeded ||
		s == codes.Unavailable || err != nil && strings.Contains(err.Error(), "INTERNAL") {
		t.Errorf("%s: %v", s, err)
	}
	equal(t, query(t, cl, "SELECT 1"), "1")
}

// soon is how long any answer may take.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// commands are one of each that the protocol has, as bytes.
func commands(f *testing.F) [][]byte {
	f.Helper()
	name := "main"
	var out [][]byte
	for _, cmd := range []proto.Message{
		&pb.CommandStatementQuery{Query: "SELECT 42 AS x"},
		&pb.CommandStatementUpdate{Query: "CREATE OR REPLACE TEMP TABLE t AS SELECT 1 AS x", TransactionId: []byte("none")},
		&pb.CommandStatementSubstraitPlan{Plan: &pb.SubstraitPlan{Plan: []byte("plan"), Version: "1"}},
		&pb.CommandStatementIngest{Table: "t", Schema: &name, Options: map[string]string{"a": "b"}},
		&pb.CommandPreparedStatementQuery{PreparedStatementHandle: []byte("none")},
		&pb.CommandPreparedStatementUpdate{PreparedStatementHandle: []byte("none")},
		&pb.CommandGetCatalogs{}, &pb.CommandGetDbSchemas{Catalog: &name, DbSchemaFilterPattern: &name},
		&pb.CommandGetTables{IncludeSchema: true, TableTypes: []string{"TABLE"}, TableNameFilterPattern: &name}, &pb.CommandGetTableTypes{},
		&pb.CommandGetPrimaryKeys{Table: "t", DbSchema: &name}, &pb.CommandGetExportedKeys{Table: "t"}, &pb.CommandGetImportedKeys{Table: "t"},
		&pb.CommandGetCrossReference{PkTable: "t", FkTable: "t"}, &pb.CommandGetSqlInfo{Info: []uint32{0, 4, 500}}, &pb.CommandGetXdbcTypeInfo{},
		&pb.TicketStatementQuery{StatementHandle: []byte("none")},
		&pb.ActionBeginTransactionRequest{}, &pb.ActionEndTransactionRequest{TransactionId: []byte("none"), Action: 1},
		&pb.ActionBeginSavepointRequest{Name: "s"}, &pb.ActionEndSavepointRequest{SavepointId: []byte("s")},
		&pb.ActionCreatePreparedStatementRequest{Query: "SELECT ?"}, &pb.ActionClosePreparedStatementRequest{PreparedStatementHandle: []byte("none")},
		&pb.ActionCancelQueryRequest{Info: []byte("none")}, //nolint:staticcheck // old clients send it
		&pb.CancelFlightInfoRequest{Info: &pb.FlightInfo{}},
		&pb.SetSessionOptionsRequest{SessionOptions: map[string]*pb.SessionOptionValue{"schema": {}}}, &pb.GetSessionOptionsRequest{}, &pb.CloseSessionRequest{},
	} {
		bare, err := proto.Marshal(cmd)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, packed(f, cmd), bare)
	}
	return append(out, nil, []byte("nonsense"), []byte(strings.Repeat("\x0a\x7f", 100)))
}

// Whatever bytes a client sends as a ticket, the answer is rows or an error.
func FuzzTicket(f *testing.F) {
	cl := fuzzed(f)
	for _, raw := range commands(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		stream, err := cl.Client.DoGet(soon(t), &flight.Ticket{Ticket: raw})
		for err == nil {
			_, err = stream.Recv()
		}
		answered(t, cl, err)
	})
}

// actionTypes are those of the protocol, and one that is not.
var actionTypes = []string{
	flight.CancelFlightInfoActionType, flight.RenewFlightEndpointActionType, client.CancelQueryActionType,
	client.CreatePreparedStatementActionType, client.CreatePreparedSubstraitPlanActionType, client.ClosePreparedStatementActionType,
	client.BeginTransactionActionType, client.EndTransactionActionType, client.BeginSavepointActionType, client.EndSavepointActionType,
	flight.SetSessionOptionsActionType, flight.GetSessionOptionsActionType, flight.CloseSessionActionType, "Nonsense",
}

// Whatever bytes a client sends as a command, to whatever call.
func FuzzCommand(f *testing.F) {
	cl := fuzzed(f)
	for call := range calls + len(actionTypes) {
		for _, raw := range commands(f) {
			f.Add(uint8(call), raw)
		}
	}
	f.Fuzz(func(t *testing.T, call uint8, raw []byte) {
		answered(t, cl, callWith(soon(t), cl, int(call)%(calls+len(actionTypes)), raw))
	})
}

// calls is how many calls callWith knows beside the actions.
const calls = 7

func callWith(ctx context.Context, cl *client.Client, call int, raw []byte) error {
	desc := &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: raw}
	switch call {
	case 0:
		_, err := cl.Client.GetFlightInfo(ctx, desc)
		return err
	case 1:
		_, err := cl.Client.GetSchema(ctx, desc)
		return err
	case 2:
		return put(ctx, cl, &flight.FlightData{FlightDescriptor: desc})
	case 3:
		return put(ctx, cl, &flight.FlightData{DataHeader: raw}) // no descriptor
	case 4:
		stream, err := cl.Client.ListFlights(ctx, &flight.Criteria{Expression: raw})
		for err == nil {
			_, err = stream.Recv()
		}
		return err
	case 5:
		stream, err := cl.Client.DoExchange(ctx)
		if err == nil {
			err = stream.Send(&flight.FlightData{FlightDescriptor: desc, DataHeader: raw, DataBody: raw})
		}
		for err == nil {
			_, err = stream.Recv()
		}
		return err
	case 6:
		stream, err := cl.Client.Handshake(ctx)
		if err == nil {
			err = stream.Send(&flight.HandshakeRequest{Payload: raw})
		}
		for err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	stream, err := cl.Client.DoAction(ctx, &flight.Action{Type: actionTypes[call-calls], Body: raw})
	for err == nil {
		_, err = stream.Recv()
	}
	return err
}

// put uploads messages and reads the answers to their end; nil and EOF are success.
func put(ctx context.Context, cl *client.Client, messages ...*flight.FlightData) error {
	stream, err := cl.Client.DoPut(ctx)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if stream.Send(m) != nil {
			break // Recv has the reason
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}
