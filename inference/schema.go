package inference

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"hyprstream/errs"
	"hyprstream/runtime/grammar"
)

// schemasKept is how many schemas are remembered.
const schemasKept = 64

// Schema is what an answer that is JSON must be. Its grammar binds the model while it
// writes; what grammars cannot say is checked afterwards. It is not changed, and may be used from any goroutine.
type Schema struct {
	text     string
	grammar  string
	compiled *jsonschema.Schema
}

// schemas are those used lately: rows name theirs by its text.
var schemas struct {
	sync.Mutex
	byText map[string]*Schema
}

// ParseSchema reads a JSON schema. Errors: errs.InvalidArgument.
func ParseSchema(text string) (*Schema, error) {
	schemas.Lock()
	s := schemas.byText[text]
	schemas.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := newSchema(text)
	if err != nil {
		return nil, errs.New(errs.InvalidArgument, "generate", "json_schema: %v", err)
	}
	schemas.Lock()
	defer schemas.Unlock()
	if schemas.byText == nil || len(schemas.byText) >= schemasKept {
		schemas.byText = map[string]*Schema{}
	}
	schemas.byText[text] = s
	return s, nil
}

func newSchema(text string) (*Schema, error) {
	of := text
	if strings.TrimSpace(text) == "true" { // anything
		of = "{}"
	}
	bound, err := grammar.Of(of)
	if err != nil {
		return nil, fmt.Errorf("%s", strings.TrimSpace(strings.TrimPrefix(err.Error(), "JSON schema conversion failed:\n")))
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	s := &Schema{text: text, grammar: afterSpace(bound)}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for name, check := range formats {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: check})
	}
	c.UseLoader(noLoader{})
	const name = "schema:answer"
	if err := c.AddResource(name, doc); err != nil {
		return nil, err
	}
	if s.compiled, err = c.Compile(name); err != nil {
		return nil, fmt.Errorf("it is no JSON schema: %w", err)
	}
	return s, nil
}

// afterSpace lets an answer begin with a space, as a text goes on after "Answer:", and end with
// its line: most vocabularies have words with a space before them, a base model ends its
// lines rather than its text, and one that may do neither goes astray.
func afterSpace(g string) string {
	name := "whole"
	for strings.Contains(g, name) {
		name += "-x"
	}
	return `root ::= " "? ` + name + ` "\n"{0,2}` + "\n" + strings.Replace("\n"+g, "\nroot ::=", "\n"+name+" ::=", 1)
}

// noLoader keeps schemas from reading files and networks.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: only references inside the schema are followed", url)
}

// formats are SQL's, beside those of JSON schema.
var formats = map[string]func(any) error{
	"sql-timestamp": func(v any) error {
		return inLayout(v, "2006-01-02 15:04:05")
	},
	"sql-timestamptz": func(v any) error {
		return inLayout(v, "2006-01-02 15:04:05Z")
	},
}

func inLayout(v any, layout string) error {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	_, err := time.Parse(layout, s)
	return err
}

// check says what is wrong with an answer that a model wrote under the schema: it was
// cut off, or it is none of the schema's values.
func (s *Schema) check(c *Completion, cut bool) *errs.Error {
	c.Text = strings.TrimSpace(c.Text)
	switch {
	case c.FinishReason == "length" && cut:
		return nil
	case c.FinishReason == "length":
		return errs.New(errs.OutputInvalid, "generate",
			"the answer was cut off after %d tokens, before its JSON was whole; raise max_tokens, or bound the lengths in the type or schema", c.CompletionTokens)
	}
	if err := s.fits(c.Text); err != nil {
		return errs.New(errs.OutputInvalid, "generate", "the answer does not fit its type or schema: %.300v", err)
	}
	return nil
}

// fits says whether text is one JSON value of the schema, with no name twice in an
// object and no half of a surrogate pair.
func (s *Schema) fits(text string) error {
	if err := plainValues(text); err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	if err := wholeCharacters(text); err != nil {
		return err
	}
	err = s.compiled.Validate(v)
	if invalid, ok := err.(*jsonschema.ValidationError); ok { //nolint:errorlint // as the library says
		return firstCause(invalid)
	}
	return err
}

// firstCause is the deepest cause, in one line.
func firstCause(e *jsonschema.ValidationError) error {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	lines := strings.Split(e.Error(), "\n")
	return fmt.Errorf("%s", strings.TrimPrefix(strings.TrimSpace(lines[len(lines)-1]), "- "))
}

// plainValues refuses objects that have a name twice, since which value counts is
// anyone's guess, and numbers beyond a DOUBLE's, which libraries take a gigabyte for.
func plainValues(text string) error {
	type object struct {
		names map[string]bool // nil: an array
		value bool            // a value comes next, not a name
	}
	var open []object
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if number, ok := t.(json.Number); ok {
			if err := plainNumber(string(number)); err != nil {
				return err
			}
		}
		if n := len(open); n > 0 && open[n-1].names != nil {
			o := &open[n-1]
			if name, ok := t.(string); ok && !o.value {
				if o.names[name] {
					return fmt.Errorf("%q is there twice in one object", name)
				}
				o.names[name], o.value = true, true
				continue
			}
			o.value = false
		}
		switch t {
		case json.Delim('{'):
			open = append(open, object{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}

func plainNumber(s string) error {
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return fmt.Errorf("%.40s is out of a DOUBLE's range", s)
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if e, err := strconv.Atoi(s[i+1:]); err != nil || e < -400 {
			return fmt.Errorf("%.40s is out of a DOUBLE's range", s)
		}
	}
	return nil
}

// wholeCharacters refuses escapes that are no characters: SQL's text could not hold them.
func wholeCharacters(text string) error {
	half := false
	for b := []byte(text); len(b) > 0; {
		if b[0] != '\\' || len(b) < 2 {
			if half {
				break
			}
			b = b[1:]
			continue
		}
		if b[1] != 'u' || len(b) < 6 {
			if half {
				break
			}
			b = b[2:]
			continue
		}
		n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		if err != nil {
			return err
		}
		switch c := rune(n); {
		case c == 0:
			return fmt.Errorf(`\u0000 is no character of text`)
		case !half && utf16.IsSurrogate(c) && c < 0xDC00:
			half = true
		case half && c >= 0xDC00 && c < 0xE000:
			half = false
		case half || utf16.IsSurrogate(c):
			return fmt.Errorf(`\u%s is half a character`, b[2:6])
		}
		b = b[6:]
	}
	if half {
		return fmt.Errorf("there is half a character")
	}
	return nil
}
