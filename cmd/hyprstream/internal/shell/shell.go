package shell

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/reeflective/readline"
)

// ErrInterrupt is Ctrl-C while a line was edited; the line is gone.
var ErrInterrupt = errors.New("interrupted")

// Lines reads input. One goroutine uses it.
type Lines struct{ rl *readline.Shell }

// Options of a reader.
type Options struct {
	Prompt       string
	Continuation string                 // prompt of further lines
	History      string                 // file; "" keeps the history in memory
	Complete     func(text string) bool // nil: each line is complete
}

// New makes a reader on the process's terminal.
func New(opt Options) *Lines {
	rl := readline.NewShell()
	rl.Prompt.Primary(func() string { return opt.Prompt })
	rl.Prompt.Secondary(func() string { return opt.Continuation })
	if opt.History != "" && os.MkdirAll(filepath.Dir(opt.History), 0o700) == nil {
		rl.History.AddFromFile("history", opt.History)
	}
	if opt.Complete != nil {
		rl.AcceptMultiline = func(line []rune) bool { return opt.Complete(string(line)) }
	}
	return &Lines{rl}
}

// Read gives the next input: io.EOF at Ctrl-D, ErrInterrupt at Ctrl-C.
func (l *Lines) Read() (string, error) {
	line, err := l.rl.Readline()
	switch {
	case errors.Is(err, readline.ErrInterrupt):
		return "", ErrInterrupt
	case errors.Is(err, io.EOF):
		return "", io.EOF
	}
	return line, err
}
