package sql_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// script is a file of statements with what they must give; CONTRIBUTING.md
// says how it is written.
type script struct {
	gemma bool // it needs the real model
	toy   bool // it runs on the toy model instead
	steps []step
}

type step struct {
	line  int
	kind  kind
	sql   string
	want  []string // rows, or what the error must contain
	types string   // a letter for each column of a query, "" for any
	sort  bool     // rows are compared sorted
	count int64    // rows that a statement count changes
	con   string   // the connection, "" for the first
}

type kind string

const (
	statementOK    kind = "statement ok"
	statementError kind = "statement error"
	statementCount kind = "statement count"
	query          kind = "query"
)

// header is a step's first line: statement ok|error|count N, or query, with the
// columns' letters and nosort or rowsort in a logic test; then a connection's name.
var header = regexp.MustCompile(`^(?:(statement (?:ok|error|count)) ?(\d*)|(query)(?: ([IRT]+)(?: (nosort|rowsort))?)?)(?: (con\d+))?$`)

func parseHeader(line string) (step, bool) {
	m := header.FindStringSubmatch(line)
	if m == nil || (m[1] == string(statementCount)) != (m[2] != "") {
		return step{}, false
	}
	count, _ := strconv.ParseInt(m[2], 10, 64)
	return step{kind: kind(m[1] + m[3]), count: count, types: m[4], sort: m[5] == "rowsort", con: m[6]}, true
}

// parseScript reads a script. A file it cannot read is the test's failure.
func parseScript(t *testing.T, path string) script {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s script
	var now *step
	inWant := false
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 8<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case now == nil && (line == "" || strings.HasPrefix(line, "#")):
		case now == nil && line == "require gemma":
			s.gemma = true
		case now == nil && line == "require toy":
			s.toy = true
		case now == nil:
			st, ok := parseHeader(line)
			if !ok {
				t.Fatalf("%s:%d: %q is no step: want statement ok, statement error, statement count N or query", path, n, line)
			}
			now, inWant = &st, false
			now.line = n
		case line == "":
			s.steps, now = append(s.steps, *now), nil
		case line == "----" && (now.kind == statementError || now.kind == query):
			inWant = true
		case inWant:
			now.want = append(now.want, line)
		default:
			now.sql += line + "\n"
		}
	}
	if now != nil {
		s.steps = append(s.steps, *now)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, st := range s.steps {
		if st.sql == "" || st.kind == statementError && len(st.want) == 0 {
			t.Fatalf("%s:%d: the step has no statement, or does not say what its error contains", path, st.line)
		}
	}
	return s
}

// in is the script with a folder's path for {dir}.
func (s script) in(dir string) script {
	s.steps = slices.Clone(s.steps)
	for i := range s.steps {
		s.steps[i].sql = strings.ReplaceAll(s.steps[i].sql, "{dir}", dir)
	}
	return s
}

// run takes the steps one by one, on the connections they name. The others are
// tried too when one has failed.
func (s script) run(t *testing.T, path string, connect func() conn) {
	conns := map[string]conn{}
	for _, st := range s.steps {
		if conns[st.con] == nil {
			conns[st.con] = connect()
		}
		t.Run(fmt.Sprint("line ", st.line), func(t *testing.T) {
			if err := st.run(t.Context(), conns[st.con]); err != nil {
				t.Errorf("%s:%d: %v\n%s", path, st.line, err, st.sql)
			}
		})
	}
}

// run takes one step. The error says how it is not what it should be.
func (st step) run(ctx context.Context, c conn) error {
	switch st.kind {
	case query:
		rows, err := c.table(ctx, st.sql)
		if err != nil {
			return err
		}
		return st.compare(rows)
	case statementCount:
		n, err := c.update(ctx, st.sql)
		if err == nil && n != st.count {
			err = fmt.Errorf("%d rows changed, want %d", n, st.count)
		}
		return err
	}
	err := c.exec(ctx, st.sql)
	if st.kind == statementOK {
		return err
	}
	if err == nil {
		return errors.New("no error")
	}
	for _, want := range st.want {
		if !strings.Contains(err.Error(), want) {
			return fmt.Errorf("the error does not say %q: %w", want, err)
		}
	}
	return nil
}

func (st step) compare(rows table) error {
	have, want := rows.lines(), st.want
	if st.types != "" {
		if err := rows.fits(st.types); err != nil {
			return err
		}
		have = rows.logic()
	}
	if st.sort {
		slices.Sort(have)
		want = slices.Sorted(slices.Values(want))
	}
	if strings.Join(have, "\n") != strings.Join(want, "\n") {
		return fmt.Errorf("have\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	return nil
}
