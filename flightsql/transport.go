package flightsql

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"hyprstream/errs"
)

// transport is arrow-go's Flight SQL dispatcher but for DoGet, which there goes
// through a channel of batches: a client that goes away leaves the batch that
// was being written unreleased (and, in older versions, the channel undrained).
// Here the handler pulls, sends and frees each batch itself.
type transport struct {
	flight.FlightServer
	service *service
}

// DoGet sends the rows a ticket stands for.
func (t *transport) DoGet(tkt *flight.Ticket, out flight.FlightService_DoGetServer) error {
	cmd, err := ticketCommand(tkt)
	if err != nil {
		return err
	}
	switch cmd := cmd.(type) {
	case *pb.TicketStatementQuery:
		id := string(cmd.GetStatementHandle())
		found, ok := t.service.tickets.take(id)
		if !ok {
			return errs.New(errs.NotFound, "DoGet", "no such ticket: it was used already, was cancelled or has expired; ask for the FlightInfo again")
		}
		return t.service.stream(id, found, out)
	case *pb.CommandPreparedStatementQuery:
		return t.service.streamPrepared(cmd, out)
	}
	schema, batch, err := t.service.metadata(out.Context(), cmd)
	if err != nil {
		return err
	}
	defer batch.Release()
	return sendBatches(schema, []arrow.RecordBatch{batch}, out)
}

// ticketCommand parses client bytes; anything that is not a command is refused.
func ticketCommand(tkt *flight.Ticket) (proto.Message, error) {
	var any anypb.Any
	err := proto.Unmarshal(tkt.GetTicket(), &any)
	if err == nil {
		var cmd proto.Message
		if cmd, err = any.UnmarshalNew(); err == nil {
			return cmd, nil
		}
	}
	return nil, errs.Wrap(err, errs.InvalidArgument, "DoGet", "the ticket is not one of this server's")
}

// streamPrepared serves clients that make the ticket of a prepared statement
// themselves.
func (s *service) streamPrepared(cmd *pb.CommandPreparedStatementQuery, out flight.FlightService_DoGetServer) error {
	p, err := s.findPrepared(cmd.GetPreparedStatementHandle())
	if err != nil {
		return err
	}
	t := &ticket{plan: p.plan.retain(), params: p.bound()}
	if !p.plan.lazy {
		t.ran, t.schema = true, p.plan.schema
		if t.rows, _, err = p.plan.run(out.Context(), "", t.params); err != nil {
			t.release()
			return err
		}
	}
	return s.stream(newID(), t, out)
}

// actions are those DoAction answers; arrow-go's list knows of fewer.
var actions = []string{
	flight.CancelFlightInfoActionType, flightsql.CancelQueryActionType, flight.RenewFlightEndpointActionType,
	flightsql.CreatePreparedStatementActionType, flightsql.ClosePreparedStatementActionType,
	flightsql.BeginTransactionActionType, flightsql.EndTransactionActionType,
	flight.SetSessionOptionsActionType, flight.GetSessionOptionsActionType, flight.CloseSessionActionType,
}

// ListActions names the actions.
func (t *transport) ListActions(_ *flight.Empty, out flight.FlightService_ListActionsServer) error {
	for _, name := range actions {
		if err := out.Send(&flight.ActionType{Type: name}); err != nil {
			return err
		}
	}
	return nil
}
