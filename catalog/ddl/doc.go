// Package ddl reads the statements of our own: CREATE, ALTER and DROP of MODEL
// and ADAPTER. It is pure: no files, no catalog, no DuckDB.
package ddl
