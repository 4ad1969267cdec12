package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"hyprstream/database"
)

// newServer serves a new, empty data directory.
func newServer(t *testing.T, opt Options) *httptest.Server {
	t.Helper()
	db, err := database.Open(context.Background(), database.Config{Dir: t.TempDir(), Exe: os.Args[0]})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(New(db, opt))
	t.Cleanup(func() {
		srv.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := db.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// call sends body and gives the status and the answer.
func call(t *testing.T, srv *httptest.Server, method, path, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// wantError checks an answer that must be an error of ours.
func wantError(t *testing.T, status int, text string, wantStatus int, wantCode, wantParam string) {
	t.Helper()
	var body struct {
		Error errorBody `json:"error"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatalf("%d %q: %v", status, text, err)
	}
	e := body.Error
	param := deref(e.Param, "")
	if status != wantStatus || e.Code != wantCode || param != wantParam || e.Message == "" || e.Type == "" {
		t.Errorf("got %d %s, want %d %s param %q", status, text, wantStatus, wantCode, wantParam)
	}
}

func TestHealth(t *testing.T) {
	srv := newServer(t, Options{Token: "secret"}) // the checks need no token
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, _, text := call(t, srv, "GET", path, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

func TestSQLRows(t *testing.T) {
	srv := newServer(t, Options{})
	for _, c := range []struct{ body, want string }{
		{`{"sql": "SELECT 1 AS a, 'x' AS b, NULL::INTEGER AS c"}`,
			`{"columns":[{"name":"a","type":"int32"},{"name":"b","type":"utf8"},{"name":"c","type":"int32"}],"rows":[[1,"x",null]],"row_count":1}`},
		{`{"sql": "SELECT ? + 1 AS n, ?::VARCHAR AS s, ? AS b", "params": [9007199254740993, "it's", true]}`,
			`{"columns":[{"name":"n","type":"int64"},{"name":"s","type":"utf8"},{"name":"b","type":"bool"}],"rows":[[9007199254740994,"it's",true]],"row_count":1}`},
		{`{"sql": "SELECT [1, 2] AS l, {'a': 'b'} AS st, 1.50::DECIMAL(5,2) AS d, DATE '2024-02-29' AS day"}`,
			`{"columns":[{"name":"l","type":"list<l: int32, nullable>"},{"name":"st","type":"struct<a: utf8 nullable>"},{"name":"d","type":"decimal(5, 2)"},{"name":"day","type":"date32"}],"rows":[[[1,2],{"a":"b"},"1.5","2024-02-29"]],"row_count":1}`},
		{`{"sql": "SELECT 1 AS a WHERE false"}`, `{"columns":[{"name":"a","type":"int32"}],"rows":[],"row_count":0}`},
		{`{"sql": "CREATE TABLE t (a INTEGER)"}`, `{"columns":[],"rows":[],"row_count":0,"rows_affected":0}`},
		{`{"sql": "INSERT INTO t VALUES (1), (2)"}`, `{"columns":[],"rows":[],"row_count":0,"rows_affected":2}`},
		{`{"sql": "SELECT 'nan'::DOUBLE AS n"}`, `{"columns":[{"name":"n","type":"float64"}],"rows":[["NaN"]],"row_count":1}`},
	} {
		status, header, text := call(t, srv, "POST", "/v1/sql", c.body)
		var got bytes.Buffer
		if err := json.Compact(&got, []byte(text)); err != nil || status != 200 || got.String() != c.want {
			t.Errorf("%s: %v\n got %d %s\nwant %s", c.body, err, status, text, c.want)
		}
		if got := header.Get("Content-Type"); got != "application/json" {
			t.Error(got)
		}
	}
}

func TestSQLManyRows(t *testing.T) {
	srv := newServer(t, Options{})
	_, _, text := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT range AS n FROM range(100000)"}`)
	var body struct {
		Rows     [][]int `json:"rows"`
		RowCount int     `json:"row_count"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatal(err)
	}
	if len(body.Rows) != 100000 || body.RowCount != 100000 || body.Rows[99999][0] != 99999 {
		t.Error(len(body.Rows), body.RowCount)
	}
}

func TestSQLArrow(t *testing.T) {
	srv := newServer(t, Options{})
	status, header, text := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT range AS n FROM range(5000)"}`, "Accept", "application/vnd.apache.arrow.stream, */*;q=0.1")
	if status != 200 || header.Get("Content-Type") != arrowStream {
		t.Fatal(status, header)
	}
	r, err := ipc.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var rows, sum int64
	for r.Next() {
		col := r.RecordBatch().Column(0).(*array.Int64)
		for i := range col.Len() {
			sum += col.Value(i)
		}
		rows += r.RecordBatch().NumRows()
	}
	if rows != 5000 || sum != 5000*4999/2 || r.Err() != nil {
		t.Error(rows, sum, r.Err())
	}
}

func TestSQLErrors(t *testing.T) {
	srv := newServer(t, Options{MaxBody: 1000})
	for _, c := range []struct {
		body   string
		status int
		code   string
		param  string
	}{
		{"", 400, "INVALID_ARGUMENT", ""},
		{"{", 400, "INVALID_ARGUMENT", ""},
		{"[]", 400, "INVALID_ARGUMENT", ""},
		{`{"sql": 1}`, 400, "INVALID_ARGUMENT", "sql"},
		{`{}`, 400, "INVALID_ARGUMENT", "sql"},
		{`{"sql": "SELEC 1"}`, 400, "SYNTAX_ERROR", ""},
		{`{"sql": "SELECT * FROM nowhere"}`, 404, "NOT_FOUND", ""},
		{`{"sql": "SELECT ?", "params": [{}]}`, 400, "INVALID_ARGUMENT", "params"},
		{`{"sql": "SELECT ?", "params": {}}`, 400, "INVALID_ARGUMENT", "params"},
		{`{"sql": "SELECT ?", "params": []}`, 400, "INVALID_ARGUMENT", ""},
		{`{"sql": "` + strings.Repeat("x", 1000) + `"}`, 413, "INVALID_ARGUMENT", ""},
	} {
		status, _, text := call(t, srv, "POST", "/v1/sql", c.body)
		wantError(t, status, text, c.status, c.code, c.param)
	}
	status, _, text := call(t, srv, "GET", "/v1/sql", "")
	wantError(t, status, text, 405, "INVALID_ARGUMENT", "")
	status, _, text = call(t, srv, "GET", "/v2", "")
	wantError(t, status, text, 404, "NOT_FOUND", "")
}

// An error after the first rows is a member of the same answer. (Which of two
// messages it has is a race within DuckDB: its error interrupts the other
// threads, and sometimes theirs is the one it reports.)
func TestSQLLateError(t *testing.T) {
	srv := newServer(t, Options{})
	status, _, text := call(t, srv, "POST", "/v1/sql",
		`{"sql": "SELECT CASE WHEN range < 300000 THEN range ELSE error('too far') END AS n FROM range(1000000)"}`)
	var body struct {
		Rows  [][]int    `json:"rows"`
		Error *errorBody `json:"error"`
	}
	if err := json.Unmarshal([]byte(text), &body); err != nil || body.Error == nil {
		t.Fatal(status, err, text[:min(len(text), 300)])
	}
	if m := body.Error.Message; !strings.Contains(m, "too far") && !strings.Contains(m, "Interrupted") {
		t.Error(body.Error)
	}
}

func TestToken(t *testing.T) {
	srv := newServer(t, Options{Token: "secret"})
	for _, c := range []struct {
		auth   string
		status int
	}{{"", 401}, {"Bearer wrong", 401}, {"secret", 401}, {"Bearer secret", 200}, {"bearer secret", 200}} {
		status, header, text := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT 1"}`, "Authorization", c.auth)
		if status != c.status {
			t.Errorf("%q: %d %s", c.auth, status, text)
		}
		if status == 401 {
			wantError(t, status, text, 401, "UNAUTHENTICATED", "")
			if header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
		}
	}
	if status, _, _ := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT 1"}`, "Authorization", "Bearer secret", "Host", "db.example"); status != 200 {
		t.Error("with a token any Host is fine, got", status)
	}
}

func TestRebindingAndOrigin(t *testing.T) {
	srv := newServer(t, Options{})
	status, _, text := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT 1"}`, "Host", "evil.example")
	wantError(t, status, text, 403, "PERMISSION_DENIED", "")
	status, _, text = call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT 1"}`, "Origin", "https://evil.example", "Content-Type", "application/json")
	wantError(t, status, text, 403, "PERMISSION_DENIED", "")
	status, _, text = call(t, srv, "OPTIONS", "/v1/sql", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
	wantError(t, status, text, 403, "PERMISSION_DENIED", "")
}

// A request that goes away takes its statement with it, and its session.
func TestClientGone(t *testing.T) {
	srv := newServer(t, Options{MaxSessions: 1, MaxWait: 10 * time.Second})
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "POST", srv.URL+"/v1/sql",
		strings.NewReader(`{"sql": "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3"}`))
	if resp, err := srv.Client().Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("the statement must take longer than the request")
	}
	if status, _, text := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT 1"}`); status != 200 {
		t.Error(status, text)
	}
}

func TestQueueFull(t *testing.T) {
	srv := newServer(t, Options{MaxSessions: 1, MaxWait: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		req, _ := http.NewRequestWithContext(ctx, "POST", srv.URL+"/v1/sql",
			strings.NewReader(`{"sql": "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3"}`))
		if resp, err := srv.Client().Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	defer func() { cancel(); <-gone }()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		status, _, text := call(t, srv, "POST", "/v1/sql", `{"sql": "SELECT 1"}`)
		if status == 429 {
			wantError(t, status, text, 429, "QUEUE_FULL", "")
			return
		}
	}
	t.Error("the second statement was never refused")
}
