package inference

import (
	"slices"
	"strconv"
	"strings"
)

// Two things that gonja gets wrong are put otherwise before it sees a template.
//
// It takes list[-1] of a list of one item for nothing. list[-1:][0] is what is meant.
//
// It knows "a if b else c" only as the whole of a {{ }} or after {% set x =.
// Templates also write it inside brackets and chain it. Here such expressions
// become ((b) and [a] or [c])[0], which evaluates the same one branch; the
// lists keep an empty a from counting as false.

// rewriteSource rewrites negative indexes and inline ifs of a template. Source
// that it does not understand is left for the parser to complain about.
func rewriteSource(source string) string {
	var out strings.Builder
	for rest := source; ; {
		at := strings.IndexByte(rest, '{')
		if at < 0 || at+1 >= len(rest) {
			return out.String() + rest
		}
		out.WriteString(rest[:at])
		rest = rest[at:]
		switch {
		case strings.HasPrefix(rest, "{#"):
			end := strings.Index(rest, "#}")
			if end < 0 {
				return out.String() + rest
			}
			out.WriteString(rest[:end+2])
			rest = rest[end+2:]
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "{%"):
			tokens, size := lexTag(rest)
			if size == 0 {
				return out.String() + rest
			}
			tag := rewriteIndexes(rest[:size], tokens)
			retokens, _ := lexTag(tag)
			out.WriteString(rewriteTag(tag, retokens))
			isRaw := len(tokens) == 1 && tokens[0].text == "raw"
			rest = rest[size:]
			if isRaw {
				end := strings.Index(rest, "endraw")
				if end < 0 {
					return out.String() + rest
				}
				out.WriteString(rest[:end])
				rest = rest[end:]
			}
		default:
			out.WriteByte('{')
			rest = rest[1:]
		}
	}
}

// exprToken is a piece of an expression: a name, a string, an operator or a bracket.
type exprToken struct {
	at   int // in the tag
	text string
}

// lexTag splits the tag at the beginning of s into tokens, without its marks,
// and gives its size; 0 when it has no end.
func lexTag(s string) (tokens []exprToken, size int) {
	closing := "}}"
	if s[1] == '%' {
		closing = "%}"
	}
	i := 2
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	depth := 0
	for i < len(s) {
		c := s[i]
		n := 1
		switch {
		case depth == 0 && strings.HasPrefix(s[i:], closing):
			return tokens, i + 2
		case depth == 0 && (c == '-' || c == '+') && strings.HasPrefix(s[i+1:], closing):
			return tokens, i + 3
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c == '"' || c == '\'':
			for n < len(s)-i && s[i+n] != c {
				if s[i+n] == '\\' {
					n++
				}
				n++
			}
			if n++; i+n > len(s) {
				return nil, 0
			}
		case wordByte(c):
			for i+n < len(s) && wordByte(s[i+n]) {
				n++
			}
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth--
		case strings.ContainsRune("=!<>", rune(c)) && i+1 < len(s) && s[i+1] == '=':
			n = 2
		}
		tokens = append(tokens, exprToken{i, s[i : i+n]})
		i += n
	}
	return nil, 0
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// rewriteIndexes makes x[-1] of a tag x[-1:][0], and x[-2] x[-2:-1][0].
func rewriteIndexes(tag string, tokens []exprToken) string {
	var out strings.Builder
	from := 0
	for i := 1; i+3 < len(tokens); i++ {
		n := tokens[i+2].text
		if tokens[i].text != "[" || tokens[i+1].text != "-" || tokens[i+3].text != "]" || n[0] < '0' || n[0] > '9' || !indexable(tokens[i-1].text) {
			continue
		}
		at := tokens[i+3].at
		out.WriteString(tag[from:at] + ":")
		if v, err := strconv.Atoi(n); err == nil && v > 1 {
			out.WriteString(strconv.Itoa(1 - v)) // the end: nothing, where the list is too short
		}
		out.WriteString("][0]")
		from = at + 1
	}
	return out.String() + tag[from:]
}

// indexable says whether a bracket behind a token is an index, not a list.
func indexable(before string) bool {
	c := before[len(before)-1]
	if c == ')' || c == ']' || c == '"' || c == '\'' {
		return true
	}
	return wordByte(c) && !slices.Contains([]string{"and", "or", "not", "in", "is", "if", "else", "elif"}, before)
}

// rewriteTag rewrites one tag. The if of {% if %} and the filter of {% for %}
// are no inline ifs.
func rewriteTag(tag string, tokens []exprToken) string {
	found := false
	for i, t := range tokens {
		found = found || t.text == "if" && i > 0
	}
	if !found {
		return tag
	}
	first, top := 0, true
	if tag[1] == '%' {
		first = 1
		top = tokens[0].text != "for"
	}
	last := tokens[len(tokens)-1]
	end := last.at + len(last.text)
	if first >= len(tokens) {
		return tag
	}
	begin := tokens[first].at
	return tag[:begin] + rewriteItems(tag[:end], begin, tokens[first:], top) + tag[end:]
}

// rewriteItems rewrites what stands between commas, colons and assignments,
// from byte from to the end of s. top allows inline ifs outside of brackets.
func rewriteItems(s string, from int, tokens []exprToken, top bool) string {
	var out strings.Builder
	item := 0
	flush := func(upTo, next int) {
		out.WriteString(rewriteItem(s[:next], from, tokens[item:upTo], top))
		from = next
	}
	depth := 0
	for i, t := range tokens {
		switch t.text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		case ",", ":", "=":
			if depth == 0 {
				flush(i, t.at)
				out.WriteString(t.text)
				from = t.at + 1
				item = i + 1
			}
		}
	}
	flush(len(tokens), len(s))
	return out.String()
}

// rewriteItem rewrites one expression, which is s from byte from.
func rewriteItem(s string, from int, tokens []exprToken, top bool) string {
	depth, ifAt, elseAt := 0, -1, -1
	for i, t := range tokens {
		switch t.text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		case "if":
			if depth == 0 && ifAt < 0 && top {
				ifAt = i
			}
		case "else":
			if depth == 0 && ifAt >= 0 && elseAt < 0 {
				elseAt = i
			}
		}
	}
	if ifAt <= 0 || elseAt == ifAt+1 || ifAt == len(tokens)-1 {
		return rewriteBrackets(s, from, tokens)
	}
	value := rewriteBrackets(s[:tokens[ifAt].at], from, tokens[:ifAt])
	condition, otherwise := "", "none"
	if elseAt < 0 {
		condition = rewriteBrackets(s, tokens[ifAt].at+2, tokens[ifAt+1:])
	} else {
		condition = rewriteBrackets(s[:tokens[elseAt].at], tokens[ifAt].at+2, tokens[ifAt+1:elseAt])
		otherwise = rewriteItem(s, tokens[elseAt].at+4, tokens[elseAt+1:], top)
	}
	return "((" + condition + ") and [" + value + "] or [" + otherwise + "])[0]"
}

// rewriteBrackets rewrites the insides of an expression's outermost brackets.
func rewriteBrackets(s string, from int, tokens []exprToken) string {
	var out strings.Builder
	depth, open := 0, 0
	for i, t := range tokens {
		switch t.text {
		case "(", "[", "{":
			if depth == 0 {
				open = i
			}
			depth++
		case ")", "]", "}":
			depth--
			if depth == 0 {
				inside := tokens[open].at + 1
				out.WriteString(s[from:inside])
				out.WriteString(rewriteItems(s[:t.at], inside, tokens[open+1:i], true))
				from = t.at
			}
		}
	}
	return out.String() + s[from:]
}
