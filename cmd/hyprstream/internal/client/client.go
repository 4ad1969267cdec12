package client

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"hyprstream/database"
	"hyprstream/errs"
)

// Result is a statement's rows, and the number of rows it changed where its
// schema has no fields.
type Result interface {
	array.RecordReader
	RowsAffected() int64
}

// Client runs SQL. Values of args may be nil, bool, int64, float64 and string.
type Client interface {
	Query(ctx context.Context, sql string, args ...any) (Result, error)
	// Sibling is another session of the same database, to look at a statement
	// while it runs. It is closed before the client it came from.
	Sibling(ctx context.Context) (Client, error)
	Close() error
}

// Options say where the SQL is run.
type Options struct {
	Data   string // the data directory
	Server string // a server's Flight address; "" looks for the one that holds Data
	Token  string // sent to the server, never written down
	CA     string // certificate that the server's TLS is checked with; "" for the system's
	Logger *slog.Logger
}

// Place says what Open found.
type Place struct {
	Address string // of the server; "" when the data directory was opened here
	Local   bool   // the server sees the same files as this process
}

// Open connects to the server, or opens the data directory.
func Open(ctx context.Context, opt Options) (Client, Place, error) {
	if opt.Server != "" {
		c, err := dial(ctx, endpoint{address: opt.Server, ca: opt.CA}, opt.Token)
		return c, Place{Address: opt.Server, Local: isLoopback(opt.Server)}, err
	}
	if rec, ok := Running(opt.Data); ok {
		ca := opt.CA
		if ca == "" {
			ca = rec.Cert
		}
		c, err := dial(ctx, endpoint{address: rec.Flight, tls: rec.TLS, ca: ca}, opt.Token)
		return c, Place{Address: rec.Flight, Local: true}, err
	}
	c, err := openEmbedded(ctx, opt)
	return c, Place{Local: true}, err
}

// embedded is the data directory opened by this process.
type embedded struct {
	db     *database.DB
	sess   *database.Session
	shared bool // db belongs to another Client
}

func openEmbedded(ctx context.Context, opt Options) (Client, error) {
	db, err := database.Open(ctx, database.Config{Dir: opt.Data, Logger: opt.Logger})
	if err != nil {
		return nil, err
	}
	sess, err := db.Session(ctx, database.SessionOptions{Client: "cli"})
	if err != nil {
		return nil, closeDB(db, err)
	}
	return &embedded{db: db, sess: sess}, nil
}

func (e *embedded) Query(ctx context.Context, sql string, args ...any) (Result, error) {
	return e.sess.Query(ctx, sql, args...)
}

func (e *embedded) Sibling(ctx context.Context) (Client, error) {
	sess, err := e.db.Session(ctx, database.SessionOptions{Client: "cli"})
	if err != nil {
		return nil, err
	}
	return &embedded{db: e.db, sess: sess, shared: true}, nil
}

func (e *embedded) Close() error {
	e.sess.Close()
	if e.shared {
		return nil
	}
	return closeDB(e.db, nil)
}

// closeDB gives the models' processes a moment to end.
func closeDB(db *database.DB, err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if closeErr := db.Close(ctx); err == nil {
		return closeErr
	}
	return err
}

// Exec runs a statement for its effect and gives the text of its first column,
// first row, which is the message of our own statements.
func Exec(ctx context.Context, c Client, sql string, args ...any) (string, error) {
	rows, err := Rows(ctx, c, sql, args...)
	if err != nil || len(rows) == 0 || len(rows[0]) == 0 {
		return "", err
	}
	s, _ := rows[0][0].(string)
	return s, nil
}

// Rows reads a small result whole. Values are nil, bool, string, or what
// Arrow's GetOneForMarshal makes of the type.
func Rows(ctx context.Context, c Client, sql string, args ...any) ([][]any, error) {
	res, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer res.Release()
	var rows [][]any
	for res.Next() {
		b := res.RecordBatch()
		for i := range int(b.NumRows()) {
			row := make([]any, b.NumCols())
			for col := range row {
				row[col] = b.Column(col).GetOneForMarshal(i)
				if s, ok := row[col].(string); ok {
					row[col] = strings.Clone(s) // the batch's memory goes with the batch
				}
			}
			rows = append(rows, row)
		}
	}
	if err := res.Err(); err != nil {
		return nil, ended(ctx, err)
	}
	return rows, nil
}

// ended tells a statement that the user stopped from one that failed.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errs.Wrap(ctx.Err(), errs.CodeOf(ctx.Err()), "cli", "interrupted")
	}
	return err
}
