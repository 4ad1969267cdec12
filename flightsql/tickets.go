package flightsql

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"hyprstream/errs"
)

// ticket is a statement that GetFlightInfo has described and DoGet will run or,
// where it had to run at once, whose rows wait to be fetched.
type ticket struct {
	plan   *plan // retained
	tx     string
	params arrow.RecordBatch // retained; nil for none
	schema *arrow.Schema     // promised in the FlightInfo; nil when it was not known
	job    *job              // of a statement that is polled, which runs already
	ran    bool
	rows   []arrow.RecordBatch // retained; of a statement that ran
}

func (t *ticket) release() {
	if t.job != nil {
		t.job.stop()
	}
	for _, rec := range t.rows {
		rec.Release()
	}
	if t.params != nil {
		t.params.Release()
	}
	t.plan.release()
}

// running is the set of streams that CancelFlightInfo can find.
type running struct {
	mu   sync.Mutex
	byID map[string]context.CancelCauseFunc
}

func (r *running) add(id string, cancel context.CancelCauseFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[id] = cancel
}

func (r *running) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byID, id)
}

func (r *running) cancel(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	cancel, ok := r.byID[id]
	if ok {
		cancel(errs.New(errs.Cancelled, "CancelFlightInfo", "the statement was cancelled by its client"))
	}
	return ok
}

// maxEcho bounds the question that an answer repeats: clients refuse answers of
// more than 4 MB, and a statement may be longer.
const maxEcho = 1 << 20

// flightInfo describes a result whose rows the given ticket fetches. The
// endpoint names no location: the rows are where the question was asked.
func (s *service) flightInfo(desc *flight.FlightDescriptor, raw []byte, schema *arrow.Schema) *flight.FlightInfo {
	if len(desc.GetCmd()) > maxEcho {
		desc = nil
	}
	info := &flight.FlightInfo{
		FlightDescriptor: desc,
		Endpoint:         []*flight.FlightEndpoint{{Ticket: &flight.Ticket{Ticket: raw}}},
		TotalRecords:     -1,
		TotalBytes:       -1,
	}
	if schema != nil {
		info.Schema = flight.SerializeSchema(schema, s.mem)
	}
	return info
}

// issue stores t and describes it.
func (s *service) issue(desc *flight.FlightDescriptor, t *ticket) (*flight.FlightInfo, error) {
	raw, err := flightsql.CreateStatementQueryTicket([]byte(s.tickets.put(t)))
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "flightsql.issue", "a ticket could not be written")
	}
	return s.flightInfo(desc, raw, t.schema), nil
}

// CancelFlightInfo forgets a ticket that has not been used, or stops the
// stream that it started.
func (s *service) CancelFlightInfo(_ context.Context, req *flight.CancelFlightInfoRequest) (flight.CancelFlightInfoResult, error) {
	if id := polled(req.GetInfo()); id != "" {
		if t, ok := s.tickets.take(id); ok {
			t.release()
			return cancelled(flight.CancelStatusCancelled), nil
		}
	}
	for _, ep := range req.GetInfo().GetEndpoint() {
		cmd, err := flightsql.GetStatementQueryTicket(ep.GetTicket())
		if err != nil {
			return cancelled(flight.CancelStatusNotCancellable), nil // metadata: answered at once
		}
		id := string(cmd.GetStatementHandle())
		if t, ok := s.tickets.take(id); ok {
			t.release()
			return cancelled(flight.CancelStatusCancelled), nil
		}
		if s.running.cancel(id) {
			return cancelled(flight.CancelStatusCancelling), nil
		}
	}
	return flight.CancelFlightInfoResult{}, errs.New(errs.NotFound, "CancelFlightInfo",
		"no such statement: it has ended, was cancelled already or its ticket has expired")
}

// polled is the handle of a statement that is polled, which has no endpoint yet.
func polled(info *flight.FlightInfo) string {
	var meta struct {
		Handle string `json:"handle"`
	}
	if json.Unmarshal(info.GetAppMetadata(), &meta) != nil {
		return ""
	}
	return meta.Handle
}

// RenewFlightEndpoint keeps a ticket for another time to live. Metadata's tickets do
// not expire.
func (s *service) RenewFlightEndpoint(_ context.Context, req *flight.RenewFlightEndpointRequest) (*flight.FlightEndpoint, error) {
	ep := req.GetEndpoint()
	if _, err := ticketCommand(ep.GetTicket()); err != nil {
		return nil, err
	}
	cmd, err := flightsql.GetStatementQueryTicket(ep.GetTicket())
	if err != nil {
		return ep, nil
	}
	if _, ok := s.tickets.get(string(cmd.GetStatementHandle())); !ok {
		return nil, errs.New(errs.NotFound, "RenewFlightEndpoint", "no such ticket: it was used already, was cancelled or has expired; ask for the FlightInfo again")
	}
	renewed := proto.Clone(ep).(*flight.FlightEndpoint)
	renewed.ExpirationTime = timestamppb.New(time.Now().Add(s.opt.TTL))
	return renewed, nil
}

func cancelled(status flight.CancelStatus) flight.CancelFlightInfoResult {
	return flight.CancelFlightInfoResult{Status: status}
}
