package flightsql_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"hyprstream/flightsql"
)

// Two connections have temporary tables and settings of their own, and a
// connection's go with it.
func TestSessionPerConnection(t *testing.T) {
	addr := serve(t, flightsql.Options{})
	a, b := dial(t, addr), dial(t, addr)
	for i, cl := range []*client.Client{a, b} {
		update(t, cl, "CREATE TEMP TABLE mine (x INTEGER)")
		update(t, cl, []string{"INSERT INTO mine VALUES (1)", "INSERT INTO mine VALUES (2)"}[i])
	}
	equal(t, query(t, a, "SELECT x FROM mine"), "1")
	equal(t, query(t, b, "SELECT x FROM mine"), "2")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := dial(t, addr).Execute(t.Context(), "SELECT x FROM mine")
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
}

// With the session cookie a client keeps its session on any connection.
func TestCookieJoinsSession(t *testing.T) {
	addr := serve(t, flightsql.Options{})
	jar := flight.NewCookieMiddleware()
	a := dial(t, addr, flight.CreateClientMiddleware(jar))
	query(t, a, "CREATE TEMP TABLE mine AS SELECT 42 AS x")
	b := dial(t, addr, flight.CreateClientMiddleware(jar))
	equal(t, query(t, b, "SELECT x FROM mine"), "42")
	if err := a.Close(); err != nil { // the session goes on with b
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	equal(t, query(t, b, "SELECT x FROM mine"), "42")
	// A cookie nobody was given joins nothing.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "cookie", "arrow_flight_session_id=0123456789abcdef")
	_, err := dial(t, addr).Execute(ctx, "SELECT x FROM mine")
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
}

// A statement beside an open result must not wait for it.
func TestTwoResultsOfOneConnection(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	info, err := cl.Execute(t.Context(), "SELECT repeat('x', 1000) FROM range(200000)")
	if err != nil {
		t.Fatal(err)
	}
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	if !rd.Next() {
		t.Fatal(rd.Err())
	}
	start := time.Now()
	equal(t, query(t, cl, "SELECT 1"), "1")
	tables, err := cl.GetTables(t.Context(), &client.GetTablesOpts{})
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, cl, tables)
	if d := time.Since(start); d > 2*time.Second {
		t.Fatalf("waited %v", d)
	}
	rows := rd.RecordBatch().NumRows()
	for rd.Next() {
		rows += rd.RecordBatch().NumRows()
	}
	if rd.Err() != nil || rows != 200000 {
		t.Fatalf("%d rows, %v", rows, rd.Err())
	}
}

// In a session with state of its own, a second statement waits until the first
// result has been produced, which then goes to memory rather than to a client
// that does not read.
func TestOpenResultIsBuffered(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	update(t, cl, "CREATE TEMP TABLE mine AS SELECT 42 AS x")
	info, err := cl.Execute(t.Context(), "SELECT repeat('x', 1000) FROM range(20000)") // 20 MB
	if err != nil {
		t.Fatal(err)
	}
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	equal(t, query(t, cl, "SELECT x FROM mine"), "42")
	rows := int64(0)
	for rd.Next() {
		rows += rd.RecordBatch().NumRows()
	}
	if rd.Err() != nil || rows != 20000 {
		t.Fatalf("%d rows, %v", rows, rd.Err())
	}
}

func TestTransactions(t *testing.T) {
	addr := serve(t, flightsql.Options{})
	a, b := dial(t, addr), dial(t, addr)
	update(t, a, "CREATE TABLE t (x INTEGER)")
	count := "SELECT count(*) FROM t"

	tx, err := a.BeginTransaction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.BeginTransaction(t.Context()); err == nil {
		t.Fatal("a connection has one transaction at a time")
	}
	if _, err := tx.ExecuteUpdate(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	info, err := tx.Execute(t.Context(), count)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, fetch(t, a, info), "1")
	equal(t, query(t, b, count), "0")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, query(t, a, count), "0")

	if tx, err = a.BeginTransaction(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecuteUpdate(t.Context(), "INSERT INTO t VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, query(t, b, count), "1")
	if _, err := tx.ExecuteUpdate(t.Context(), count); err == nil {
		t.Fatal("a transaction that has ended took a statement")
	}
}

// An unread result does not keep its transaction from ending.
func TestCommitWithUnreadResult(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	update(t, cl, "CREATE TABLE t (x INTEGER)")
	tx, err := cl.BeginTransaction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecuteUpdate(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	info, err := tx.Execute(t.Context(), "SELECT repeat('x', 1000) FROM range(1000000)") // 1 GB: never buffered whole
	if err != nil {
		t.Fatal(err)
	}
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, query(t, cl, "SELECT x FROM t"), "1")
}

func TestSessionOptions(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	update(t, cl, "CREATE SCHEMA other; CREATE TABLE other.here AS SELECT 1 AS x")
	set := func(values map[string]any) map[string]*flight.SetSessionOptionsResultError {
		t.Helper()
		options, err := flight.NewSessionOptionValues(values)
		if err != nil {
			t.Fatal(err)
		}
		res, err := cl.SetSessionOptions(t.Context(), &flight.SetSessionOptionsRequest{SessionOptions: options})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetErrors()
	}
	get := func() map[string]*flight.SessionOptionValue {
		t.Helper()
		have, err := cl.GetSessionOptions(t.Context(), &flight.GetSessionOptionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return have.GetSessionOptions()
	}
	refused := set(map[string]any{"schema": "other", "colour": "blue", "query_timeout": "soon", "ai_max_rows": int64(9), "TimeZone": "Asia/Tokyo"})
	if len(refused) != 2 || refused["colour"].GetValue() != flight.SetSessionOptionsResultErrorInvalidName ||
		refused["query_timeout"].GetValue() != flight.SetSessionOptionsResultErrorInvalidValue {
		t.Fatalf("refused: %v", refused)
	}
	equal(t, query(t, cl, "SELECT x, current_setting('ai_max_rows'), current_setting('TimeZone') FROM here"), "1|9|Asia/Tokyo")
	have := get()
	equal(t, have["schema"].GetStringValue(), "other")
	if have["ai_max_rows"].GetInt64Value() != 9 || have["query_timeout"].GetDoubleValue() != 0 || have["catalog"].GetStringValue() == "" {
		t.Fatal(have)
	}
	if refused := set(map[string]any{"catalog": have["catalog"].GetStringValue(), "schema": "nowhere"}); len(refused) != 2 {
		t.Fatalf("refused: %v", refused)
	}
	if refused := set(map[string]any{"ai_max_rows": nil, "TimeZone": "Nowhere/Nothing"}); len(refused) != 1 ||
		refused["TimeZone"].GetValue() != flight.SetSessionOptionsResultErrorInvalidValue {
		t.Fatalf("refused: %v", refused)
	}
	equal(t, query(t, cl, "SELECT current_setting('ai_max_rows') <> 9, current_schema()"), "true|other")
	update(t, cl, "USE main") // what SQL changes is told as well
	equal(t, get()["schema"].GetStringValue(), "main")
	if _, err := cl.CloseSession(t.Context(), &flight.CloseSessionRequest{}); err != nil {
		t.Fatal(err)
	}
	equal(t, query(t, cl, "SELECT current_schema()"), "main")
	if _, ok := get()["ai_max_rows"]; ok {
		t.Error("an option outlived its session")
	}
}

func TestQueryTimeout(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	options, err := flight.NewSessionOptionValues(map[string]any{"query_timeout": 0.2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.SetSessionOptions(t.Context(), &flight.SetSessionOptionsRequest{SessionOptions: options}); err != nil {
		t.Fatal(err)
	}
	info, err := cl.Execute(t.Context(), endless)
	if err != nil {
		t.Fatal(err)
	}
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err == nil {
		rd.Next()
		err = rd.Err()
		rd.Release()
	}
	wantCode(t, err, codes.DeadlineExceeded, "TIMEOUT")
	_, err = cl.ExecuteUpdate(t.Context(), "CREATE TABLE t AS "+endless)
	wantCode(t, err, codes.DeadlineExceeded, "TIMEOUT")
	equal(t, query(t, cl, "SELECT 1"), "1")
}

// bearing makes calls on a connection of its own with a session's token.
func bearing(t *testing.T, addr, token string) func(sql string) string {
	cl := dial(t, addr)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", token)
	return func(sql string) string {
		t.Helper()
		info, err := cl.Execute(ctx, sql)
		if err != nil {
			t.Fatal(err)
		}
		rd, err := cl.DoGet(ctx, info.Endpoint[0].Ticket)
		if err != nil {
			t.Fatal(err)
		}
		defer rd.Release()
		out, err := render(rd)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// The token of a handshake names the session, on whatever connection it comes, and
// keeps it when there is none.
func TestSessionByToken(t *testing.T) {
	for _, secret := range []string{"", "open sesame"} {
		_, addr := start(t, flightsql.Options{Token: secret})
		first := dial(t, addr)
		ctx, err := first.Client.AuthenticateBasicToken(t.Context(), "anybody", "open sesame")
		if err != nil {
			t.Fatal(err)
		}
		md, _ := metadata.FromOutgoingContext(ctx)
		token := md.Get("authorization")[0]
		if _, err := first.ExecuteUpdate(ctx, "CREATE TEMP TABLE mine AS SELECT 42 AS x"); err != nil {
			t.Fatal(err)
		}
		equal(t, bearing(t, addr, token)("FROM mine"), "42")
		first.Close()
		equal(t, bearing(t, addr, token)("FROM mine"), "42")
	}
}

// named connects a client that has its session by name, so that the session outlives the
// connection.
func named(t *testing.T, addr string) *client.Client {
	t.Helper()
	cl := dial(t, addr)
	ctx, err := cl.Client.AuthenticateBasicToken(t.Context(), "anybody", "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Execute(ctx, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	return cl
}

// Sessions that nobody uses end, be there a connection or not.
func TestSessionsEnd(t *testing.T) {
	srv, addr := start(t, flightsql.Options{TTL: 300 * time.Millisecond, IdleTTL: time.Second})
	end := func() {
		for srv.Held().Sessions > 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	named(t, addr).Close()
	end() // without a connection, after its TTL
	plain, mine := dial(t, addr), dial(t, addr)
	query(t, plain, "SELECT 1")
	update(t, mine, "CREATE TEMP TABLE t AS SELECT 1")
	end()                                      // with one, after their IdleTTL
	equal(t, query(t, plain, "SELECT 1"), "1") // had nothing to lose
	_, err := mine.Execute(t.Context(), "SELECT 1")
	wantCode(t, err, codes.Canceled, "CANCELLED")
	equal(t, query(t, mine, "SELECT 1"), "1")
}

// Where there are as many sessions as may be, one without a connection makes room.
func TestSessionsAreLimited(t *testing.T) {
	addr := serve(t, flightsql.Options{Sessions: 2})
	query(t, dial(t, addr), "SELECT 1")
	gone := named(t, addr)
	_, err := dial(t, addr).Execute(t.Context(), "SELECT 1")
	wantCode(t, err, codes.ResourceExhausted, "QUEUE_FULL")
	gone.Close()
	other := dial(t, addr)
	for _, err = other.Execute(t.Context(), "SELECT 1"); err != nil; _, err = other.Execute(t.Context(), "SELECT 1") {
		time.Sleep(10 * time.Millisecond) // until the server has heard of the close
	}
	_, err = dial(t, addr).Execute(t.Context(), "SELECT 1")
	wantCode(t, err, codes.ResourceExhausted, "QUEUE_FULL")
}

func TestSavepointsAreRefused(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	tx, err := cl.BeginTransaction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tx.BeginSavepoint(t.Context(), "here")
	wantCode(t, err, codes.Unimplemented, "UNSUPPORTED")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestToken(t *testing.T) {
	addr := serve(t, flightsql.Options{Token: "open sesame"})
	cl := dial(t, addr)
	_, err := cl.Execute(t.Context(), "SELECT 1")
	wantCode(t, err, codes.Unauthenticated, "UNAUTHENTICATED")
	bad := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer open says me")
	_, err = cl.Execute(bad, "SELECT 1")
	wantCode(t, err, codes.Unauthenticated, "UNAUTHENTICATED")
	good := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer open sesame")
	if _, err := cl.Execute(good, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	// User and password, as JDBC and ADBC send them, are exchanged for it.
	ctx, err := cl.Client.AuthenticateBasicToken(context.Background(), "anybody", "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Execute(ctx, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
}

// A session that ends while its statements are being described keeps none of them:
// what a call stores after the end has no owner left that would drop it.
func TestSessionEndsUnderItsCalls(t *testing.T) {
	srv, addr := start(t, flightsql.Options{})
	cl := dial(t, addr)
	for range 100 {
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				_, _ = cl.Execute(t.Context(), "SELECT 1") // may come too late: an error
				_, _ = cl.Prepare(t.Context(), "SELECT 2")
			})
		}
		_, _ = cl.CloseSession(t.Context(), &flight.CloseSessionRequest{})
		calls.Wait()
		_, _ = cl.CloseSession(t.Context(), &flight.CloseSessionRequest{})
	}
	settle(t, srv)
}
