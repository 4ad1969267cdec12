package catalog

import (
	"encoding/json"
	"sync"
	"unsafe"

	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
)

// store is the catalog's DuckDB file: documents by table and name.
type store struct {
	mu   sync.Mutex // one statement at a time on conn
	db   m.Database
	conn m.Connection
}

// formatVersion is what this build writes. A newer file is refused.
const formatVersion = "1"

const layout = `
CREATE TABLE IF NOT EXISTS meta(name VARCHAR, doc JSON);
CREATE TABLE IF NOT EXISTS models(name VARCHAR, doc JSON);
CREATE TABLE IF NOT EXISTS adapters(name VARCHAR, doc JSON);
CREATE TABLE IF NOT EXISTS prompts(name VARCHAR, doc JSON);
CREATE TABLE IF NOT EXISTS sessions(name VARCHAR, doc JSON);
CREATE TABLE IF NOT EXISTS messages(name VARCHAR, doc JSON);
CREATE TABLE IF NOT EXISTS usage(name VARCHAR, doc JSON);`

func openStore(path string) (*store, error) {
	var cfg m.Config
	m.CreateConfig(&cfg)
	defer m.DestroyConfig(&cfg)
	for k, v := range map[string]string{"threads": "1", "memory_limit": "128MB",
		"enable_external_access": "false", "autoinstall_known_extensions": "false", "autoload_known_extensions": "false"} {
		m.SetConfig(cfg, k, v)
	}
	s := &store{}
	var msg string
	if m.OpenExt(path, &s.db, cfg, &msg) != m.StateSuccess {
		return nil, errs.New(errs.Internal, "catalog.Open", "the catalog %s cannot be opened: %s", path, msg)
	}
	if m.Connect(s.db, &s.conn) != m.StateSuccess {
		s.close()
		return nil, errs.New(errs.Internal, "catalog.Open", "the catalog %s gave no connection", path)
	}
	if err := s.checkVersion(path); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// checkVersion lays out a new file and refuses one of a later build.
func (s *store) checkVersion(path string) error {
	if err := s.exec(layout); err != nil {
		return err
	}
	var version string
	err := s.each("meta", func(name, doc string) error {
		if name == "version" {
			return json.Unmarshal([]byte(doc), &version)
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch version {
	case "":
		return s.change(put("meta", "version", formatVersion))
	case formatVersion:
		return nil
	}
	return errs.New(errs.Unsupported, "catalog.Open", "the catalog %s has format %s and this build knows %s: use a newer build", path, version, formatVersion)
}

func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Disconnect(&s.conn)
	m.Close(&s.db)
}

// edit is one step of a change: a document to write, or, where doc is nil, to
// remove. A name has one document, or a list of them where they are added.
type edit struct {
	table, name string
	doc         any
	added       bool // beside what the name has
}

func put(table, name string, doc any) edit { return edit{table: table, name: name, doc: doc} }
func add(table, name string, doc any) edit { return edit{table, name, doc, true} }
func del(table, name string) edit          { return edit{table: table, name: name} }

// change makes all edits in one transaction; it is on disk when change returns.
func (s *store) change(edits ...edit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.Ptr == nil {
		return errClosed()
	}
	if err := s.exec("BEGIN"); err != nil {
		return err
	}
	for _, e := range edits {
		if err := s.apply(e); err != nil {
			_ = s.exec("ROLLBACK") // the first error is what counts
			return err
		}
	}
	return s.exec("COMMIT")
}

func (s *store) apply(e edit) error {
	if !e.added {
		if err := s.exec("DELETE FROM "+e.table+" WHERE name = $1", e.name); err != nil || e.doc == nil {
			return err
		}
	}
	doc, err := json.Marshal(e.doc)
	if err != nil {
		return errs.Wrap(err, errs.Internal, "catalog", "%s %s cannot be written", e.table, e.name)
	}
	return s.exec("INSERT INTO "+e.table+" VALUES ($1, $2)", e.name, string(doc))
}

// exec runs SQL; with args a single statement.
func (s *store) exec(sql string, args ...string) error {
	var r m.Result
	defer m.DestroyResult(&r)
	if len(args) == 0 {
		if m.Query(s.conn, sql, &r) != m.StateSuccess {
			return storeError(m.ResultError(&r))
		}
		return nil
	}
	return s.query(&r, sql, args...)
}

// query runs one statement.
func (s *store) query(r *m.Result, sql string, args ...string) error {
	var p m.PreparedStatement
	defer m.DestroyPrepare(&p)
	if m.Prepare(s.conn, sql, &p) != m.StateSuccess {
		return storeError(m.PrepareError(p))
	}
	for i, a := range args {
		m.BindVarchar(p, m.IdxT(i+1), a)
	}
	if m.ExecutePrepared(p, r) != m.StateSuccess {
		return storeError(m.ResultError(r))
	}
	return nil
}

func errClosed() error { return errs.New(errs.EngineUnavailable, "catalog", "the catalog is closed") }

func storeError(msg string) error {
	return errs.New(errs.Internal, "catalog", "the catalog's file: %s", msg)
}

// each reads all documents of a table.
func (s *store) each(table string, f func(name, doc string) error) error {
	return s.rows(f, "SELECT name, doc::VARCHAR FROM "+table+" ORDER BY rowid")
}

// eachOf reads the documents of a name, in the order in which they were added.
func (s *store) eachOf(table, name string, f func(name, doc string) error) error {
	return s.rows(f, "SELECT name, doc::VARCHAR FROM "+table+" WHERE name = $1 ORDER BY rowid", name)
}

// rows gives f the rows of a query for names and documents.
func (s *store) rows(f func(name, doc string) error, sql string, args ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.Ptr == nil {
		return errClosed()
	}
	var r m.Result
	defer m.DestroyResult(&r)
	if err := s.query(&r, sql, args...); err != nil {
		return err
	}
	for {
		chunk := m.FetchChunk(r)
		if chunk.Ptr == nil {
			return nil
		}
		names, docs := m.DataChunkGetVector(chunk, 0), m.DataChunkGetVector(chunk, 1)
		for i := range int(m.DataChunkGetSize(chunk)) {
			if err := f(text(names, i), text(docs, i)); err != nil {
				m.DestroyDataChunk(&chunk)
				return err
			}
		}
		m.DestroyDataChunk(&chunk)
	}
}

// text copies a string out of a vector without NULLs.
func text(v m.Vector, i int) string {
	p := (*m.StringT)(unsafe.Add(m.VectorGetData(v), i*int(unsafe.Sizeof(m.StringT{}))))
	return string([]byte(m.StringTData(p)))
}
