package shell

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ErrInterrupt is Ctrl-C while a line was edited; what was typed is gone.
var ErrInterrupt = errors.New("interrupted")

// Lines reads input. One goroutine uses it.
type Lines struct {
	opt  Options
	term *term.Terminal
	in   *keys
	hist *history
}

// Options of a reader.
type Options struct {
	In, Out      *os.File               // a terminal, and what is echoed to
	Prompt       string                 // of the first line
	Continuation string                 // of further lines
	History      string                 // file; "" keeps the history in memory
	Complete     func(text string) bool // nil: each line is complete
}

// New makes a reader.
func New(opt Options) *Lines {
	l := &Lines{opt: opt, hist: openHistory(opt.History)}
	l.reset()
	return l
}

// reset begins with an empty line, as after Ctrl-C.
func (l *Lines) reset() {
	l.in = &keys{r: l.opt.In}
	l.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{l.in, l.opt.Out}, l.opt.Prompt)
	l.term.History = l.hist
}

// Read gives the next complete input: io.EOF at Ctrl-D, ErrInterrupt at Ctrl-C.
func (l *Lines) Read() (string, error) {
	fd := int(l.opt.In.Fd())
	state, err := term.MakeRaw(fd)
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(fd, state) }()
	if w, h, err := term.GetSize(fd); err == nil && w > 0 {
		_ = l.term.SetSize(w, h) // only writes to a terminal that is resized
	}
	l.term.SetBracketedPasteMode(true)
	defer l.term.SetBracketedPasteMode(false)

	var lines []string
	for {
		prompt := l.opt.Prompt
		if len(lines) > 0 {
			prompt = l.opt.Continuation
		}
		l.term.SetPrompt(prompt)
		line, err := l.term.ReadLine()
		if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
			return "", l.ended(err)
		}
		lines = append(lines, line)
		text := strings.Join(lines, "\n")
		if l.opt.Complete == nil || l.opt.Complete(text) {
			l.hist.keep(lines)
			return text, nil
		}
	}
}

// ended tells Ctrl-C from Ctrl-D, which the editor does not.
func (l *Lines) ended(err error) error {
	if errors.Is(err, io.EOF) && l.in.interrupted {
		fmt.Fprint(l.opt.Out, "^C\r\n")
		l.reset()
		return ErrInterrupt
	}
	return err
}

// keys watches what is typed for Ctrl-C.
type keys struct {
	r           io.Reader
	interrupted bool
}

func (k *keys) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	// A Ctrl-D typed while a statement ran comes as NUL: that is how the
	// terminal's driver kept it.
	for i := range n {
		if p[i] == 0 {
			p[i] = 4
		}
	}
	if bytes.IndexByte(p[:n], 3) >= 0 {
		k.interrupted = true
	}
	return n, err
}
