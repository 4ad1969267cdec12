package flightsql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"google.golang.org/grpc/codes"

	"hyprstream/flightsql"
)

// pollToEnd asks until the statement is over and returns all answers.
func pollToEnd(t *testing.T, cl *client.Client, sql string) (all []*flight.PollInfo) {
	t.Helper()
	var again *flight.FlightDescriptor
	for range 100 {
		info, err := cl.ExecutePoll(t.Context(), sql, again)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, info)
		if again = info.GetFlightDescriptor(); again == nil {
			return all
		}
		if len(info.GetInfo().GetEndpoint()) > 0 {
			t.Fatal("an endpoint before the rows are there")
		}
	}
	t.Fatal("it never ends")
	return nil
}

func TestPoll(t *testing.T) {
	srv, addr := start(t, flightsql.Options{})
	cl := dial(t, addr)
	for sql, want := range map[string]string{
		"SELECT 42 AS x":                     "42",
		"SELECT 1 WHERE false":               "",
		"CREATE TABLE made AS SELECT 7 AS x": "",
		"SELECT count(*) FROM range(300000000) t(a) WHERE a % 7 = 3": "42857143",
	} {
		all := pollToEnd(t, cl, sql)
		last := all[len(all)-1]
		if last.GetProgress() != 1 || last.GetExpirationTime().AsTime().Before(time.Now()) {
			t.Errorf("%s: %v", sql, last)
		}
		equal(t, fetch(t, cl, last.GetInfo()), want)
	}
	equal(t, query(t, cl, "FROM made"), "7")
	// More rows than the server keeps: they wait for their client.
	all := pollToEnd(t, cl, "SELECT repeat('x', 1000) AS s FROM range(200000)")
	if rows := strings.Count(fetch(t, cl, all[len(all)-1].GetInfo()), "\n") + 1; rows != 200000 {
		t.Errorf("%d rows", rows)
	}
	st, err := cl.Prepare(t.Context(), "SELECT ? + 1")
	if err != nil {
		t.Fatal(err)
	}
	st.SetParameters(record(t, `[{"x": 1}, {"x": 2}]`, arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int32}))
	info, err := st.ExecutePoll(t.Context(), nil)
	for err == nil && info.GetFlightDescriptor() != nil {
		info, err = st.ExecutePoll(t.Context(), info.GetFlightDescriptor())
	}
	if err != nil {
		t.Fatal(err)
	}
	equal(t, fetch(t, cl, info.GetInfo()), "2\n3")
	if err := st.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, srv)
}

func TestPollTellsErrors(t *testing.T) {
	srv, addr := start(t, flightsql.Options{})
	cl := dial(t, addr)
	_, err := cl.ExecutePoll(t.Context(), "SELEKT", nil)
	wantCode(t, err, codes.InvalidArgument, "SYNTAX_ERROR")
	_, err = cl.ExecutePoll(t.Context(), "SELECT ?", nil)
	wantCode(t, err, codes.InvalidArgument, "INVALID_ARGUMENT")
	info, err := cl.ExecutePoll(t.Context(), "SELECT error('late') FROM range(100000) t(i) WHERE i > 99990", nil)
	for range 50 {
		if err != nil {
			break
		}
		info, err = cl.ExecutePoll(t.Context(), "", info.GetFlightDescriptor())
	}
	wantCode(t, err, codes.InvalidArgument, "INVALID_ARGUMENT")
	_, err = cl.ExecutePoll(t.Context(), "", &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: []byte("hyprstream-poll:nonsense")})
	wantCode(t, err, codes.NotFound, "NOT_FOUND")

	// It can be cancelled before it has an endpoint.
	if info, err = cl.ExecutePoll(t.Context(), endless, nil); err != nil {
		t.Fatal(err)
	}
	res, err := cl.CancelFlightInfo(t.Context(), &flight.CancelFlightInfoRequest{Info: info.GetInfo()})
	if err != nil || res.Status != flight.CancelStatusCancelled {
		t.Fatal(res, err)
	}
	_, err = cl.ExecutePoll(t.Context(), "", info.GetFlightDescriptor())
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
	// One that nobody asks for any more ends with its connection.
	if _, err = cl.ExecutePoll(t.Context(), endless, nil); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	settle(t, srv)
}

func TestRenewFlightEndpoint(t *testing.T) {
	srv, addr := start(t, flightsql.Options{TTL: 400 * time.Millisecond})
	cl := dial(t, addr)
	info, err := cl.Execute(t.Context(), "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	for range 6 { // three times as long as it would live
		<-time.After(200 * time.Millisecond)
		ep, err := cl.RenewFlightEndpoint(t.Context(), &flight.RenewFlightEndpointRequest{Endpoint: info.Endpoint[0]})
		if err != nil || ep.GetExpirationTime().AsTime().Before(time.Now()) {
			t.Fatal(ep, err)
		}
	}
	equal(t, fetch(t, cl, info), "1")
	_, err = cl.RenewFlightEndpoint(t.Context(), &flight.RenewFlightEndpointRequest{Endpoint: info.Endpoint[0]})
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
	_, err = cl.RenewFlightEndpoint(t.Context(), &flight.RenewFlightEndpointRequest{Endpoint: &flight.FlightEndpoint{Ticket: &flight.Ticket{Ticket: []byte("x")}}})
	wantCode(t, err, codes.InvalidArgument, "INVALID_ARGUMENT")
	settle(t, srv)
}
