package ddl

// Statement is one of the types below.
type Statement interface{ statement() }

// CreateModel is CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name FROM 'path' [WITH (…)].
type CreateModel struct {
	Name        string
	Path        string
	OrReplace   bool
	IfNotExists bool
	Options     []Option
}

// CreateAdapter is CREATE [OR REPLACE] ADAPTER [IF NOT EXISTS] name FOR MODEL model
// FROM 'path' [WITH (…)], or FROM (part scale, …) for a blend of other adapters.
type CreateAdapter struct {
	Name        string
	Model       string
	Path        string // "" for a blend
	Parts       []Part
	OrReplace   bool
	IfNotExists bool
	Options     []Option
}

// Part is an adapter in a blend.
type Part struct {
	Name  string
	Scale string // number text, "" for 1
}

// Action is what ALTER MODEL does.
type Action string

// The actions.
const (
	Load       Action = "LOAD"
	Unload     Action = "UNLOAD"
	Pin        Action = "PIN"
	Unpin      Action = "UNPIN"
	SetDefault Action = "SET DEFAULT"
)

// AlterModel is ALTER MODEL name action.
type AlterModel struct {
	Name   string
	Action Action
}

// DropModel is DROP MODEL [IF EXISTS] name.
type DropModel struct {
	Name     string
	IfExists bool
}

// DropAdapter is DROP ADAPTER [IF EXISTS] name.
type DropAdapter struct {
	Name     string
	IfExists bool
}

// CreatePrompt is CREATE [OR REPLACE] PROMPT [IF NOT EXISTS] name AS 'template'.
type CreatePrompt struct {
	Name        string
	Template    string
	OrReplace   bool
	IfNotExists bool
}

// DropPrompt is DROP PROMPT [IF EXISTS] name.
type DropPrompt struct {
	Name     string
	IfExists bool
}

// DropSession is DROP SESSION [IF EXISTS] 'id', or name.
type DropSession struct {
	ID       string
	IfExists bool
}

// ClearCache is CLEAR CACHE.
type ClearCache struct{}

func (CreateModel) statement()   {}
func (CreateAdapter) statement() {}
func (AlterModel) statement()    {}
func (DropModel) statement()     {}
func (DropAdapter) statement()   {}
func (CreatePrompt) statement()  {}
func (DropPrompt) statement()    {}
func (DropSession) statement()   {}
func (ClearCache) statement()    {}

// Kind of an option's value.
type Kind int

// The kinds.
const (
	Number Kind = iota
	String
	Bool
	Word // an unquoted word, which no option takes: kept for the error message
)

// Option is a name and a value in WITH (…). Line and Column are of the name.
type Option struct {
	Name         string // lower case
	Kind         Kind
	Text         string // the number as written, the string's content, "true" or "false"
	Line, Column int
}
