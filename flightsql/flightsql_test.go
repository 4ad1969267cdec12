package flightsql_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"hyprstream/database"
	"hyprstream/flightsql"
)

// serve starts a server over a fresh database, ended with the test. It returns
// its address.
func serve(t testing.TB, opt flightsql.Options) string {
	t.Helper()
	_, addr := start(t, opt)
	return addr
}

func start(t testing.TB, opt flightsql.Options) (*flightsql.Server, string) {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := flightsql.New(db, opt)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error("shutdown:", err)
		}
		if err := <-served; err != nil {
			t.Error("serve:", err)
		}
		if err := db.Close(context.Background()); err != nil {
			t.Error("close:", err)
		}
	})
	return srv, lis.Addr().String()
}

// dial connects arrow-go's Flight SQL client: one connection, closed with the
// test unless the test closed it.
func dial(t testing.TB, addr string, middleware ...flight.ClientMiddleware) *client.Client {
	t.Helper()
	cl, err := client.NewClient(addr, nil, middleware, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() })
	return cl
}

// query runs a statement the way clients do and renders its rows: a line per
// row, "|" between columns. It checks that the promised schema is the sent one.
func query(t testing.TB, cl *client.Client, sql string) string {
	t.Helper()
	info, err := cl.Execute(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return fetch(t, cl, info)
}

func fetch(t testing.TB, cl *client.Client, info *flight.FlightInfo) string {
	t.Helper()
	if n := len(info.Endpoint); n != 1 || len(info.Endpoint[0].Location) != 0 {
		t.Fatalf("want one endpoint without a location, have %v", info.Endpoint)
	}
	rd, err := cl.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Release()
	if len(info.Schema) > 0 {
		promised, err := flight.DeserializeSchema(info.Schema, memory.DefaultAllocator)
		if err != nil {
			t.Fatal(err)
		}
		if !promised.Equal(rd.Schema()) {
			t.Fatalf("the FlightInfo promises\n%s\nDoGet sends\n%s", promised, rd.Schema())
		}
	}
	out, err := render(rd)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func render(rd interface {
	Next() bool
	RecordBatch() arrow.RecordBatch
	Err() error
}) (string, error) {
	var lines []string
	for rd.Next() {
		rec := rd.RecordBatch()
		for i := range int(rec.NumRows()) {
			cells := make([]string, rec.NumCols())
			for j, c := range rec.Columns() {
				cells[j] = c.ValueStr(i)
			}
			lines = append(lines, strings.Join(cells, "|"))
		}
	}
	return strings.Join(lines, "\n"), rd.Err()
}

// update runs statements for their effect.
func update(t testing.TB, cl *client.Client, sql string) int64 {
	t.Helper()
	n, err := cl.ExecuteUpdate(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func equal(t testing.TB, have, want string) {
	t.Helper()
	if have != want {
		t.Fatalf("have\n%s\nwant\n%s", have, want)
	}
}
