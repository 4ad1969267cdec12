package database

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hyprstream/errs"
)

// clientSettings are the settings a client may change although the rest is
// locked: they are its session's own and reach no file.
var clientSettings = []string{
	"ai_max_error_ratio", "ai_max_rows", "ai_max_tokens", "ai_max_seconds",
	"timezone", "calendar",
	"errors_as_json", "enable_progress_bar", "progress_bar_time",
	"scalar_subquery_error_on_multiple_rows", "order_by_non_integer_literal",
	"integer_division", "ieee_floating_point_ops", "old_implicit_casting",
	"preserve_identifier_case", "explain_output", "pivot_limit", "max_expression_depth",
	"streaming_buffer_size", // set by ourselves for each statement, whatever a client says
}

// lockdown are the statements that keep clients inside the allowed directories.
// An embedded database (no AllowDirs) is its user's own and stays open.
func (db *DB) lockdown() []string {
	if db.cfg.AllowDirs == nil {
		return nil
	}
	var dirs []string
	for _, d := range db.cfg.AllowDirs {
		dirs = append(dirs, realPath(d))
	}
	settings := clientSettings
	if db.vectors {
		settings = append(slices.Clone(settings), "hnsw_ef_search")
	}
	return []string{
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET allow_community_extensions = false",
		"SET allow_persistent_secrets = false",
		"SET allowed_directories = " + list(dirs),
		"SET enable_external_access = false",
		"SET allowed_configs = " + list(settings),
		"SET lock_configuration = true",
	}
}

// withheld are functions of DuckDB's own that its configuration lock does not
// cover. A log or profile file that cannot be written makes later statements
// fail, and the process abort when the connection closes; profiles go to the
// server's standard output; the others switch things for every client at once,
// run statements twice, or take addresses.
var withheld = []string{
	"enable_logging", "disable_logging", "truncate_duckdb_logs",
	"enable_profiling", "enable_profile", "all_profiling_output",
	"enable_checkpoint_on_shutdown", "disable_checkpoint_on_shutdown",
	"enable_peg_parser", "disable_peg_parser",
	"enable_verification", "verify_external", "verify_fetch_row", "verify_parallelism", "verify_serializer",
	"arrow_scan", "arrow_scan_dumb",
}

// list is a SQL list of strings.
func list(items []string) string {
	q := make([]string, len(items))
	for i, s := range items {
		q[i] = literal(s)
	}
	return "[" + strings.Join(q, ", ") + "]"
}

// literal is a SQL string.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// realPath is a path with its symbolic links resolved, as far as it exists.
func realPath(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if r, err := filepath.EvalSymlinks(abs); err == nil {
		return r
	}
	return abs
}

// allow checks a path that a statement of our own names, and returns the one to
// open: absolute, with symbolic links resolved, below an allowed directory.
func (db *DB) allow(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", errs.Wrap(err, errs.InvalidArgument, "open", "%q is no path", path)
	}
	if db.cfg.AllowDirs == nil {
		return abs, nil
	}
	for _, dir := range db.cfg.AllowDirs {
		if below(realPath(dir), resolve(abs)) {
			return resolve(abs), nil
		}
	}
	return "", errs.New(errs.PermissionDenied, "open",
		"%s is not below an allowed directory (%s): move it there, or start the server with --allow-dir %s",
		path, strings.Join(db.cfg.AllowDirs, ", "), filepath.Dir(abs))
}

// resolve follows symbolic links; of a path that does not exist, those of the
// part that does, so that the answer does not tell what is there.
func resolve(abs string) string {
	rest := ""
	for p := abs; ; p = filepath.Dir(p) {
		if r, err := filepath.EvalSymlinks(p); err == nil {
			return filepath.Join(r, rest)
		}
		if p == filepath.Dir(p) {
			return abs
		}
		rest = filepath.Join(filepath.Base(p), rest)
	}
}

// below says whether path is dir or in it.
func below(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(os.PathSeparator))
}
