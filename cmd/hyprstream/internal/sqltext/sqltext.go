package sqltext

import "strings"

// Split cuts text at the semicolons between statements. Each statement comes
// without its semicolon and the space around it; empty ones and those that are
// only comments are left out. rest is the unfinished text after the last
// semicolon, as an interactive shell needs it; complete says that rest holds
// no statement.
func Split(text string) (statements []string, rest string, complete bool) {
	start, code := 0, false
	for i := 0; i < len(text); {
		n, kind := token(text[i:])
		switch kind {
		case tokenEnd:
			if code {
				statements = append(statements, strings.TrimSpace(text[start:i]))
			}
			start, code = i+n, false
		case tokenCode:
			code = true
		case tokenOpen: // a string or comment that the text does not finish
			return statements, text[start:], false
		}
		i += n
	}
	return statements, text[start:], !code
}

// All gives every statement of text, the last one with or without a semicolon.
func All(text string) []string {
	statements, rest, complete := Split(text)
	if !complete {
		statements = append(statements, strings.TrimSpace(rest))
	}
	return statements
}

// Ident quotes a name.
func Ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Literal quotes a string.
func Literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

type tokenKind int

const (
	tokenSpace tokenKind = iota // space or a comment
	tokenCode
	tokenEnd  // a semicolon
	tokenOpen // unfinished
)

// token measures the token at the beginning of s, which is not empty.
func token(s string) (int, tokenKind) {
	switch c := s[0]; {
	case c == ';':
		return 1, tokenEnd
	case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		return 1, tokenSpace
	case strings.HasPrefix(s, "--"):
		if n := strings.IndexByte(s, '\n'); n >= 0 {
			return n + 1, tokenSpace
		}
		return len(s), tokenSpace
	case strings.HasPrefix(s, "/*"):
		return blockComment(s)
	case c == '\'' || c == '"':
		return quoted(s, 1, c, false)
	case (c == 'e' || c == 'E') && len(s) > 1 && s[1] == '\'':
		return quoted(s, 2, '\'', true)
	case c == '$':
		return dollarQuoted(s)
	case isWord(c): // as one token, so that the e of "case'x'" opens nothing
		n := 1
		for n < len(s) && (isWord(s[n]) || s[n] == '$') {
			n++
		}
		return n, tokenCode
	}
	return 1, tokenCode
}

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// quoted ends at quote; a doubled quote is part of the text, and so is what
// follows a backslash where escapes count.
func quoted(s string, from int, quote byte, escapes bool) (int, tokenKind) {
	for i := from; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1, tokenCode
		}
	}
	return len(s), tokenOpen
}

// blockComment ends at its */; PostgreSQL's comments, and DuckDB's, nest.
func blockComment(s string) (int, tokenKind) {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1, tokenSpace
			}
		}
	}
	return len(s), tokenOpen
}

// dollarQuoted is $tag$ … $tag$; $1 and $name are parameters.
func dollarQuoted(s string) (int, tokenKind) {
	end := 1
	for end < len(s) && isWord(s[end]) {
		end++
	}
	if end == len(s) || s[end] != '$' || end > 1 && '0' <= s[1] && s[1] <= '9' {
		return end, tokenCode
	}
	tag := s[:end+1]
	if n := strings.Index(s[len(tag):], tag); n >= 0 {
		return len(tag) + n + len(tag), tokenCode
	}
	return len(s), tokenOpen
}
