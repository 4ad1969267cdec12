package sql_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

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
	query(ctx context.Context, sql string) ([]string, error) // a line for each row
	table(ctx context.Context, sql string) (table, error)
	update(ctx context.Context, sql string) (changed int64, err error)
}

// ways are how connections to a database are made.
var ways = map[string]func(*testing.T, *database.DB) func() conn{
	"process": func(t *testing.T, db *database.DB) func() conn { return func() conn { return inProcess(t, db) } },
	"flight": func(t *testing.T, db *database.DB) func() conn {
		addr := serve(t, db)
		return func() conn { return dial(t, addr) }
	},
}

// models are what each script finds in its database.
var models = []string{
	"CREATE MODEL tiny FROM '../../testdata/tiny.gguf'",
	"CREATE MODEL plain FROM '../../testdata/tiny-notemplate.gguf'",
	"CREATE MODEL bert FROM '../../testdata/tiny-bert.gguf'",
	"CREATE ADAPTER polite FOR MODEL tiny FROM '../../testdata/tiny-lora.gguf'",
}

// toys are what a script finds that requires the toy model: a trained one, with adapters.
var toys = []string{
	"CREATE MODEL toy FROM '../../testdata/toy.gguf'",
	"CREATE ADAPTER polite FOR MODEL toy FROM '../../testdata/toy-polite.gguf'",
	"CREATE ADAPTER shout FOR MODEL toy FROM '../../testdata/toy-shout.gguf'",
}

const realModel = "CREATE MODEL gemma FROM '../../.deps/models/gemma-3-270m-q4_k_m.gguf'"

// open makes a database with the models, closed with the test.
func open(t *testing.T, statements ...string) *database.DB {
	t.Helper()
	return openWith(t, database.Config{Dir: t.TempDir()}, statements...)
}

func openWith(t *testing.T, cfg database.Config, statements ...string) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), cfg)
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

func (c session) query(ctx context.Context, sql string) ([]string, error) {
	rows, err := c.table(ctx, sql)
	return rows.lines(), err
}

func (c session) table(ctx context.Context, sql string) (rows table, err error) {
	r, err := c.s.Query(ctx, sql)
	if err != nil {
		return table{}, coded(err)
	}
	defer r.Close()
	err = rows.read(r)
	return rows, coded(err)
}

func (c session) update(ctx context.Context, sql string) (int64, error) {
	n, err := c.s.Exec(ctx, sql)
	return n, coded(err)
}

// coded gives an error its code in brackets, as a client over Flight sees it.
func coded(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("[%s] %w", errs.CodeOf(err), err)
}

type flightClient struct{ cl *client.Client }

// serve serves the database over Flight until the test ends.
func serve(t *testing.T, db *database.DB) (addr string) {
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
	return lis.Addr().String()
}

// dial connects to a server until the test ends.
func dial(t *testing.T, addr string) conn {
	t.Helper()
	cl, err := client.NewClient(addr, nil, nil, grpc.WithTransportCredentials(insecure.NewCredentials()))
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

func (c flightClient) query(ctx context.Context, sql string) ([]string, error) {
	rows, err := c.table(ctx, sql)
	return rows.lines(), err
}

func (c flightClient) update(ctx context.Context, sql string) (int64, error) {
	return c.cl.ExecuteUpdate(ctx, sql)
}

func (c flightClient) table(ctx context.Context, sql string) (rows table, err error) {
	info, err := c.cl.Execute(ctx, sql)
	if err != nil {
		return table{}, err
	}
	for _, e := range info.Endpoint {
		rd, err := c.cl.DoGet(ctx, e.Ticket)
		if err != nil {
			return table{}, err
		}
		err = rows.read(rd)
		rd.Release()
		if err != nil {
			return table{}, err
		}
	}
	return rows, nil
}
