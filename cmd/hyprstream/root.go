package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/cmd/hyprstream/internal/config"
	"hyprstream/errs"
)

// app is what the commands share: the global flags and the process's streams.
type app struct {
	stdin          *os.File
	stdout, stderr *os.File

	started bool // the command line was understood; errors are no longer usage

	config, data, server, token, ca string
	logLevel, logFormat             string
}

func newApp() *app { return &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr} }

const longHelp = `hyprstream is an analytical inference database: models and LoRA adapters are rows
of catalog tables, and inference is a SQL function.

  hyprstream model load gemma-3-270m-q4_k_m.gguf      import a GGUF file
  hyprstream chat "Hello, tell me about yourself"     ask it
  echo "What is 2+2?" | hyprstream chat               the prompt from a pipe
  hyprstream sql "SELECT generate('gemma-3-270m', 'The opposite of hot is')"
  hyprstream serve                                    Flight SQL and an OpenAI-compatible HTTP port

The commands use the server that holds the data directory, or one named by --server;
where none runs they open the data directory themselves.

Every flag can also be given by an environment variable (--memory-budget is
HYPRSTREAM_MEMORY_BUDGET) and by its name as a key in the YAML file of --config.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.`

// command builds the tree of commands.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "hyprstream",
		Short:         "An analytical inference database",
		Long:          longHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if f := cmd.Root().PersistentFlags().Lookup("config"); !f.Changed {
				a.config = os.Getenv(config.EnvName("config"))
			}
			if err := config.Apply(cmd, a.config); err != nil {
				return err
			}
			if _, err := a.logger(slog.LevelInfo); err != nil {
				return err
			}
			a.started = true
			return nil
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&a.config, "config", "", "YAML `FILE` with flags' names as keys (default "+config.DefaultFile()+")")
	f.StringVar(&a.data, "data", defaultData(), "data `DIR`: catalog, tables and imported models")
	f.StringVar(&a.server, "server", "", "`ADDRESS` of a server's Flight port, host:port or grpc+tls://host:port")
	f.StringVar(&a.token, "token", "", "`TOKEN` that serve asks of its clients; HYPRSTREAM_TOKEN keeps it out of process lists")
	f.StringVar(&a.ca, "tls-ca", "", "PEM `FILE` that the server's certificate is checked with (default: the system's)")
	f.StringVar(&a.logLevel, "log-level", "", "debug, info, warn or error (default info for serve, warn otherwise)")
	f.StringVar(&a.logFormat, "log-format", "text", "text or json")
	root.AddCommand(a.serveCommand(), a.modelCommand(), a.adapterCommand(), a.chatCommand(), a.sqlCommand(), a.versionCommand(), workerCommand())
	return root
}

func defaultData() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "hyprstream")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "hyprstream-data"
	}
	return filepath.Join(home, ".local", "share", "hyprstream")
}

// logger writes to stderr; level is the one without --log-level.
func (a *app) logger(level slog.Level) (*slog.Logger, error) {
	if a.logLevel != "" {
		if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
			return nil, errs.New(errs.InvalidArgument, "cli", "--log-level %q is none of debug, info, warn, error", a.logLevel)
		}
	}
	opt := &slog.HandlerOptions{Level: level}
	switch a.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(a.stderr, opt)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, opt)), nil
	}
	return nil, errs.New(errs.InvalidArgument, "cli", "--log-format %q is neither text nor json", a.logFormat)
}

// open finds the server or opens the data directory.
func (a *app) open(ctx context.Context) (client.Client, client.Place, error) {
	log, err := a.logger(slog.LevelWarn)
	if err != nil {
		return nil, client.Place{}, err
	}
	dir, err := filepath.Abs(a.data)
	if err != nil {
		return nil, client.Place{}, errs.Wrap(err, errs.InvalidArgument, "cli", "--data %s", a.data)
	}
	return client.Open(ctx, client.Options{Data: dir, Server: a.server, Token: a.token, CA: a.ca, Logger: log})
}

// with opens a client for f, whose context ends with Ctrl-C.
func (a *app) with(cmd *cobra.Command, f func(context.Context, client.Client, client.Place) error) (err error) {
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	c, place, err := a.open(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() {
		if closeErr := c.Close(); err == nil {
			err = closeErr
		}
	}()
	return stopped(ctx, f(ctx, c, place))
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// echo is where a shell shows what is typed: the terminal, also when the
// answers go to a file.
func (a *app) echo() *os.File {
	if isTerminal(a.stdout) {
		return a.stdout
	}
	return a.stderr
}

// width of the terminal that stdout is, 0 when it is none.
func (a *app) width() int {
	w, _, err := term.GetSize(int(a.stdout.Fd()))
	if err != nil {
		return 0
	}
	return w
}

// args counts positional arguments, as an error that says which were expected.
func args(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return errs.New(errs.InvalidArgument, "cli", "expected %s, got %d arguments%s", what, len(args), quotedList(args))
		}
		return nil
	}
}

func quotedList(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return ": '" + strings.Join(args, "' '") + "'"
}

// drain copies a reader, for prompts and scripts from stdin.
func drain(r io.Reader) (string, error) {
	text, err := io.ReadAll(r)
	return string(text), errs.Wrap(err, errs.InvalidArgument, "cli", "stdin cannot be read")
}
