package ddl

import (
	"errors"
	"strings"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"hyprstream/errs"
)

// maxText bounds a statement, in bytes.
const maxText = 16 << 20

var parser = participle.MustBuild[root](
	participle.Lexer(lexer.MustStateful(lexer.Rules{
		"Root": {
			{Name: "Space", Pattern: `[\s\x{feff}]+`},
			{Name: "Comment", Pattern: `--[^\n]*|/\*(?s:.*?)\*/`},
			{Name: "String", Pattern: `'(?:''|[^'])*'`},
			{Name: "Quoted", Pattern: `"(?:""|[^"])*"`},
			{Name: "Number", Pattern: `[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?`},
			{Name: "Ident", Pattern: `[\pL_][\pL\pN_$]*`},
			{Name: "Assign", Pattern: `:=|=>|=`},
			{Name: "Punct", Pattern: `[(),;]`},
			{Name: "Dollar", Pattern: `\$([\pL_][\pL\pN_]*|)\$`, Action: lexer.Push("Dollar")},
		},
		"Dollar": { // $tag$ text $tag$
			{Name: "DollarEnd", Pattern: `\$\1\$`, Action: lexer.Pop()},
			{Name: "DollarText", Pattern: `[^$]+|\$`},
		},
	})),
	participle.Elide("Space", "Comment"),
	participle.CaseInsensitive("Ident"),
	participle.UseLookahead(4),
)

// The grammar.
type root struct {
	Create *create `parser:"( 'CREATE' @@"`
	Alter  *alter  `parser:"| 'ALTER' 'MODEL' @@"`
	Drop   *drop   `parser:"| 'DROP' @@"`
	Clear  bool    `parser:"| @'CLEAR' 'CACHE' ) ';'*"`
}

type create struct {
	OrReplace bool           `parser:"( @'OR' 'REPLACE' )?"`
	Model     *createModel   `parser:"( 'MODEL' @@"`
	Adapter   *createAdapter `parser:"| 'ADAPTER' @@"`
	Prompt    *createPrompt  `parser:"| 'PROMPT' @@ )"`
}

type createModel struct {
	IfNotExists bool      `parser:"( @'IF' 'NOT' 'EXISTS' )?"`
	Name        name      `parser:"@( Ident | Quoted )"`
	Path        text      `parser:"'FROM' @String"`
	Options     []*option `parser:"( 'WITH' '(' ( @@ ( ',' @@ )* )? ')' )?"`
}

type createAdapter struct {
	IfNotExists bool      `parser:"( @'IF' 'NOT' 'EXISTS' )?"`
	Name        name      `parser:"@( Ident | Quoted )"`
	Model       name      `parser:"'FOR' 'MODEL' @( Ident | Quoted )"`
	Path        *text     `parser:"'FROM' ( @String"`
	Parts       []*part   `parser:"| '(' @@ ( ',' @@ )* ')' )"`
	Options     []*option `parser:"( 'WITH' '(' ( @@ ( ',' @@ )* )? ')' )?"`
}

type createPrompt struct {
	IfNotExists bool    `parser:"( @'IF' 'NOT' 'EXISTS' )?"`
	Name        name    `parser:"@( Ident | Quoted ) 'AS'"`
	Text        *text   `parser:"( @String"`
	Dollar      *dollar `parser:"| @@ )"`
}

// dollar is a string as $$…$$ or $tag$…$tag$, in which nothing is escaped.
type dollar struct {
	Parts []string `parser:"Dollar @DollarText* DollarEnd"`
}

type part struct {
	Name  name   `parser:"@( Ident | Quoted )"`
	Scale string `parser:"@Number?"`
}

type option struct {
	Pos  lexer.Position
	Name string  `parser:"@Ident Assign"`
	Num  *string `parser:"( @Number"`
	Str  *text   `parser:"| @String"`
	Bool *string `parser:"| @( 'TRUE' | 'FALSE' )"`
	Word *string `parser:"| @Ident )"`
}

type alter struct {
	Name   name   `parser:"@( Ident | Quoted )"`
	Set    bool   `parser:"( @'SET' 'DEFAULT'"`
	Action string `parser:"| @( 'LOAD' | 'UNLOAD' | 'PIN' | 'UNPIN' ) )"`
}

type drop struct {
	Kind     string       `parser:"( @( 'MODEL' | 'ADAPTER' | 'PROMPT' )"`
	IfExists bool         `parser:"( @'IF' 'EXISTS' )?"`
	Name     name         `parser:"@( Ident | Quoted )"`
	Session  *dropSession `parser:"| 'SESSION' @@ )"`
}

type dropSession struct {
	IfExists bool  `parser:"( @'IF' 'EXISTS' )?"`
	Name     *name `parser:"( @( Ident | Quoted )"`
	ID       *text `parser:"| @String )"`
}

// name is an identifier, quoted or not.
type name string

func (n *name) Capture(v []string) error {
	*n = name(unquote(v[0], '"'))
	return nil
}

// text is a string literal's content.
type text string

func (t *text) Capture(v []string) error {
	*t = text(unquote(v[0], '\''))
	return nil
}

func unquote(s string, q byte) string {
	if len(s) >= 2 && s[0] == q {
		two := string([]byte{q, q})
		return strings.ReplaceAll(s[1:len(s)-1], two, two[:1])
	}
	return s
}

// Parse reads sql. ours says whether it is meant to be one of our statements;
// then err, if any, is errs.Syntax naming line and column. Other text is
// rejected after its first words. A trailing semicolon and comments are fine.
func Parse(sql string) (st Statement, ours bool, err error) {
	usage := recognise(sql)
	if usage == "" {
		return nil, false, nil
	}
	if len(sql) > maxText {
		return nil, true, errs.New(errs.Syntax, "", "the statement has %d bytes and may have %d", len(sql), maxText)
	}
	tree, err := parser.ParseString("", sql)
	if err != nil {
		return nil, true, syntaxError(err, usage)
	}
	return tree.statement(), true, nil
}

func syntaxError(err error, usage string) error {
	var at participle.Error
	if !errors.As(err, &at) {
		return errs.New(errs.Syntax, "", "%v; the syntax is: %s", err, usage)
	}
	p := at.Position()
	msg, _, _ := strings.Cut(at.Message(), " (expected") // the syntax says it better
	if strings.HasPrefix(msg, "lexer: ") {
		msg = "this is no word, number or closed string"
	}
	return errs.New(errs.Syntax, "", "line %d, column %d: %s; the syntax is: %s", p.Line, p.Column, msg, usage)
}

func (r *root) statement() Statement {
	switch {
	case r.Clear:
		return ClearCache{}
	case r.Alter != nil && r.Alter.Set:
		return AlterModel{string(r.Alter.Name), SetDefault}
	case r.Alter != nil:
		return AlterModel{string(r.Alter.Name), Action(strings.ToUpper(r.Alter.Action))}
	case r.Drop != nil:
		return r.Drop.statement()
	case r.Create.Prompt != nil:
		c := r.Create.Prompt
		out := CreatePrompt{Name: string(c.Name), OrReplace: r.Create.OrReplace, IfNotExists: c.IfNotExists}
		if c.Text != nil {
			out.Template = string(*c.Text)
		} else {
			out.Template = strings.Join(c.Dollar.Parts, "")
		}
		return out
	case r.Create.Model != nil:
		c := r.Create.Model
		return CreateModel{string(c.Name), string(c.Path), r.Create.OrReplace, c.IfNotExists, optionsOf(c.Options)}
	}
	c := r.Create.Adapter
	out := CreateAdapter{Name: string(c.Name), Model: string(c.Model), OrReplace: r.Create.OrReplace,
		IfNotExists: c.IfNotExists, Options: optionsOf(c.Options)}
	if c.Path != nil {
		out.Path = string(*c.Path)
	}
	for _, p := range c.Parts {
		out.Parts = append(out.Parts, Part{string(p.Name), p.Scale})
	}
	return out
}

func (d *drop) statement() Statement {
	if s := d.Session; s != nil && s.Name != nil {
		return DropSession{string(*s.Name), s.IfExists}
	} else if s != nil {
		return DropSession{string(*s.ID), s.IfExists}
	}
	switch name := string(d.Name); strings.ToUpper(d.Kind) {
	case "MODEL":
		return DropModel{name, d.IfExists}
	case "PROMPT":
		return DropPrompt{name, d.IfExists}
	default:
		return DropAdapter{name, d.IfExists}
	}
}

func optionsOf(list []*option) (out []Option) {
	for _, o := range list {
		v := Option{Name: strings.ToLower(o.Name), Line: o.Pos.Line, Column: o.Pos.Column}
		switch {
		case o.Num != nil:
			v.Kind, v.Text = Number, *o.Num
		case o.Str != nil:
			v.Kind, v.Text = String, string(*o.Str)
		case o.Bool != nil:
			v.Kind, v.Text = Bool, strings.ToLower(*o.Bool)
		default:
			v.Kind, v.Text = Word, *o.Word
		}
		out = append(out, v)
	}
	return out
}
