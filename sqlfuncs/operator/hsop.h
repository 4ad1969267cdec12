// The whole border between Go and the C++ that lives inside DuckDB.
//
// Names: env is the Go-side registration of one database; conn is DuckDB's
// connection id; op is one running operator. Strings are borrowed for the
// length of the call, on both sides, unless said otherwise.
#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
	const char *p; // NULL is SQL NULL
	size_t n;
} hs_str;

// One parameter or result column; type is SQL type text, "ANY" is allowed for parameters.
typedef struct {
	const char *name;
	const char *type;
} hs_col;

// A scalar function whose rows go to the engine.
typedef struct {
	uint16_t fn;            // what Go knows it by
	const char *name;       // inner name, called by the macros
	const hs_col *args;
	size_t nargs;
	const char *returns;
	const uint64_t *groups; // bit masks over args: a row with a group all NULL is NULL
	size_t ngroups;
	int lift;               // 1: may be moved into the operator
	int free;               // 1: costs nothing worth counting
	int early;              // 1: rows leave as soon as they are answered, in any order
	int json;               // 1: answers are JSON of the result's type
} hs_scalar;

// A table function that streams rows from the engine. npos positional
// parameters come first (overloads: the last npos-min of them), then named ones.
typedef struct {
	uint16_t fn;
	const char *name;
	const hs_col *args; // order of the packed request
	size_t nargs;
	const uint8_t *const *overloads; // each: positions in args, ended by 255
	size_t noverloads;
	const hs_col *columns;
	size_t ncolumns;
	int estimate; // 1: its one argument is a SELECT, whose calls are counted
	int rows;     // 1: its second argument is a SELECT, whose rows are answered
} hs_table;

// On what terms an operator runs. The limits, of the settings ai_max_…, hold for
// the statement over all its operators; 0 is none.
typedef struct {
	uint64_t query;    // DuckDB's number of the statement
	uint64_t estimate; // not 0: calls are only counted, for this estimate of the statement
	int64_t rows, tokens;
	double seconds;
} hs_terms;

// Go -> C++, at start. db is a duckdb_database. 0 is success; else err is filled.
int hs_attach(void *db, uint64_t env, char *err, size_t errlen);
int hs_add_scalar(void *db, const hs_scalar *f, char *err, size_t errlen);
// f's arguments are the model, the texts and the rest, of which those before npos + 1 are given by position.
int hs_add_aggregate(void *db, const hs_scalar *f, size_t npos, char *err, size_t errlen);
int hs_add_table(void *db, const hs_table *f, char *err, size_t errlen);
int hs_add_macro(void *db, const char *sql, char *err, size_t errlen);
int hs_add_setting(void *db, const char *name, const char *description, const char *type, const char *value, char *err,
                   size_t errlen);
// Takes a table function or pragma of DuckDB's own away.
int hs_withhold(void *db, const char *name, char *err, size_t errlen);
// Lists the HNSW indexes in the database's own catalog: of each its quoted name, table, statement and "1" where a log has
// changes that it has not taken in, each ended by a NUL. out is for the caller to free.
int hs_hnsw_indexes(void *db, char **out, size_t *n, char *err, size_t errlen);
// Keeps clients' statements out of dir; DuckDB's own files there begin with own.
int hs_guard(void *db, const char *dir, const char *own, char *err, size_t errlen);
void hs_detach(void *db);
// The calls of a function in sql: a line each, the number of its arguments without a name and, after
// tabs, the names of the others. malloc'ed.
char *hs_calls(const char *sql, size_t n, const char *name);
// Whether plans made on conn from now on pack their rows, so that only hs_fetch can read them; with no_unsigned
// its types are hs_wire_type's.
void hs_pack(void *conn, int on, int no_unsigned);
// How many bytes of rows may be made ahead of their reader when prepared is executed on conn next.
void hs_buffer(void *conn, void *prepared, size_t bytes);
// The next rows of a duckdb_result, a chunk of DuckDB's at least and more, up to max_rows, where those are there at
// once, as an ArrowArray into out. The number of rows; ended is set where no more will come, be it for an error.
// types, where not NULL, are those that its columns are cast to, NULL for one that is not.
size_t hs_fetch(void *result, void *options, void **types, size_t max_rows, void *out, int *ended);
// The duckdb_logical_type that values of a type leave as, a new one, with signed integers in the place of unsigned ones
// where no_unsigned asks for it; *same: they need no cast.
void *hs_wire_type(void *type, int no_unsigned, int *same);
// A duckdb_data_chunk of these n types from another. NULL on failure, with DuckDB's rendered message, malloc'ed, in *error.
void *hs_cast(void *conn, void *chunk, void **types, size_t n, char **error);
// A duckdb_value: of a UNION, with a member's value. NULL: it cannot be one.
void *hs_union(void *type, size_t tag, void *value);
// A duckdb_value: NULL of a duckdb_logical_type.
void *hs_null(void *type);
// A duckdb_prepared_statement that is prepared run over all rows of parameters, of n duckdb_data_chunks with a
// column per parameter. NULL: they can only be executed one by one.
void *hs_together(void *conn, void *prepared, void **chunks, size_t n);

// Go -> C++, completions. Unknown ops are ignored: the statement has ended.
enum { HS_OK = 0, HS_NULL = 1, HS_ROW_ERROR = 2, HS_FAIL = 3 };
void hs_complete(uint64_t op, uint64_t idx, int status, const char *s, size_t n);
void hs_fail(uint64_t op, const char *message, size_t n); // the statement fails
void hs_row(uint64_t op, const hs_str *values, size_t n);
void hs_end(uint64_t op, const char *message, size_t n); // n == 0: success
void hs_wake(uint64_t env, uint64_t conn);               // after duckdb_interrupt

#ifdef __cplusplus
// C++ -> Go. Text that Go returns is malloc'ed; the caller frees it.
void goHsOpen(uint64_t env, uint64_t conn, uint64_t op, hs_terms terms); // op begins
void goHsSubmit(uint64_t env, uint64_t conn, uint64_t op, uint64_t first, uint64_t n, hs_str *reqs);
void goHsStream(uint64_t env, uint64_t conn, uint64_t op, hs_str req);
void goHsStop(uint64_t op); // no more answers are wanted; what it has cost can still be asked
void goHsClose(uint64_t op);
char *goHsCheck(uint64_t env, hs_str req);                              // NULL: fine, else the error
char *goHsReturns(uint64_t env, hs_str req);                            // type text; NULL: as registered
char *goHsExplain(uint64_t env, hs_str req, uint64_t rows);             // what is known of a call's cost, in lines
double goHsCost(uint64_t env, hs_str req, double *yes);                 // of a call, in no unit; yes: how often it was true
char *goHsSpent(uint64_t op);                                           // what op's calls have cost, in lines
// A prompt's text up to its first placeholder, that one's field, the text up to the next one and so on: each
// a u32 length and so many bytes, size in all. NULL: err says why.
char *goHsTemplate(uint64_t env, hs_str name, size_t *size, char **err);
int goHsParse(uint64_t env, hs_str sql, char **err);                    // 0 not ours, 1 ours, 2 error
int goHsRun(uint64_t env, uint64_t conn, hs_str sql, char **out);       // 0: out is the status, 1: the error
}
#endif
