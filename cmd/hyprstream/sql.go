package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/cmd/hyprstream/internal/output"
	"hyprstream/cmd/hyprstream/internal/shell"
	"hyprstream/cmd/hyprstream/internal/sqltext"
	"hyprstream/errs"
)

const sqlHelp = `Run SQL: the statements of the argument, of --file, or of stdin; on a terminal, interactively.

Rows are written as they come. NULL is distinct in each --format: the word NULL in a
table, nothing in csv (an empty string is ""), null in json. arrow is Arrow's IPC stream.

Without a running server the data directory is opened by this process, and statements
reach every file that you can read.`

func (a *app) sqlCommand() *cobra.Command {
	var file, format string
	cmd := &cobra.Command{
		Use:   "sql [STATEMENT]",
		Short: "Run SQL statements",
		Long:  sqlHelp,
		Example: `  hyprstream sql "SELECT generate('gemma-3-270m', 'The opposite of hot is')"
  hyprstream sql "SELECT id, generate(prompt) AS answer FROM 'reviews.parquet'" --format csv > answers.csv
  hyprstream sql -f report.sql
  hyprstream sql`,
		Args: args(0, 1, "one argument with the statements (quote it)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt := a.outputOptions(format)
			if err := opt.Check(); err != nil {
				return &usage{err}
			}
			text, interactive, err := a.sqlInput(args, file)
			if err != nil {
				return err
			}
			if interactive {
				return a.sqlShell(cmd.Context(), opt)
			}
			return a.with(cmd, func(ctx context.Context, c client.Client, _ client.Place) error {
				for _, st := range sqltext.All(text) {
					if err := a.runStatement(ctx, c, st, opt); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "read the statements from `FILE`")
	cmd.Flags().StringVar(&format, "format", "table", "table, csv, json or arrow")
	return cmd
}

// sqlInput finds the statements to run.
func (a *app) sqlInput(args []string, file string) (text string, interactive bool, err error) {
	switch {
	case len(args) == 1 && file != "":
		return "", false, usageError("give either a statement or --file, not both")
	case len(args) == 1:
		text = args[0]
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", false, errs.Wrap(err, errs.NotFound, "sql", "the file of --file cannot be read")
		}
		text = string(b)
	case isTerminal(a.stdin):
		return "", true, nil
	default:
		if text, err = drain(a.stdin); err != nil {
			return "", false, err
		}
	}
	if len(sqltext.All(text)) == 0 {
		return "", false, usageError("there is no statement to run")
	}
	return text, false, nil
}

func (a *app) outputOptions(format string) output.Options {
	return output.Options{Format: format, Width: a.width(), Terminal: isTerminal(a.stdout)}
}

func (a *app) runStatement(ctx context.Context, c client.Client, sql string, opt output.Options) error {
	stop := a.watch(ctx, c, sql)
	defer stop()
	res, err := c.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer res.Release()
	if res.Schema().NumFields() > 0 {
		var out io.Writer = a.stdout
		if isTerminal(a.stdout) { // rows and the line do not mix on one terminal
			out = &beforeFirst{w: out, f: stop}
		}
		_, err = output.Write(out, res, opt)
		return err
	}
	for res.Next() { // runs a statement without columns to its end
	}
	if err := res.Err(); err != nil {
		return err
	}
	if opt.Format == "table" {
		if n := res.RowsAffected(); n > 0 {
			fmt.Fprintf(a.stdout, "OK, %d %s changed\n", n, map[bool]string{true: "row", false: "rows"}[n == 1])
		} else {
			fmt.Fprintln(a.stdout, "OK")
		}
	}
	return nil
}

const sqlShellHelp = `Statements end with a semicolon and may take several lines.
  .tables          the tables and views
  .models          the models
  .format FORMAT   table, csv or json
  .help            this
  .quit            leave, as Ctrl-D does
Ctrl-C clears the line, or cancels the statement that runs.`

// sqlShell reads statements until Ctrl-D. Its session lives as long as it does.
func (a *app) sqlShell(ctx context.Context, opt output.Options) error {
	c, place, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	where := "the data directory " + a.data
	if place.Address != "" {
		where = "the server at " + place.Address
	}
	fmt.Fprintf(a.stderr, "hyprstream %s on %s; .help says what can be typed\n", version, where)
	lines := shell.New(shell.Options{
		In: a.stdin, Out: a.echo(), Prompt: "hyprstream> ", Continuation: "       ...> ",
		History:  filepath.Join(a.data, "history.sql"),
		Complete: statementComplete,
	})
	for {
		text, err := lines.Read()
		switch {
		case errors.Is(err, shell.ErrInterrupt):
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(a.stderr)
			return nil
		case err != nil:
			return errs.Wrap(err, errs.Internal, "sql", "the terminal cannot be read")
		}
		if quit := a.shellInput(ctx, c, strings.TrimSpace(text), &opt); quit {
			return nil
		}
	}
}

// statementComplete says whether Enter runs the text: a dot command, or
// statements up to a semicolon.
func statementComplete(text string) bool {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" || strings.HasPrefix(trimmed, ".") {
		return true
	}
	_, _, complete := sqltext.Split(text)
	return complete
}

// shellInput runs what was typed. Errors are shown and the shell goes on.
func (a *app) shellInput(ctx context.Context, c client.Client, text string, opt *output.Options) (quit bool) {
	command, arg, _ := strings.Cut(text, " ")
	switch command {
	case "":
		return false
	case ".quit", ".exit":
		return true
	case ".help":
		fmt.Fprintln(a.stderr, sqlShellHelp)
		return false
	case ".tables":
		text = `SELECT table_schema AS schema, table_name AS name, table_type AS type FROM information_schema.tables
			WHERE table_schema NOT IN ('information_schema', 'pg_catalog') ORDER BY ALL`
	case ".models":
		text = "SELECT name, architecture, quantisation, context_length, state, is_default FROM ai.models ORDER BY name"
	case ".format":
		next := output.Options{Format: strings.TrimSpace(arg), Width: opt.Width, Terminal: opt.Terminal}
		if err := next.Check(); err != nil {
			show(a.stderr, err)
			return false
		}
		*opt = next
		return false
	default:
		if strings.HasPrefix(command, ".") {
			fmt.Fprintf(a.stderr, "there is no command %s; .help lists them\n", command)
			return false
		}
	}
	opt.Width = a.width() // the window may have changed
	running, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	for _, st := range sqltext.All(text) {
		err := stopped(running, a.runStatement(running, c, st, *opt))
		if errors.Is(err, errInterrupted) {
			fmt.Fprintln(a.stderr, "\ncancelled")
			return false
		}
		if err != nil {
			show(a.stderr, err)
			return false
		}
	}
	return false
}
