package flightsql

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"hyprstream/database"
	"hyprstream/errs"
)

const (
	// pollWait is how long a poll waits for progress before it answers that there is none.
	pollWait = time.Second
	// pollEvery is how often it looks.
	pollEvery = 20 * time.Millisecond
)

// pollPrefix begins the command of a descriptor that asks again.
var pollPrefix = []byte("hyprstream-poll:")

// job is a statement that runs while its client polls. Its rows wait in the pump,
// up to spillBytes; DoGet sends them.
type job struct {
	pump   *pump
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when the producer has ended

	mu     sync.Mutex
	sql    *database.Session // while the statement has it
	latest *database.Running // what it runs, or ran last
}

// runsIn notes where the statement runs; nil: nowhere any more.
func (j *job) runsIn(sql *database.Session) {
	j.progress() // the last word of the session it leaves
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sql = sql
}

func (j *job) progress() database.Progress {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.sql != nil {
		if now := j.sql.Running(); now != nil {
			j.latest = now
		}
	}
	return j.latest.Progress()
}

// stop ends the statement and frees its rows.
func (j *job) stop() {
	j.cancel(errs.New(errs.Cancelled, "PollFlightInfo", "the statement was cancelled by its client, or nobody asked for it any more"))
	<-j.ended
	j.pump.drain()
}

// PollFlightInfoStatement starts a statement that its client will ask after.
func (s *service) PollFlightInfoStatement(ctx context.Context, cmd flightsql.StatementQuery, desc *flight.FlightDescriptor) (*flight.PollInfo, error) {
	tx := string(cmd.GetTransactionId())
	p, err := s.plan(ctx, cmd.GetQuery(), tx)
	if err != nil {
		return nil, err
	}
	defer p.release()
	if err := p.noParameters(); err != nil {
		return nil, err
	}
	return s.startPoll(ctx, p, tx, nil, desc)
}

// PollFlightInfoPreparedStatement does it for a prepared statement and the parameters bound to it.
func (s *service) PollFlightInfoPreparedStatement(ctx context.Context, cmd flightsql.PreparedStatementQuery, desc *flight.FlightDescriptor) (*flight.PollInfo, error) {
	p, err := s.findPrepared(cmd.GetPreparedStatementHandle())
	if err != nil {
		return nil, err
	}
	params := p.bound()
	if params != nil {
		defer params.Release()
	}
	return s.startPoll(ctx, p.plan, "", params, desc)
}

// PollFlightInfo tells how far a statement is.
func (s *service) PollFlightInfo(ctx context.Context, desc *flight.FlightDescriptor) (*flight.PollInfo, error) {
	id, ok := bytes.CutPrefix(desc.GetCmd(), pollPrefix)
	if !ok {
		return nil, errs.New(errs.Unsupported, "PollFlightInfo", "only statements can be polled: metadata is there at once, ask for its FlightInfo")
	}
	t, ok := s.tickets.get(string(id))
	if !ok || t.job == nil {
		return nil, errs.New(errs.NotFound, "PollFlightInfo", "no such statement: its rows were fetched, it was cancelled or nobody has asked for it for too long")
	}
	return s.poll(ctx, string(id), t, desc)
}

func (s *service) startPoll(ctx context.Context, p *plan, tx string, params arrow.RecordBatch, desc *flight.FlightDescriptor) (*flight.PollInfo, error) {
	schema, err := p.schemaWith(ctx, params)
	if err != nil {
		return nil, err
	}
	n, err := p.need(tx)
	if err != nil {
		return nil, err
	}
	t := &ticket{plan: p.retain(), tx: tx, schema: schema}
	if params != nil {
		params.Retain()
		t.params = params
	}
	t.job = t.start(context.WithoutCancel(ctx), n)
	return s.poll(ctx, s.tickets.put(t), t, desc)
}

// start runs the ticket's statement in the background. The job's stop ends it.
func (t *ticket) start(ctx context.Context, n need) *job {
	ctx, cancel := t.plan.session.bind(ctx)
	j := &job{pump: newPump(spillBytes), cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(j.ended)
		defer cancel(nil)
		l, err := t.plan.session.acquire(ctx, n)
		if err != nil {
			j.pump.fail(causeOf(ctx, err))
			return
		}
		l.setCancel(cancel)
		j.pump.produce(ctx, source{lease: l, schema: t.schema, open: func() (array.RecordReader, func(), error) {
			j.runsIn(l.sql)
			rows, finish, err := t.open(ctx, l)
			if err != nil {
				j.runsIn(nil)
				return nil, nil, err
			}
			return rows, func() {
				j.runsIn(nil)
				finish()
			}, nil
		}})
	}()
	return j
}

// poll answers when there is something new to say, and at the latest after pollWait.
func (s *service) poll(ctx context.Context, id string, t *ticket, desc *flight.FlightDescriptor) (*flight.PollInfo, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	late := time.After(pollWait)
	if desc.GetCmd() != nil && !bytes.HasPrefix(desc.GetCmd(), pollPrefix) {
		late = time.After(pollEvery) // the first answer says that the statement has begun
	}
	was := t.job.progress()
	for {
		ready, err := t.job.pump.state()
		if err != nil {
			s.tickets.remove(id)
			return nil, err
		}
		now := t.job.progress()
		if ready || now.Rows > was.Rows {
			return s.pollInfo(id, t, desc, ready, now)
		}
		select {
		case <-tick.C:
		case <-late:
			return s.pollInfo(id, t, desc, ready, now)
		case <-ctx.Done():
			return nil, causeOf(ctx, ctx.Err())
		}
	}
}

// pollInfo has no endpoint before the rows are there, or as many of them as the server
// keeps: a client that is told of one reads it, and asks for progress no more.
func (s *service) pollInfo(id string, t *ticket, desc *flight.FlightDescriptor, ready bool, now database.Progress) (*flight.PollInfo, error) {
	raw, err := flightsql.CreateStatementQueryTicket([]byte(id))
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "PollFlightInfo", "a ticket could not be written")
	}
	info := s.flightInfo(desc, raw, t.schema)
	if info.AppMetadata, err = json.Marshal(struct {
		Handle string `json:"handle"` // what CancelFlightInfo finds the statement by
		database.Progress
	}{id, now}); err != nil {
		return nil, errs.Wrap(err, errs.Internal, "PollFlightInfo", "the progress could not be written")
	}
	out := &flight.PollInfo{Info: info, ExpirationTime: timestamppb.New(time.Now().Add(s.opt.TTL))}
	if ready {
		out.Progress = proto.Float64(1)
		return out, nil
	}
	info.Endpoint = nil
	out.FlightDescriptor = &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: append(bytes.Clone(pollPrefix), id...)}
	if now.Fraction > 0 || now.RowsExpected > 0 {
		out.Progress = proto.Float64(min(now.Fraction, 1))
	}
	return out, nil
}
