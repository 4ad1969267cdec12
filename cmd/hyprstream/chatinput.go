package main

import (
	"fmt"
	"io/fs"
	"strings"
	"time"

	"hyprstream/errs"
)

// stdinWait is how long a prompt given as an argument waits for a pipe's first
// byte. A program that starts us may leave a pipe open that nobody writes to.
const stdinWait = 2 * time.Second

// chatInput finds the prompt.
func (a *app) chatInput(args []string) (prompt string, interactive bool, err error) {
	if len(args) > 0 && args[0] != "-" {
		prompt = args[0]
	}
	wait := len(args) > 0 && args[len(args)-1] == "-"
	var piped string
	switch {
	case len(args) == 0 && isTerminal(a.stdin):
		return "", true, nil
	case len(args) == 0 || wait:
		piped, err = drain(a.stdin)
	case a.stdinHasData():
		piped, err = drain(a.stdin)
	}
	if err != nil {
		return "", false, err
	}
	prompt = strings.TrimSpace(prompt)
	if piped = strings.TrimSpace(piped); piped != "" && prompt != "" {
		prompt += "\n\n"
	}
	if prompt += piped; prompt == "" {
		return "", false, usageError("there is no prompt: give it as an argument or on stdin")
	}
	return prompt, false, nil
}

// stdinHasData says whether stdin is a file or pipe with something to read. It
// waits for a pipe, but not for ever.
func (a *app) stdinHasData() bool {
	info, err := a.stdin.Stat()
	if err != nil || isTerminal(a.stdin) {
		return false
	}
	switch {
	case info.Mode().IsRegular():
		return info.Size() > 0
	case info.Mode()&fs.ModeNamedPipe == 0 && info.Mode()&fs.ModeSocket == 0:
		return false // /dev/null and the like
	}
	ready, err := readable(a.stdin, stdinWait)
	if err != nil {
		return false
	}
	if !ready {
		fmt.Fprintf(a.stderr, "(nothing came on stdin within %s: answering the argument alone; add - to wait for stdin)\n", stdinWait)
	}
	return ready
}

// usageError is wrong usage that is found only after the flags were read.
func usageError(format string, args ...any) error {
	return &usage{errs.New(errs.InvalidArgument, "cli", format, args...)}
}

type usage struct{ error }

func (u *usage) Unwrap() error { return u.error }
