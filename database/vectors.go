package database

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
	"hyprstream/sqlfuncs/operator"
)

// vssFile is where the data directory has DuckDB's extension for similarity
// search by index. It need not be there.
const vssFile = "extensions/vss.duckdb_extension"

// openVectors loads the extension, and puts the indexes that need it in order. It
// must run before settings are locked, and before anything writes: DuckDB loses what
// a log holds for an index whose type it does not know.
func (db *DB) openVectors(conn m.Connection) error {
	indexes, err := db.funcs.VectorIndexes()
	if err != nil {
		return err
	}
	path := filepath.Join(db.cfg.Dir, vssFile)
	if err := loadVSS(conn, path); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			db.log.Warn("an extension cannot be loaded: similarity search reads whole tables. Put in its place DuckDB's vss for its very "+
				"version and this platform, as DuckDB signs it, or take it away", "file", path, "duckdb", m.LibraryVersion(), "err", err)
		}
		return db.dropIndexes(conn, indexes, path)
	}
	db.vectors = true
	db.log.Info("similarity search can use HNSW indexes", "extension", path)
	return db.remakeIndexes(conn, indexes)
}

// loadVSS loads the extension at path. An error that is fs.ErrNotExist: there is none.
func loadVSS(conn m.Connection, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if err := execOn(conn, "LOAD "+literal(path)); err != nil {
		return err
	}
	// Otherwise indexes are for databases in memory alone.
	return execOn(conn, "SET GLOBAL hnsw_enable_experimental_persistence = true")
}

// dropIndexes drops the indexes that need the extension, where there is none. With
// one, DuckDB refuses to change its table, stops altogether at a checkpoint after some
// changes, and leaves rows out of the index for good that a log held when a process was killed.
func (db *DB) dropIndexes(conn m.Connection, indexes []operator.Index, path string) error {
	for _, x := range indexes {
		if err := db.dropIndex(conn, x); err != nil {
			return err
		}
		db.log.Warn("an index needs an extension that is not there: dropped, so that its table can be written. "+
			"The rows are all there; put the extension in its place and create the index again",
			"index", x.Name, "table", x.Table, "extension", path, "create", createIndex(x))
	}
	return nil
}

// remakeIndexes makes those anew whose tables a killed process had changed. The
// extension takes such changes in from the log in a way that can make the table unusable.
func (db *DB) remakeIndexes(conn m.Connection, indexes []operator.Index) error {
	for _, x := range indexes {
		if !x.Behind {
			continue
		}
		if err := db.dropIndex(conn, x); err != nil {
			return err
		}
		begun := time.Now()
		create := createIndex(x)
		if err := execOn(conn, create); err != nil {
			db.log.Warn("an index was behind its table after the process had been killed: dropped, and it cannot be made anew. "+
				"The rows are all there", "index", x.Name, "table", x.Table, "create", create, "err", err)
			continue
		}
		db.log.Warn("an index was behind its table after the process had been killed: made anew",
			"index", x.Name, "table", x.Table, "create", create, "took", time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

func (db *DB) dropIndex(conn m.Connection, x operator.Index) error {
	if err := execOn(conn, "DROP INDEX "+x.Name); err != nil {
		return errs.Wrap(err, errs.Internal, "database.Open", "the index %s of table %s cannot be dropped", x.Name, x.Table)
	}
	return nil
}

// createIndex makes x as similarity uses it: DuckDB does not keep an index's options.
func createIndex(x operator.Index) string {
	return strings.TrimSuffix(x.SQL, ";") + " WITH (metric = 'cosine')"
}
