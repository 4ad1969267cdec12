package flightsql_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"hyprstream/flightsql"
)

// counted gives rows of 1 kB for as long as somebody reads; sequence i counts
// those that DuckDB has made.
func counted(i int) string {
	return fmt.Sprintf("SELECT nextval('made_%d') AS n, repeat('x', 1000) AS x FROM range(100000000)", i)
}

// maxBehind is by how many rows a reader of counted may be behind, with two threads:
// 4 chunks of 2048 in DuckDB's buffer, one that each thread wants to add and one being
// cut into batches, and 16 MB in the server's queue and gRPC's windows at both ends.
const maxBehind = 7*2048 + 16<<20/1000

// Clients that read slowly, or not at all, keep the database from running ahead
// of them, and others from nothing.
func TestSlowReaders(t *testing.T) {
	const slow = 20
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	srv, addr := start(t, flightsql.Options{Allocator: mem})
	control := dial(t, addr)
	update(t, control, "SET threads = 2")
	for i := range slow {
		update(t, control, fmt.Sprintf("CREATE SEQUENCE made_%d", i))
	}
	meanwhile := func() {
		for range 50 {
			equal(t, query(t, control, "SELECT 1"), "1")
		}
		equal(t, query(t, control, "SELECT count(*) FROM range(1000000)"), "1000000")
	}
	base := takeBaseline(t, srv, mem, control)
	read := readAllSlowly(t, addr, slow, func() {
		meanwhile()
		if grown := residentBytes(t) - base.resident; grown > slow*2*maxBehind*1000 {
			t.Errorf("resident memory has grown by %d MB", grown>>20)
		}
	})
	settle(t, srv)
	for i, n := range read {
		var made int64
		out := query(t, control, fmt.Sprintf("SELECT coalesce(last_value, 0) FROM duckdb_sequences() WHERE sequence_name = 'made_%d'", i))
		if _, err := fmt.Sscan(out, &made); err != nil {
			t.Fatal(out, err)
		}
		if made < n || made-n > maxBehind {
			t.Errorf("reader %d has read %d rows of %d made", i, n, made)
		}
	}
	base = takeBaseline(t, srv, mem, control) // with what the C library's allocator has in reserve
	readAllSlowly(t, addr, slow, meanwhile)
	base.back(t, 128<<20)
}

// readAllSlowly has n clients read slowly while f runs, and gives the number of rows
// that each of them has read.
func readAllSlowly(t *testing.T, addr string, n int, f func()) []int64 {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var readers errgroup.Group
	read := make([]int64, n) // each its reader's until it has ended
	started := make(chan error, n)
	for i := range n {
		readers.Go(func() error { return readSlowly(ctx, addr, i, started, &read[i]) })
	}
	for range n {
		if err := <-started; err != nil {
			t.Fatal(err)
		}
	}
	f()
	stop()
	if err := readers.Wait(); err != nil {
		t.Fatal(err)
	}
	return read
}

// readSlowly reads a batch every few milliseconds, the even ones nothing after
// the first, until ctx ends.
func readSlowly(ctx context.Context, addr string, i int, started chan<- error, rows *int64) error {
	cl, err := client.NewClient(addr, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		started <- err
		return err
	}
	defer cl.Close() //nolint:errcheck // the server sees it
	rd, err := open(ctx, cl, counted(i))
	if err != nil {
		started <- err
		return err
	}
	defer rd.Release()
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for first := true; rd.Next(); first = false {
		*rows += rd.RecordBatch().NumRows()
		if first {
			started <- nil
		}
		if i%2 == 0 {
			<-ctx.Done()
			return nil
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return nil
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the rows ended: %w", rd.Err())
}

func open(ctx context.Context, cl *client.Client, sql string) (*flight.Reader, error) {
	info, err := cl.Execute(ctx, sql)
	if err != nil {
		return nil, err
	}
	return cl.DoGet(ctx, info.Endpoint[0].Ticket)
}

// 200 clients at once are all served.
func TestManyConnections(t *testing.T) {
	const clients = 200
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	srv, addr := start(t, flightsql.Options{Allocator: mem})
	control := dial(t, addr)
	update(t, control, "CREATE TABLE t (x BIGINT)")
	workAtOnce(t, addr, clients) // whatever is made once
	update(t, control, "DELETE FROM t")
	base := takeBaseline(t, srv, mem, control)
	workAtOnce(t, addr, clients)
	equal(t, query(t, control, "SELECT count(*), sum(x) FROM t"), fmt.Sprintf("%d|%d", clients, clients*(clients-1)/2))
	base.back(t, 128<<20)
}

// workAtOnce connects so many clients, then has them all work.
func workAtOnce(t *testing.T, addr string, clients int) {
	t.Helper()
	var all errgroup.Group
	var ready sync.WaitGroup
	ready.Add(clients)
	for i := range clients {
		params := record(t, fmt.Sprintf(`[{"x": %d}]`, i), arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int64})
		all.Go(func() error {
			cl, err := client.NewClient(addr, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				ready.Done()
				return err
			}
			defer cl.Close() //nolint:errcheck // the server sees it
			_, err = cl.GetCatalogs(t.Context())
			ready.Done()
			if err != nil {
				return err
			}
			ready.Wait() // all are connected
			return dayOf(t.Context(), cl, i, params)
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
}

// dayOf is what client i of many does.
func dayOf(ctx context.Context, cl *client.Client, i int, params arrow.RecordBatch) error {
	if err := expect(ctx, cl, "SELECT 1", "1"); err != nil {
		return err
	}
	tx, err := cl.BeginTransaction(ctx)
	if err != nil {
		return err
	}
	st, err := tx.Prepare(ctx, "INSERT INTO t VALUES (?)")
	if err != nil {
		return err
	}
	params.Retain()
	st.SetParameters(params)
	if n, err := st.ExecuteUpdate(ctx); err != nil || n != 1 {
		return fmt.Errorf("%d rows, %w", n, err)
	}
	if err := st.Close(ctx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	rd, err := open(ctx, cl, "SELECT range, repeat('x', 100) FROM range(10000)")
	if err != nil {
		return err
	}
	defer rd.Release()
	rows := int64(0)
	for rd.Next() {
		rows += rd.RecordBatch().NumRows()
	}
	if rows != 10000 || rd.Err() != nil {
		return fmt.Errorf("%d rows, %w", rows, rd.Err())
	}
	return expect(ctx, cl, fmt.Sprintf("SELECT count(*) FROM t WHERE x = %d", i), "1")
}

func expect(ctx context.Context, cl *client.Client, sql, want string) error {
	rd, err := open(ctx, cl, sql)
	if err != nil {
		return err
	}
	defer rd.Release()
	if have, err := render(rd); err != nil || have != want {
		return fmt.Errorf("%s: %q, %w", sql, have, err)
	}
	return nil
}

// The client too many is told so, and is served once another has gone.
func TestTooManyConnections(t *testing.T) {
	addr := serve(t, flightsql.Options{})
	first := dial(t, addr)
	query(t, first, "SELECT 1")
	var refused *client.Client
	for range 1100 {
		cl := dial(t, addr)
		if _, err := cl.Execute(t.Context(), "SELECT 1"); err != nil {
			wantCode(t, err, codes.ResourceExhausted, "QUEUE_FULL")
			refused = cl
			break
		}
	}
	if refused == nil {
		t.Fatal("any number of clients is served")
	}
	equal(t, query(t, first, "SELECT 1"), "1")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := refused.Execute(t.Context(), "SELECT 1")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
