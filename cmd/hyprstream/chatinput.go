package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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

var sessionName = regexp.MustCompile(`^[\pL\pN][\pL\pN._-]*$`)

func (a *app) sessionFile(name string) (string, error) {
	if !sessionName.MatchString(name) {
		return "", errs.New(errs.InvalidArgument, "chat", "--session %q: a session's name is letters, digits, dots, underscores and dashes", name)
	}
	return filepath.Join(a.data, "chats", name+".json"), nil
}

// loadSession reads a kept conversation; a new name begins one.
func (a *app) loadSession(name string) (turns []turn, err error) {
	if name == "" {
		return nil, nil
	}
	file, err := a.sessionFile(name)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, errs.Wrap(err, errs.PermissionDenied, "chat", "the session cannot be read")
	}
	if err := json.Unmarshal(text, &turns); err != nil {
		return nil, errs.Wrap(err, errs.InvalidArgument, "chat", "the session's file %s is damaged; remove it to begin anew", file)
	}
	return turns, nil
}

// saveSession keeps the conversation, all or nothing.
func (a *app) saveSession(name string, turns []turn) error {
	if name == "" {
		return nil
	}
	file, err := a.sessionFile(name)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(turns, "", " ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o700)
	}
	if err == nil {
		err = os.WriteFile(file+".new", append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	return errs.Wrap(err, errs.PermissionDenied, "chat", "the session cannot be kept")
}
