package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"hyprstream/errs"
)

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	signal.Ignore(syscall.SIGXFSZ) // a file that may not grow (ulimit -f) is an error, not an end
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and gives the exit code.
func run(args []string) int {
	a := newApp()
	root := a.command()
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	switch {
	case err == nil:
		return 0
	case !a.started || errors.As(err, new(*usage)):
		fmt.Fprintf(a.stderr, "hyprstream: %s\nSee: %s --help\n", usageText(err), cmd.CommandPath())
		return exitUsage
	}
	return report(a.stderr, err)
}

// usageText leaves the code out of what cobra and config report.
func usageText(err error) string {
	return strings.TrimSpace(strings.TrimPrefix(err.Error(), "Error: "))
}

// errInterrupted ends a command that the user stopped.
var errInterrupted = errors.New("interrupted")

// stopped tells a command that the user's signal ended from one that failed: a
// server that shuts down cancels statements too.
func stopped(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errs.CodeOf(err) == errs.Cancelled {
		return errInterrupted
	}
	return err
}

// report shows err and gives the exit code that belongs to it.
func report(w io.Writer, err error) int {
	if errors.Is(err, errInterrupted) {
		fmt.Fprintln(w, "hyprstream: interrupted")
		return exitInterrupted
	}
	show(w, err)
	return exitFailed
}

// show writes an error with its code, and the next step where there is one.
func show(w io.Writer, err error) {
	code := errs.CodeOf(err)
	fmt.Fprintf(w, "hyprstream: [%s] %s\n", code, err)
	if h := hint(code, err.Error()); h != "" {
		fmt.Fprintf(w, "hint: %s\n", h)
	}
}

// hint is the remedy that the message, written for every client, does not name.
func hint(code errs.Code, message string) string {
	switch {
	case code == errs.ModelNotFound && !strings.Contains(message, "model load"):
		return "hyprstream model list shows the models; hyprstream model load PATH adds one"
	case code == errs.AdapterNotFound:
		return "hyprstream adapter list shows the adapters"
	case code == errs.Unauthenticated:
		return "give the server's token by HYPRSTREAM_TOKEN, or --token"
	case code == errs.PermissionDenied && strings.Contains(message, "allow"):
		return "a server's statements reach only the directories of hyprstream serve --allow-dir DIR"
	}
	return ""
}

// interruptible is a context that the first Ctrl-C or SIGTERM ends; a second
// one then ends the process at once.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
