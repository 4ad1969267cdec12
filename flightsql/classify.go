package flightsql

import (
	"regexp"
	"strings"
)

// The database decides what a statement means. These guesses, from the words
// alone, only choose between two correct ways to run it, and err to the side
// that is slower and safe.

var (
	comments = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/`)
	// a common table expression in front of a statement that changes rows
	withChange = regexp.MustCompile(`(?i)\)\s*(insert\s+(or|into)|update|delete\s+from|merge\s+into)\s`)
	temporary  = regexp.MustCompile(`(?i)\b(temp|temporary|setseed|set_config|currval)\b`)
)

// keepsState says whether the statement may leave something behind that only
// its own session sees: a temporary object, a setting, a transaction.
func keepsState(sql string) bool {
	if temporary.MatchString(sql) {
		return true
	}
	for _, part := range strings.Split(comments.ReplaceAllString(sql, " "), ";") {
		switch firstWord(part) {
		case "SET", "RESET", "USE", "PRAGMA", "PREPARE", "EXECUTE", "DEALLOCATE", "CALL", "LOAD",
			"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT":
			return true
		}
	}
	return false
}

// endsTransaction says whether the statement may end a transaction.
func endsTransaction(sql string) bool {
	for _, part := range strings.Split(comments.ReplaceAllString(sql, " "), ";") {
		switch firstWord(part) {
		case "COMMIT", "END", "ROLLBACK", "ABORT":
			return true
		}
	}
	return false
}

// readsOnly says whether running the statement only when its rows are fetched
// is safe: a query that changes nothing. Any other is executed at once.
func readsOnly(sql string) bool {
	sql = comments.ReplaceAllString(sql, " ")
	switch firstWord(sql) {
	case "WITH":
		return !withChange.MatchString(sql)
	case "SELECT", "FROM", "VALUES", "TABLE", "EXPLAIN", "DESCRIBE", "SHOW", "SUMMARIZE", "PIVOT", "UNPIVOT", "":
		return true
	}
	return false
}

func firstWord(sql string) string {
	sql = strings.TrimLeft(sql, " \t\r\n\f(;")
	end := strings.IndexFunc(sql, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_')
	})
	if end < 0 {
		end = len(sql)
	}
	return strings.ToUpper(sql[:end])
}
