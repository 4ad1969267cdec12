package flightsql

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"

	"hyprstream/errs"
)

// GetFlightInfoStatement prepares a statement and describes its rows. Only one
// that changes something is run here.
func (s *service) GetFlightInfoStatement(ctx context.Context, cmd flightsql.StatementQuery, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	tx := string(cmd.GetTransactionId())
	p, err := s.plan(ctx, cmd.GetQuery(), tx)
	if err != nil {
		return nil, err
	}
	defer p.release()
	if err := p.noParameters(); err != nil {
		return nil, err
	}
	info, err := s.describe(ctx, p, tx, nil, desc)
	return info, err
}

func (p *plan) noParameters() error {
	if n := p.params.NumFields(); n > 0 {
		return errs.New(errs.InvalidArgument, "GetFlightInfo", "the statement has %d parameters: prepare it and bind them", n)
	}
	return nil
}

// GetSchemaStatement prepares a statement and gives the schema of its rows.
func (s *service) GetSchemaStatement(ctx context.Context, cmd flightsql.StatementQuery, _ *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	p, err := s.plan(ctx, cmd.GetQuery(), string(cmd.GetTransactionId()))
	if err != nil {
		return nil, err
	}
	defer p.release()
	if p.schema == nil {
		return nil, errSchemaUnknown()
	}
	return &flight.SchemaResult{Schema: flight.SerializeSchema(p.schema, s.mem)}, nil
}

func errSchemaUnknown() error {
	return errs.New(errs.InvalidArgument, "GetSchema",
		"the result's types depend on parameters: prepare the statement and bind them first")
}

// plan prepares sql for the calling client.
func (s *service) plan(ctx context.Context, sql, tx string) (*plan, error) {
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	n, err := sess.txNeed(tx)
	if err != nil {
		return nil, err
	}
	return newPlan(ctx, sess, sql, n)
}

// txNeed checks a transaction named by the client.
func (s *session) txNeed(tx string) (need, error) {
	if tx == "" {
		return needAny, nil
	}
	return s.needFor("", tx)
}

// describe issues a ticket for the statement, having run it when it changes
// something: clients such as the Python cursor start the fetch in the background
// and go on with the next statement, which may already need the change.
func (s *service) describe(ctx context.Context, p *plan, tx string, params arrow.RecordBatch, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	t := &ticket{plan: p.retain(), tx: tx, schema: p.schema}
	if params != nil {
		params.Retain()
		t.params = params
	}
	var err error
	if p.lazy {
		t.schema, err = p.schemaWith(ctx, params)
	} else {
		t.ran = true
		t.rows, _, err = p.run(ctx, tx, params)
		if t.schema == nil && len(t.rows) > 0 {
			t.schema = t.rows[0].Schema()
		}
	}
	if err != nil {
		t.release()
		return nil, err
	}
	return s.issue(desc, t)
}

// stream runs the ticket's statement and sends its rows. It consumes the ticket.
func (s *service) stream(id string, t *ticket, out flight.FlightService_DoGetServer) error {
	defer t.release()
	if t.ran {
		schema := t.schema
		if schema == nil {
			schema = arrow.NewSchema(nil, nil)
		}
		return sendBatches(schema, t.rows, out)
	}
	ctx, cancel := t.plan.session.bind(out.Context())
	defer cancel(nil)
	s.running.add(id, cancel)
	defer s.running.remove(id)
	if t.job != nil {
		return t.job.pump.send(ctx, t.schema, out) // release ends what this leaves
	}

	n, err := t.plan.need(t.tx)
	if err != nil {
		return err
	}
	l, err := t.plan.session.acquire(ctx, n)
	if err != nil {
		return err
	}
	l.setCancel(cancel)
	return sendStream(ctx, cancel, source{
		lease: l, schema: t.schema,
		open: func() (array.RecordReader, func(), error) { return t.open(ctx, l) },
	}, out)
}

// open starts the ticket's statement.
func (t *ticket) open(ctx context.Context, l *lease) (array.RecordReader, func(), error) {
	res, free, err := t.plan.execute(ctx, l, t.params)
	if err != nil {
		return nil, nil, err
	}
	finish := func() {
		res.Close()
		free()
	}
	if t.schema != nil && !t.schema.Equal(res.Schema()) {
		finish()
		return nil, nil, errs.New(errs.InvalidArgument, "DoGet",
			"the result's columns changed since the statement was prepared: prepare it again")
	}
	return res, finish, nil
}

// DoPutCommandStatementUpdate runs one or more statements for their effect.
func (s *service) DoPutCommandStatementUpdate(ctx context.Context, cmd flightsql.StatementUpdate) (int64, error) {
	n, err := s.update(ctx, cmd.GetQuery(), string(cmd.GetTransactionId()))
	return n, err
}

func (s *service) update(ctx context.Context, sql, tx string) (int64, error) {
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return 0, err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	n, err := sess.needFor(sql, tx)
	if err != nil {
		return 0, err
	}
	l, err := sess.acquire(ctx, n)
	if err != nil {
		return 0, err
	}
	defer l.release()
	count, err := l.sql.Exec(ctx, sql)
	return count, causeOf(ctx, err)
}
