package flightsql_test

import (
	"context"
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
	options, err := flight.NewSessionOptionValues(map[string]any{"schema": "other", "colour": "blue"})
	if err != nil {
		t.Fatal(err)
	}
	res, err := cl.SetSessionOptions(t.Context(), &flight.SetSessionOptionsRequest{SessionOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.GetErrors()) != 1 || res.GetErrors()["colour"].GetValue() != flight.SetSessionOptionsResultErrorInvalidName {
		t.Fatalf("only the unknown option should be refused: %v", res.GetErrors())
	}
	equal(t, query(t, cl, "SELECT x FROM here"), "1")
	have, err := cl.GetSessionOptions(t.Context(), &flight.GetSessionOptionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, have.GetSessionOptions()["schema"].GetStringValue(), "other")
	// Without having been set, and by a statement, they are told too.
	equal(t, have.GetSessionOptions()["catalog"].GetStringValue(), "hyprstream")
	update(t, cl, "USE hyprstream.main")
	if have, err = cl.GetSessionOptions(t.Context(), &flight.GetSessionOptionsRequest{}); err != nil {
		t.Fatal(err)
	}
	equal(t, have.GetSessionOptions()["schema"].GetStringValue(), "main")
	if _, err := cl.CloseSession(t.Context(), &flight.CloseSessionRequest{}); err != nil {
		t.Fatal(err)
	}
	equal(t, query(t, cl, "SELECT current_schema()"), "main")
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
