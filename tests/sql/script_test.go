package sql_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
)

// script is a file of statements with what they must give; CONTRIBUTING.md
// says how it is written.
type script struct {
	gemma bool // it needs the real model
	steps []step
}

type step struct {
	line int
	kind kind
	sql  string
	want []string // rows, or what the error must contain
}

type kind string

const (
	statementOK    kind = "statement ok"
	statementError kind = "statement error"
	query          kind = "query"
)

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
		case now == nil:
			k := kind(line)
			if k != statementOK && k != statementError && k != query {
				t.Fatalf("%s:%d: %q is no step: want statement ok, statement error or query", path, n, line)
			}
			now, inWant = &step{line: n, kind: k}, false
		case line == "":
			s.steps, now = append(s.steps, *now), nil
		case line == "----" && now.kind != statementOK:
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

// run takes the steps one by one over a connection. The others are tried too
// when one has failed.
func (s script) run(t *testing.T, path string, c conn) {
	for _, st := range s.steps {
		at := fmt.Sprintf("%s:%d", path, st.line)
		var have []string
		var err error
		if st.kind == query {
			have, err = c.query(t.Context(), st.sql)
		} else {
			err = c.exec(t.Context(), st.sql)
		}
		switch {
		case st.kind == statementError && err == nil:
			t.Errorf("%s: no error\n%s", at, st.sql)
		case st.kind == statementError:
			for _, want := range st.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: the error does not say %q:\n%v\n%s", at, want, err, st.sql)
				}
			}
		case err != nil:
			t.Errorf("%s: %v\n%s", at, err, st.sql)
		case strings.Join(have, "\n") != strings.Join(st.want, "\n"):
			t.Errorf("%s: have\n%s\nwant\n%s\n%s", at, strings.Join(have, "\n"), strings.Join(st.want, "\n"), st.sql)
		}
	}
}
