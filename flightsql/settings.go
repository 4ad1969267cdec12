package flightsql

import (
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"

	"hyprstream/errs"
)

// Session options with a meaning of their own; every other name is a setting, as
// SET has it.
const (
	optCatalog = "catalog"       // where names without a catalog are looked up
	optSchema  = "schema"        // and those without a schema
	optTimeout = "query_timeout" // seconds that a statement may take, its rows' way included; 0: no limit
)

// SetSessionOptions sets each option it can and says of the others what is wrong.
func (s *service) SetSessionOptions(ctx context.Context, req *flight.SetSessionOptionsRequest) (*flight.SetSessionOptionsResult, error) {
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	res := &flight.SetSessionOptionsResult{Errors: map[string]*flight.SetSessionOptionsResultError{}}
	refuse := func(name string, err error) error {
		why := flight.SetSessionOptionsResultErrorInvalidValue
		switch errs.CodeOf(err) {
		case errs.Cancelled, errs.Timeout, errs.QueueFull:
			return err
		case errs.NotFound:
			if name != optCatalog && name != optSchema {
				why = flight.SetSessionOptionsResultErrorInvalidName
			}
		case errs.PermissionDenied:
			why = flight.SetSessionOptionsResultErrorUnspecified
		}
		res.Errors[name] = &flight.SetSessionOptionsResultError{Value: why}
		return nil
	}
	options := req.GetSessionOptions()
	_, catalog := options[optCatalog]
	_, schema := options[optSchema]
	if catalog || schema { // together: a schema is looked for in its catalog
		if err := sess.setPath(ctx, options[optCatalog], options[optSchema]); err != nil {
			for _, name := range []string{optCatalog, optSchema} {
				if options[name] == nil {
					continue
				}
				if err := refuse(name, err); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		switch name {
		case optCatalog, optSchema:
			continue
		case optTimeout:
			err = sess.setTimeout(options[name])
		default:
			err = sess.set(ctx, name, options[name])
		}
		if err == nil {
			continue
		}
		if err := refuse(name, err); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// setPath makes catalog and schema the session's current ones; a nil one stays.
func (s *session) setPath(ctx context.Context, catalog, schema *flight.SessionOptionValue) error {
	c, sc := catalog.GetStringValue(), schema.GetStringValue()
	if catalog != nil && c == "" || schema != nil && sc == "" {
		return errs.New(errs.InvalidArgument, "session", "catalog and schema are names, and cannot be unset")
	}
	s.mu.Lock()
	if catalog == nil {
		c = s.catalog
	}
	s.mu.Unlock()
	target := quote(sc)
	switch {
	case c != "" && sc != "":
		target = quote(c) + "." + quote(sc)
	case c != "":
		target = quote(c)
	}
	if err := s.exec(ctx, "USE "+target); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catalog = c
	return nil
}

// exec runs a statement that leaves something in the session.
func (s *session) exec(ctx context.Context, sql string) error {
	l, err := s.acquire(ctx, needOwn)
	if err != nil {
		return err
	}
	defer l.release()
	if _, err := l.sql.Exec(ctx, sql); err != nil {
		return causeOf(ctx, err)
	}
	s.setLocal()
	return nil
}

// setTimeout takes seconds as whatever type a client has numbers in.
func (s *session) setTimeout(v *flight.SessionOptionValue) error {
	var seconds float64
	switch v := v.GetOptionValue().(type) {
	case nil:
	case *pb.SessionOptionValue_Int64Value:
		seconds = float64(v.Int64Value)
	case *pb.SessionOptionValue_DoubleValue:
		seconds = v.DoubleValue
	case *pb.SessionOptionValue_StringValue:
		var err error
		if seconds, err = strconv.ParseFloat(v.StringValue, 64); err != nil {
			return errs.New(errs.InvalidArgument, "session", "query_timeout is a number of seconds, not %q", v.StringValue)
		}
	default:
		return errs.New(errs.InvalidArgument, "session", "query_timeout is a number of seconds")
	}
	if !(seconds >= 0 && seconds < math.MaxInt32) {
		return errs.New(errs.InvalidArgument, "session", "query_timeout is a number of seconds from 0 on, not %v", seconds)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timeout = time.Duration(seconds * float64(time.Second))
	return nil
}

// set changes a setting; an empty value resets it.
func (s *session) set(ctx context.Context, name string, v *flight.SessionOptionValue) error {
	sql, value := "RESET "+quote(name), any(nil)
	if lit, of, ok := literal(v); ok {
		sql, value = "SET "+quote(name)+" = "+lit, of
	}
	if err := s.exec(ctx, sql); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if value == nil {
		delete(s.settings, name)
		return nil
	}
	if s.settings == nil {
		s.settings = map[string]any{}
	}
	s.settings[name] = value
	return nil
}

// literal is an option's value in SQL and in Go; ok is false for an empty one.
func literal(v *flight.SessionOptionValue) (sql string, value any, ok bool) {
	switch v := v.GetOptionValue().(type) {
	case *pb.SessionOptionValue_StringValue:
		return quoteText(v.StringValue), v.StringValue, true
	case *pb.SessionOptionValue_BoolValue:
		return strconv.FormatBool(v.BoolValue), v.BoolValue, true
	case *pb.SessionOptionValue_Int64Value:
		return strconv.FormatInt(v.Int64Value, 10), v.Int64Value, true
	case *pb.SessionOptionValue_DoubleValue:
		return strconv.FormatFloat(v.DoubleValue, 'g', -1, 64), v.DoubleValue, true
	case *pb.SessionOptionValue_StringListValue_:
		var items []string
		for _, e := range v.StringListValue.GetValues() {
			items = append(items, quoteText(e))
		}
		return "[" + strings.Join(items, ", ") + "]", v.StringListValue.GetValues(), true
	}
	return "", nil, false
}

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// GetSessionOptions gives the current catalog and schema, the timeout, and the
// settings that were set as options.
func (s *service) GetSessionOptions(ctx context.Context, _ *flight.GetSessionOptionsRequest) (*flight.GetSessionOptionsResult, error) {
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := sess.bind(ctx)
	defer cancel(nil)
	catalog, schema, err := sess.path(ctx)
	if err != nil {
		return nil, err
	}
	sess.mu.Lock()
	set := maps.Clone(sess.settings)
	timeout := sess.timeout
	sess.mu.Unlock()
	if set == nil {
		set = map[string]any{}
	}
	set[optCatalog], set[optSchema] = catalog, schema
	set[optTimeout] = timeout.Seconds()
	values, err := flight.NewSessionOptionValues(set)
	if err != nil {
		return nil, errs.Wrap(err, errs.Internal, "GetSessionOptions", "an option cannot be sent")
	}
	return &flight.GetSessionOptionsResult{SessionOptions: values}, nil
}

// path is where names are looked up, however that was set.
func (s *session) path(ctx context.Context) (catalog, schema string, err error) {
	l, err := s.acquire(ctx, needAny) // a sibling has the same while the session has no state
	if err != nil {
		return "", "", err
	}
	defer l.release()
	res, err := l.sql.Query(ctx, "SELECT current_database(), current_schema()")
	if err != nil {
		return "", "", causeOf(ctx, err)
	}
	defer res.Close()
	for res.Next() {
		rec := res.RecordBatch()
		catalog = strings.Clone(rec.Column(0).(*array.String).Value(0))
		schema = strings.Clone(rec.Column(1).(*array.String).Value(0))
	}
	return catalog, schema, causeOf(ctx, res.Err())
}

// CloseSession ends the client's session, with its transaction and temporary
// tables. A later call on the connection begins a new one.
func (s *service) CloseSession(ctx context.Context, _ *flight.CloseSessionRequest) (*flight.CloseSessionResult, error) {
	sess, err := s.sessions.of(ctx)
	if err != nil {
		return nil, err
	}
	s.sessions.closeOf(sess)
	return &flight.CloseSessionResult{Status: flight.CloseSessionResultClosed}, nil
}
