package ddl

import "strings"

// usages are the statements by their first words.
var usages = map[string]string{
	"CREATE MODEL":   "CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name FROM 'path' [WITH (option = value, …)]",
	"CREATE ADAPTER": "CREATE [OR REPLACE] ADAPTER [IF NOT EXISTS] name FOR MODEL model FROM 'path' | (adapter [weight], …) [WITH (scale = 1.0)]",
	"ALTER MODEL":    "ALTER MODEL name LOAD | UNLOAD | PIN | UNPIN | SET DEFAULT",
	"DROP MODEL":     "DROP MODEL [IF EXISTS] name",
	"DROP ADAPTER":   "DROP ADAPTER [IF EXISTS] name",
	"CREATE PROMPT":  "CREATE [OR REPLACE] PROMPT [IF NOT EXISTS] name AS 'text with {{field}}'",
	"DROP PROMPT":    "DROP PROMPT [IF EXISTS] name",
	"DROP SESSION":   "DROP SESSION [IF EXISTS] 'id'",
	"CLEAR CACHE":    "CLEAR CACHE",
}

// recognise gives the syntax of the statement sql begins like, "" for none of
// ours. It reads a few words and no more.
func recognise(sql string) string {
	verb, rest := word(sql)
	if verb != "CREATE" && verb != "ALTER" && verb != "DROP" && verb != "CLEAR" {
		return ""
	}
	noun, rest := word(rest)
	if verb == "CREATE" && noun == "OR" {
		if noun, rest = word(rest); noun != "REPLACE" {
			return ""
		}
		noun, _ = word(rest)
	}
	return usages[verb+" "+noun]
}

// word takes the first word off s, in upper case, skipping blanks and comments.
func word(s string) (w, rest string) {
	for {
		s = strings.TrimLeft(s, " \t\r\n\f\v\ufeff;")
		switch {
		case strings.HasPrefix(s, "--"):
			_, s, _ = strings.Cut(s, "\n")
		case strings.HasPrefix(s, "/*"):
			var closed bool
			if _, s, closed = strings.Cut(s, "*/"); !closed {
				return "", ""
			}
		default:
			n := 0
			for n < len(s) && n <= len("ADAPTER") && (s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z') {
				n++
			}
			return strings.ToUpper(s[:n]), s[n:]
		}
	}
}
