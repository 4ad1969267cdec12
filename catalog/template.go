package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"hyprstream/errs"
)

// Prompt is one version of a CREATE PROMPT.
type Prompt struct {
	Name      string
	Version   int // from 1
	Template  string
	Fields    []string // that it names, each once, in the order of the text
	SHA256    string   // of the template
	CreatedAt time.Time

	// Pieces are the template's text up to the first placeholder, its field, the text
	// up to the next one and so on, ending with a text.
	Pieces []string `json:"-"`
}

func newPrompt(name, template string) (Prompt, error) {
	pieces, err := cutTemplate(template)
	if err != nil {
		return Prompt{}, err
	}
	digest := sha256.Sum256([]byte(template))
	v := Prompt{Name: name, Version: 1, Template: template, Pieces: pieces, Fields: []string{}, SHA256: hex.EncodeToString(digest[:])}
	seen := map[string]bool{}
	for i := 1; i < len(pieces); i += 2 {
		if k := asciiLower(pieces[i]); !seen[k] {
			seen[k] = true
			v.Fields = append(v.Fields, pieces[i])
		}
	}
	return v, nil
}

// cutTemplate finds the placeholders of a template, {{name}} or {{ name }}. Nothing
// else in it means anything, and nothing that looks like one is passed over.
// Errors: errs.InvalidArgument with line and column in the template.
func cutTemplate(template string) (pieces []string, err error) {
	if !utf8.ValidString(template) {
		return nil, errs.New(errs.InvalidArgument, "CREATE PROMPT", "the template is no valid UTF-8")
	}
	for rest := template; ; {
		text, after, found := strings.Cut(rest, "{{")
		pieces = append(pieces, text)
		if !found {
			return pieces, nil
		}
		at := len(template) - len(after) - len("{{")
		inside, next, closed := strings.Cut(after, "}}")
		name := strings.TrimSpace(inside)
		switch {
		case !closed:
			return nil, badTemplate(template, at, "{{ is not closed by }}; a {{ that is to be text comes in by a field")
		case name == "":
			return nil, badTemplate(template, at, "the placeholder has no name; write {{name}}")
		case strings.HasPrefix(name, "{"):
			return nil, badTemplate(template, at, "there are three braces; put a space before the {{ of the placeholder")
		case !isFieldName(name):
			return nil, badTemplate(template, at, "%.60q is no name of a field; it has letters, digits and _, and begins with no digit", name)
		}
		pieces = append(pieces, name)
		rest = next
	}
}

func badTemplate(template string, at int, format string, args ...any) error {
	before := template[:at]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return errs.Wrap(errs.New(errs.InvalidArgument, "CREATE PROMPT", format, args...), errs.InvalidArgument, "CREATE PROMPT",
		"line %d, column %d of the template", line, column)
}

func isFieldName(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r) && !unicode.IsMark(r)) {
			return false
		}
	}
	return s != ""
}

// asciiLower folds a field's name as DuckDB does: only ASCII letters.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}
