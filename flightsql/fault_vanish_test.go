package flightsql_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/flight"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	pb "github.com/apache/arrow-go/v18/arrow/flight/gen/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"hyprstream/flightsql"
)

// stage is how far a client comes before it vanishes. control is a client that
// stays; mark is a comment for the stage's statement, by which control finds it.
type stage struct {
	name   string
	vanish func(t *testing.T, cl, control *client.Client, mark string)
}

var stages = []stage{
	{"ticket not used", func(t *testing.T, cl, _ *client.Client, _ string) { vanishWithTicket(t, cl) }},
	{"prepared and bound", func(t *testing.T, cl, _ *client.Client, _ string) { vanishWithPrepared(t, cl) }},
	{"in a stream", func(t *testing.T, cl, _ *client.Client, _ string) { vanishInStream(t, cl) }},
	{"before the first row", vanishBeforeRows},
	{"in an update", vanishInUpdate},
	{"in an ingest", vanishInIngest},
	{"in a transaction", vanishInTransaction},
	{"in metadata", vanishInMetadata},
	{"in a generation", vanishInGeneration},
	{"in a generated stream", vanishInGeneratedStream},
}

// Clients that go away, a hundred times at each stage, leave nothing behind.
func TestVanishingClients(t *testing.T) {
	const times = 100 // at each of the 10 stages
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	srv, addr := start(t, flightsql.Options{Allocator: mem})
	control := dial(t, addr)
	prepareForVanishing(t, control)
	vanish := func(t *testing.T, s stage, i int) {
		cl, kill := doomed(t, addr)
		s.vanish(t, cl, control, fmt.Sprintf("/* %s %d */", s.name, i))
		kill()
	}
	for _, s := range stages { // whatever is made once, and the allocators' reserves
		for i := range 5 {
			vanish(t, s, -i)
		}
	}
	base := takeBaseline(t, srv, mem, control)
	t.Run("stages", func(t *testing.T) {
		for _, s := range stages {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel() // clients vanish side by side
				for i := range times {
					vanish(t, s, i)
				}
			})
		}
	})
	base.back(t, 128<<20)
	equal(t, query(t, control, "SELECT count(*) FROM t"), "0") // nothing of what they did not finish
	equal(t, query(t, control, "SELECT sum(busy + queued) FROM ai.engines"), "0")
}

func prepareForVanishing(t *testing.T, cl *client.Client) {
	t.Helper()
	tiny, err := filepath.Abs("../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"CREATE TABLE t (x BIGINT)",
		"CREATE MODEL tiny FROM '" + tiny + "' WITH (slots = 4, threads = 1)",
		"ALTER MODEL tiny LOAD",
	} {
		query(t, cl, sql)
	}
	for i := range 20 {
		update(t, cl, fmt.Sprintf("CREATE TABLE many_%d (a INTEGER, b VARCHAR, c DOUBLE, d DATE)", i))
	}
}

// await waits until a statement with the mark runs.
func await(t *testing.T, control *client.Client, mark string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	own := "statement NOT LIKE '%ai.queries%'"
	for query(t, control, "SELECT count(*) FROM ai.queries WHERE "+own+" AND contains(statement, '"+mark+"')") == "0" {
		if time.Now().After(deadline) {
			t.Fatal("never ran: ", mark)
		}
	}
}

func vanishBeforeRows(t *testing.T, cl, control *client.Client, mark string) {
	beginGet(t, cl, mark+endless)
	await(t, control, mark)
}

// beginGet lets the server run a query and reads nothing of it.
func beginGet(t *testing.T, cl *client.Client, sql string) {
	t.Helper()
	info, err := cl.Execute(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Client.DoGet(t.Context(), info.Endpoint[0].Ticket); err != nil {
		t.Fatal(err)
	}
}

func vanishInUpdate(t *testing.T, cl, control *client.Client, mark string) {
	update(t, cl, "SELECT 1")                                       // connected
	go cl.ExecuteUpdate(t.Context(), mark+"INSERT INTO t "+endless) //nolint:errcheck // it dies with the connection
	await(t, control, mark)
}

// vanishInIngest uploads a batch and is gone before the next.
func vanishInIngest(t *testing.T, cl, control *client.Client, _ string) {
	rec := record(t, `[{"x": 1}, {"x": 2}]`, arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int64, Nullable: true})
	stream, err := cl.Client.DoPut(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := flight.NewRecordWriter(stream, ipc.WithSchema(rec.Schema()))
	w.SetFlightDescriptor(command(t, &pb.CommandStatementIngest{
		Table: "t",
		TableDefinitionOptions: &pb.CommandStatementIngest_TableDefinitionOptions{
			IfNotExist: pb.CommandStatementIngest_TableDefinitionOptions_TABLE_NOT_EXIST_OPTION_FAIL,
			IfExists:   pb.CommandStatementIngest_TableDefinitionOptions_TABLE_EXISTS_OPTION_APPEND,
		},
	}))
	for range 3 {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	await(t, control, `INGEST INTO "t"`)
}

// command is a descriptor of a Flight SQL command.
func command(t testing.TB, cmd proto.Message) *flight.FlightDescriptor {
	t.Helper()
	return &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: packed(t, cmd)}
}

func packed(t testing.TB, cmd proto.Message) []byte {
	t.Helper()
	wrapped, err := anypb.New(cmd)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func vanishInTransaction(t *testing.T, cl, _ *client.Client, _ string) {
	tx, err := cl.BeginTransaction(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecuteUpdate(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
}

func vanishInMetadata(t *testing.T, cl, _ *client.Client, _ string) {
	info, err := cl.GetTables(t.Context(), &client.GetTablesOpts{IncludeSchema: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Client.DoGet(t.Context(), info.Endpoint[0].Ticket); err != nil {
		t.Fatal(err)
	}
}

func vanishInGeneration(t *testing.T, cl, control *client.Client, mark string) {
	beginGet(t, cl, mark+"SELECT generate('tiny', 'word ' || range, max_tokens := 200, ignore_eos := true) FROM range(5000)")
	await(t, control, mark)
}

func vanishInGeneratedStream(t *testing.T, cl, _ *client.Client, _ string) {
	info, err := cl.Execute(t.Context(), "SELECT * FROM generate_stream('tiny', 'word', max_tokens := 200, ignore_eos := true)")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := cl.Client.DoGet(t.Context(), info.Endpoint[0].Ticket)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the schema, and the first piece
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
}
