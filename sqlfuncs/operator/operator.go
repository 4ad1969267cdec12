package operator

/*
#cgo CXXFLAGS: -std=c++17 -O2 -DNDEBUG -I${SRCDIR}/../../.deps/duckdb/include
#include <stdlib.h>
#include "hsop.h"
*/
import "C"

import (
	"context"
	"strings"
	"sync"
	"unsafe"

	duckdb "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
)

// Answer is the outcome of one call. Exactly one of its fields means something:
// Err a failure, Null a NULL, else Text.
type Answer struct {
	Text string
	Null bool
	Err  *errs.Error
	Fail bool // Err fails the statement, not only the row
}

// Handler answers calls. Run and Stream are called on goroutines of their own.
type Handler interface {
	// Check is called at prepare with the constants of a call; an error there is
	// the statement's.
	Check(c Call) error
	// Returns is the type of a call's result, as type text, where its constants decide
	// it; "" is the registered one.
	Returns(c Call) string
	// Template is a prompt's text, cut: up to its first placeholder, that one's field,
	// up to the next one and so on, ending with a text.
	Template(prompt string) (pieces []string, err error)
	// Explain says, in lines, what is known of a call's cost before it is made;
	// rows is how many are expected.
	Explain(c Call, rows int64) []string
	// Cost is what a call costs a row, compared with others, and the share of rows for
	// which it was true so far, where that is known.
	Cost(c Call) (cost, yes float64, known bool)
	// Spent says, in lines, what an operator's calls have cost.
	Spent(a *Account) []string
	// Run answers a batch: done is called once for each call, in any order. An
	// error fails the statement.
	Run(ctx context.Context, calls []Call, done func(i int, a Answer)) error
	// Stream makes rows until it returns; a nil value is NULL.
	Stream(ctx context.Context, c Call, row func(values []*string)) error
	// Parse says whether sql, which DuckDB cannot parse, is a statement of ours.
	Parse(sql string) (ours bool, err error)
	// Exec runs a statement of ours and returns its status line.
	Exec(ctx context.Context, sql string) (string, error)
}

// Column is a parameter or result column; Type is SQL type text, "ANY" for a
// parameter that takes a VARCHAR or a list of them.
type Column struct{ Name, Type string }

// Scalar is a function whose rows go to the Handler.
type Scalar struct {
	Fn      uint16
	Name    string // inner name; the macros call it
	Args    []Column
	Returns string  // the answers' texts are cast to it
	Groups  [][]int // positions of Args: a row where all of one are NULL is NULL
	Lift    bool    // may become the operator
	Free    bool    // costs nothing worth counting: an estimate has it computed
	Early   bool    // rows leave as soon as they are answered, in any order
	// JSON: answers are JSON of the result's type. An argument called returns, a
	// constant, is then the text of that type (of the field value's, where Returns is a STRUCT);
	// calls have its JSON schema in its place.
	JSON bool
}

// Aggregate is an aggregate function whose groups go to the Handler: a call has the
// list of a group's texts for its second argument. The first of Args is the model,
// an option; of the others the first Positional are given by position, the first of
// these being the texts, and the rest by name.
type Aggregate struct {
	Fn         uint16
	Name       string
	Args       []Column
	Positional int
}

// Table is a function in FROM whose rows the Handler streams. Each of Overloads
// lists the positions in Args that may be given by position; all may by name.
type Table struct {
	Fn        uint16
	Name      string
	Args      []Column
	Overloads [][]int
	Columns   []Column
	Query     bool // its one argument is a SELECT; what that asks is counted, not computed
	Rows      bool // its second argument is a SELECT: its rows with Columns of the scalar __Name's answers, which are JSON
}

// Setting is a DuckDB setting of our own.
type Setting struct{ Name, Description, Type, Default string }

// Functions is what Attach registers. Macros are CREATE MACRO statements.
type Functions struct {
	Scalars    []Scalar
	Aggregates []Aggregate
	Tables     []Table
	Macros     []string
	Settings   []Setting
}

// Attachment is one database with inference in it.
type Attachment struct {
	id      uint64
	db      duckdb.Database
	handler Handler

	mu    sync.Mutex          // guards the maps and closed
	stmts map[uint64]*work    // by connection id: the running statement
	ops   map[uint64]*running // by operator id
	done  bool
	wg    sync.WaitGroup // goroutines that answer
}

var attachments struct {
	sync.Mutex
	next uint64
	byID map[uint64]*Attachment
	ops  map[uint64]*Attachment // by operator id
}

func init() {
	attachments.byID = map[uint64]*Attachment{}
	attachments.ops = map[uint64]*Attachment{}
}

// headerVersion is the DuckDB whose internals the C++ was compiled against.
const headerVersion = "v1.5.5"

// Attach registers f in db, answered by h. The library's version must be that of
// the headers: the C++ reaches into its internals.
func Attach(db duckdb.Database, h Handler, f Functions) (*Attachment, error) {
	if v := duckdb.LibraryVersion(); v != headerVersion {
		return nil, errs.New(errs.Internal, "operator.Attach", "linked with DuckDB %s, but built for %s: run `make deps build` again", v, headerVersion)
	}
	a := &Attachment{db: db, handler: h, stmts: map[uint64]*work{}, ops: map[uint64]*running{}}
	attachments.Lock()
	attachments.next++
	a.id = attachments.next
	attachments.byID[a.id] = a
	attachments.Unlock()
	if err := a.register(f); err != nil {
		a.Detach()
		return nil, err
	}
	return a, nil
}

// Begin tells under which context the next statement of conn runs: its values
// reach the Handler, its end cancels what the statement asked of it. The returned
// function ends the association, and has over called when the Handler is done with
// the statement: at once, or a step of the model later where it was cut short.
func (a *Attachment) Begin(ctx context.Context, conn duckdb.Connection) (end func(over func())) {
	id := connectionID(conn)
	w := &work{ctx: ctx}
	a.mu.Lock()
	a.stmts[id] = w
	a.mu.Unlock()
	return func(over func()) {
		a.mu.Lock()
		delete(a.stmts, id)
		a.mu.Unlock()
		w.whenOver(over)
	}
}

// Wake makes the sleeping operators of conn look at DuckDB's interrupt flag. Call
// it after duckdb_interrupt, which they do not see by themselves.
func (a *Attachment) Wake(conn duckdb.Connection) {
	C.hs_wake(C.uint64_t(a.id), C.uint64_t(connectionID(conn)))
}

// Live is the number of operators that exist, asleep or not.
func (a *Attachment) Live() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ops)
}

// Detach ends every call and waits for their goroutines. Call it after the last
// connection is closed and before the database is.
func (a *Attachment) Detach() {
	a.mu.Lock()
	a.done = true
	for _, r := range a.ops {
		r.cancel()
	}
	a.mu.Unlock()
	a.wg.Wait()
	attachments.Lock()
	delete(attachments.byID, a.id)
	attachments.Unlock()
	C.hs_detach(a.db.Ptr)
}

func connectionID(conn duckdb.Connection) uint64 {
	var ctx duckdb.ClientContext
	duckdb.ConnectionGetClientContext(conn, &ctx)
	defer duckdb.DestroyClientContext(&ctx)
	return uint64(duckdb.ClientContextGetConnectionId(ctx))
}

func find(env uint64) *Attachment {
	attachments.Lock()
	defer attachments.Unlock()
	return attachments.byID[env]
}

// message is an error as it travels through DuckDB: the code in brackets is read
// back by database.
func message(err error) string {
	text := strings.ToValidUTF8(err.Error(), "\uFFFD") // DuckDB refuses anything else
	if code := errs.CodeOf(err); code != errs.Internal {
		return "[" + string(code) + "] " + text
	}
	return text
}

func cText(s string) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

// answer hands one call's outcome to the operator, if it still exists.
func answer(op, idx uint64, a Answer) {
	status, s := C.int(C.HS_OK), a.Text
	switch {
	case a.Err != nil && a.Fail:
		status, s = C.HS_FAIL, message(a.Err)
	case a.Err != nil:
		status, s = C.HS_ROW_ERROR, message(a.Err)
	case a.Null:
		status = C.HS_NULL
	}
	p, n := cText(s)
	C.hs_complete(C.uint64_t(op), C.uint64_t(idx), status, p, n)
}

func fail(op uint64, text string) {
	p, n := cText(text)
	C.hs_fail(C.uint64_t(op), p, n)
}

func (a *Attachment) stream(r *running, op uint64, c Call) {
	defer a.wg.Done()
	defer r.work.leave()
	var msg string
	func() {
		defer func() {
			if r := recover(); r != nil {
				msg = panicText(r)
			}
		}()
		if err := a.handler.Stream(r.ctx, c, func(values []*string) { sendRow(op, values) }); err != nil {
			msg = message(err)
		}
	}()
	p, n := cText(msg)
	C.hs_end(C.uint64_t(op), p, n)
}
