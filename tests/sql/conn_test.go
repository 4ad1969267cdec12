package sql_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	client "github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"hyprstream/database"
	"hyprstream/errs"
	"hyprstream/flightsql"
)

// conn is a way to a database: in process, or over Flight.
type conn interface {
	exec(ctx context.Context, sql string) error
	query(ctx context.Context, sql string) ([]string, error)
}

// models are what each script finds in its database.
var models = []string{
	"CREATE MODEL tiny FROM '../../testdata/tiny.gguf'",
	"CREATE MODEL plain FROM '../../testdata/tiny-notemplate.gguf'",
	"CREATE MODEL bert FROM '../../testdata/tiny-bert.gguf'",
	"CREATE ADAPTER polite FOR MODEL tiny FROM '../../testdata/tiny-lora.gguf'",
}

const realModel = "CREATE MODEL gemma FROM '../../.deps/models/gemma-3-270m-q4_k_m.gguf'"

// open makes a database with the models, closed with the test.
func open(t *testing.T, statements ...string) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), database.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	c := inProcess(t, db)
	for _, sql := range statements {
		if err := c.exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

type session struct{ s *database.Session }

func inProcess(t *testing.T, db *database.DB) conn {
	t.Helper()
	s, err := db.Session(t.Context(), database.SessionOptions{Client: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return session{s}
}

func (c session) exec(ctx context.Context, sql string) error {
	_, err := c.query(ctx, sql)
	return err
}

// query gives errors their code in brackets, as a client over Flight sees them.
func (c session) query(ctx context.Context, sql string) (out []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("[%s] %w", errs.CodeOf(err), err)
		}
	}()
	r, err := c.s.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return render(r)
}

type flightClient struct{ cl *client.Client }

// overFlight serves the database and connects to it, until the test ends.
func overFlight(t *testing.T, db *database.DB) conn {
	t.Helper()
	srv, err := flightsql.New(db, flightsql.Options{})
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
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := errors.Join(srv.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	cl, err := client.NewClient(lis.Addr().String(), nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close() }) //nolint:errcheck // the server sees it
	return flightClient{cl}
}

func (c flightClient) exec(ctx context.Context, sql string) error {
	_, err := c.query(ctx, sql)
	return err
}

func (c flightClient) query(ctx context.Context, sql string) (out []string, err error) {
	info, err := c.cl.Execute(ctx, sql)
	if err != nil {
		return nil, err
	}
	for _, e := range info.Endpoint {
		rd, err := c.cl.DoGet(ctx, e.Ticket)
		if err != nil {
			return nil, err
		}
		rows, err := render(rd)
		rd.Release()
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// render writes a line for each row.
func render(rd interface {
	Next() bool
	RecordBatch() arrow.RecordBatch
	Err() error
}) (lines []string, err error) {
	for rd.Next() {
		rec := rd.RecordBatch()
		for i := range int(rec.NumRows()) {
			cells := make([]string, rec.NumCols())
			for j, c := range rec.Columns() {
				cells[j] = strings.ReplaceAll(c.ValueStr(i), "\n", `\n`)
			}
			lines = append(lines, strings.Clone(strings.Join(cells, "|"))) // the cells lie in the batch
		}
	}
	return lines, rd.Err()
}
