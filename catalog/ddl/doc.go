// Package ddl reads the statements of our own: CREATE, ALTER and DROP of MODEL,
// ADAPTER and PROMPT, DROP SESSION and CLEAR CACHE. It is pure: no files, no catalog, no DuckDB.
package ddl
