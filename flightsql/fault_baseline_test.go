package flightsql_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"hyprstream/flightsql"
)

// baseline is what a server has when its clients are gone. control is the one
// client that stays.
type baseline struct {
	srv     *flightsql.Server
	mem     *memory.CheckedAllocator
	control *client.Client

	goroutines, files, connections int
	arrow, resident                int64 // bytes
}

// takeBaseline waits for the server to become idle and notes what it then has.
func takeBaseline(t *testing.T, srv *flightsql.Server, mem *memory.CheckedAllocator, control *client.Client) *baseline {
	t.Helper()
	query(t, control, "SELECT 1") // it has a session
	settle(t, srv)
	b := &baseline{srv: srv, mem: mem, control: control, arrow: int64(mem.CurrentAlloc())}
	b.connections = connections(t, control)
	// Connections end on their own time on the client's side too: take the numbers
	// when they have stood still.
	still := 0
	for still < 20 {
		g, f := runtime.NumGoroutine(), openFiles(t)
		if g == b.goroutines && f == b.files {
			still++
		} else {
			b.goroutines, b.files, still = g, f, 0
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.resident = residentBytes(t)
	return b
}

// back waits until all is as it was; memory may have grown by so much.
func (b *baseline) back(t *testing.T, growth int64) {
	t.Helper()
	settle(t, b.srv)
	deadline := time.Now().Add(30 * time.Second)
	for {
		left := b.left(t, growth)
		if left == "" {
			break
		}
		if time.Now().After(deadline) {
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			t.Fatalf("not back: %s\n%s", left, stacks.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// left says what is more than it was, "" for nothing.
func (b *baseline) left(t *testing.T, growth int64) string {
	t.Helper()
	now := baseline{
		goroutines: runtime.NumGoroutine(), files: openFiles(t),
		connections: connections(t, b.control), arrow: int64(b.mem.CurrentAlloc()),
	}
	switch {
	case now.goroutines > b.goroutines:
		return fmt.Sprintf("%d goroutines, %d before", now.goroutines, b.goroutines)
	case now.files > b.files:
		return fmt.Sprintf("%d open files, %d before", now.files, b.files)
	case now.connections > b.connections:
		return fmt.Sprintf("%d DuckDB connections, %d before", now.connections, b.connections)
	case now.arrow > b.arrow:
		return fmt.Sprintf("%d bytes of Arrow memory, %d before", now.arrow, b.arrow)
	}
	if grown := residentBytes(t) - b.resident; grown > growth {
		return fmt.Sprintf("resident memory has grown by %d MB", grown>>20)
	}
	return ""
}

// connections is DuckDB's own count of its open connections.
func connections(t *testing.T, cl *client.Client) (n int) {
	t.Helper()
	out := query(t, cl, "FROM duckdb_connection_count()")
	if _, err := fmt.Sscan(out, &n); err != nil {
		t.Fatal(out, err)
	}
	return n
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
