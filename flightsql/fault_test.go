package flightsql_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"hyprstream/flightsql"
)

// endless runs for minutes and gives one row.
const endless = "SELECT count(*) FROM range(1000000000000) t(a) WHERE a % 7 = 3"

// wide gives rows for as long as somebody reads them.
const wide = "SELECT repeat('x', 1000) FROM range(100000000)"

// doomed is a client whose connection can be cut: kill resets it, as a crash of
// the client's process does.
func doomed(t *testing.T, addr string) (cl *client.Client, kill func()) {
	t.Helper()
	var raw atomic.Pointer[net.TCPConn]
	cl, err := client.NewClient(addr, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			if raw.Load() != nil {
				return nil, fmt.Errorf("the client is dead")
			}
			var d net.Dialer
			con, err := d.DialContext(ctx, "tcp", addr)
			if err == nil {
				raw.Store(con.(*net.TCPConn))
			}
			return con, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	return cl, func() {
		_ = raw.Load().SetLinger(0)
		_ = raw.Load().Close()
		_ = cl.Close()
	}
}

func vanishWithTicket(t *testing.T, cl *client.Client) {
	if _, err := cl.Execute(t.Context(), wide); err != nil {
		t.Fatal(err)
	}
}

func vanishWithPrepared(t *testing.T, cl *client.Client) {
	st, err := cl.Prepare(t.Context(), "SELECT ?::INTEGER")
	if err != nil {
		t.Fatal(err)
	}
	st.SetParameters(record(t, `[{"x": 1}, {"x": 2}]`, arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int32}))
	if _, err := st.Execute(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func vanishInStream(t *testing.T, cl *client.Client) {
	info, err := cl.Execute(t.Context(), wide)
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
}

// settle waits until the server keeps nothing but the session of the client that
// the test itself has.
func settle(t *testing.T, srv *flightsql.Server) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		held := srv.Held()
		if held.Sessions <= 1 && held.Tickets+held.Prepared+held.Streams == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still held: %+v", held)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func residentBytes(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// The end of a client's context stops the statement; the connection goes on.
func TestCancelByContext(t *testing.T) {
	srv, addr := start(t, flightsql.Options{})
	cl := dial(t, addr)
	update(t, cl, "CREATE TEMP TABLE mine AS SELECT 42 AS x") // no siblings: the next statement needs this session
	info, err := cl.Execute(t.Context(), endless)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	rd, err := cl.DoGet(ctx, info.Endpoint[0].Ticket)
	if err == nil {
		_, err = render(rd)
		rd.Release()
	}
	if err == nil {
		t.Fatal("the query ended by itself")
	}
	start := time.Now()
	equal(t, query(t, cl, "SELECT x FROM mine"), "42")
	if d := time.Since(start); d > time.Second {
		t.Errorf("the cancelled query held its session for %v", d)
	}
	settle(t, srv)
}

func TestCancelFlightInfo(t *testing.T) {
	cl := dial(t, serve(t, flightsql.Options{}))
	info, err := cl.Execute(t.Context(), endless)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
		if err == nil {
			defer rd.Release()
			_, err = render(rd)
		}
		failed <- err
	}()
	time.Sleep(100 * time.Millisecond)
	res, err := cl.CancelFlightInfo(t.Context(), &flight.CancelFlightInfoRequest{Info: info})
	if err != nil || res.Status != flight.CancelStatusCancelling {
		t.Fatalf("%v, %v", res.GetStatus(), err)
	}
	wantCode(t, <-failed, codes.Canceled, "CANCELLED")

	// A ticket that nobody has used is simply forgotten.
	if info, err = cl.Execute(t.Context(), "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	res, err = cl.CancelFlightInfo(t.Context(), &flight.CancelFlightInfoRequest{Info: info})
	if err != nil || res.Status != flight.CancelStatusCancelled {
		t.Fatalf("%v, %v", res.GetStatus(), err)
	}
	_, err = cl.CancelFlightInfo(t.Context(), &flight.CancelFlightInfoRequest{Info: info})
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
}

// Handles that clients forget expire, and are bounded before that.
func TestHandlesExpire(t *testing.T) {
	srv, addr := start(t, flightsql.Options{TTL: 200 * time.Millisecond, Handles: 3})
	cl := dial(t, addr)
	first, err := cl.Prepare(t.Context(), "SELECT 0")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := cl.Prepare(t.Context(), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
	}
	if n := srv.Held().Prepared; n != 3 {
		t.Fatalf("%d handles where 3 are allowed", n)
	}
	_, err = first.Execute(t.Context())
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
	time.Sleep(500 * time.Millisecond)
	if n := srv.Held().Prepared; n != 0 {
		t.Fatalf("%d handles after their time", n)
	}
}

func TestStatementGuesses(t *testing.T) {
	for _, c := range []struct {
		sql          string
		keeps, reads bool
	}{
		{"SELECT 1", false, true},
		{"  (select 1) union select 2", false, true},
		{"/* why */ FROM t", false, true},
		{"WITH a AS (SELECT 1) FROM a", false, true},
		{"WITH a AS (SELECT 1) INSERT INTO t FROM a RETURNING *", false, false},
		{"UPDATE t SET x = 1", false, false},
		{"INSERT INTO t VALUES (1)", false, false},
		{"CREATE MODEL m FROM 'm.gguf'", false, false},
		{"SET threads = 2", true, false},
		{"use other", true, false},
		{"SELECT 1; SET x = 2", true, true},
		{"CREATE TEMP TABLE t (x INTEGER)", true, false},
		{"create or replace temporary view v as select 1", true, false},
		{"-- note\nBEGIN", true, false},
		{"CALL pragma_version()", true, false},
	} {
		if k, r := flightsql.KeepsState(c.sql), flightsql.ReadsOnly(c.sql); k != c.keeps || r != c.reads {
			t.Errorf("%q: keeps state %v, reads only %v", c.sql, k, r)
		}
	}
}
