package flightsql

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql/schema_ref"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"

	"hyprstream/errs"
)

// SetSessionOptions knows "catalog" and "schema": where unqualified names are
// looked up. Other settings are SQL (SET name = value).
func (s *service) SetSessionOptions(ctx context.Context, req *flight.SetSessionOptionsRequest) (*flight.SetSessionOptionsResult, error) {
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	res := &flight.SetSessionOptionsResult{Errors: map[string]*flight.SetSessionOptionsResultError{}}
	refuse := func(name string, why pb.SetSessionOptionsResult_ErrorValue) {
		res.Errors[name] = &flight.SetSessionOptionsResultError{Value: why}
	}
	sess.mu.Lock()
	catalog, schema := sess.catalog, sess.schema
	sess.mu.Unlock()
	var changed []string
	for name, value := range req.GetSessionOptions() {
		target := map[string]*string{"catalog": &catalog, "schema": &schema}[name]
		switch {
		case target == nil:
			refuse(name, flight.SetSessionOptionsResultErrorInvalidName)
		case value.GetStringValue() == "":
			refuse(name, flight.SetSessionOptionsResultErrorInvalidValue)
		default:
			*target = value.GetStringValue()
			changed = append(changed, name)
		}
	}
	if len(changed) == 0 {
		return res, nil
	}
	if err := sess.use(ctx, catalog, schema); err != nil {
		if errs.CodeOf(err) == errs.Cancelled {
			return nil, err
		}
		for _, name := range changed { // there is no such catalog or schema
			refuse(name, flight.SetSessionOptionsResultErrorInvalidValue)
		}
	}
	return res, nil
}

// use makes catalog and schema the session's current ones; "" leaves the
// default.
func (s *session) use(ctx context.Context, catalog, schema string) error {
	l, err := s.acquire(ctx, needOwn)
	if err != nil {
		return err
	}
	defer l.release()
	target := quote(schema)
	switch {
	case catalog != "" && schema != "":
		target = quote(catalog) + "." + quote(schema)
	case catalog != "":
		target = quote(catalog)
	}
	if _, err := l.sql.Exec(ctx, "USE "+target); err != nil {
		return causeOf(ctx, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catalog, s.schema, s.local = catalog, schema, true
	return nil
}

// GetSessionOptions gives the catalog and schema the session is in, whether an
// option, a statement or nobody chose them.
func (s *service) GetSessionOptions(ctx context.Context, _ *flight.GetSessionOptionsRequest) (*flight.GetSessionOptionsResult, error) {
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	l, err := sess.acquire(ctx, needAny)
	if err != nil {
		return nil, err
	}
	defer l.release()
	rec, err := lookup{ctx: ctx, sql: l.sql, mem: s.mem}.query(schema_ref.DBSchemas, "SELECT current_database(), current_schema()")
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	defer rec.Release()
	values, err := flight.NewSessionOptionValues(map[string]any{"catalog": text(rec, 0, 0), "schema": text(rec, 1, 0)})
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "GetSessionOptions", "an option cannot be sent")
	}
	return &flight.GetSessionOptionsResult{SessionOptions: values}, nil
}

// CloseSession ends the client's session, with its transaction and temporary
// tables. A later call on the connection begins a new one.
func (s *service) CloseSession(ctx context.Context, _ *flight.CloseSessionRequest) (*flight.CloseSessionResult, error) {
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return nil, err
	}
	s.sessions.closeOf(ctx, sess)
	return &flight.CloseSessionResult{Status: flight.CloseSessionResultClosed}, nil
}
