package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/spf13/cobra"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/cmd/hyprstream/internal/output"
	"hyprstream/cmd/hyprstream/internal/shell"
	"hyprstream/cmd/hyprstream/internal/sqltext"
	"hyprstream/errs"
)

// turn is one message of a dialogue, as generate_stream's messages take it.
type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type chatFlags struct {
	model, system, session string
	adapters               []string
	maxTokens              int64
	temperature            float64
	seed                   int64
}

const chatHelp = `Ask a model and print its answer as it is made.

The prompt is the argument, or stdin; given both, the argument comes first, then a
blank line, then stdin (with an argument, stdin counts if something arrives within
two seconds; "-" as the second argument waits for it). Without a prompt, on a
terminal, it is a conversation: Ctrl-C cancels an answer, Ctrl-D leaves.

A model without a chat template, such as a base model, sees a plain dialogue
("User: … Assistant: …") and stops at the next turn.`

func (a *app) chatCommand() *cobra.Command {
	var o chatFlags
	cmd := &cobra.Command{
		Use:   "chat [PROMPT] [-]",
		Short: "Ask a model",
		Long:  chatHelp,
		Example: `  hyprstream chat "Hello, tell me about yourself"
  echo "What is 2+2?" | hyprstream chat
  hyprstream chat "Summarise this:" - < report.txt
  hyprstream chat --session trip "Where were we?"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 2 || len(args) == 2 && args[1] != "-" {
				return errs.New(errs.InvalidArgument, "cli", "expected one prompt (quote it), got %d arguments%s", len(args), quotedList(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt, interactive, err := a.chatInput(args)
			if err != nil {
				return err
			}
			sent := sentOptions{maxTokens: cmd.Flags().Changed("max-tokens"), temperature: cmd.Flags().Changed("temperature"), seed: cmd.Flags().Changed("seed")}
			return a.chat(cmd.Context(), &conversation{app: a, flags: o, sent: sent}, prompt, interactive)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.model, "model", "", "`NAME` of the model (default: the default model)")
	f.StringArrayVar(&o.adapters, "adapter", nil, "`NAME[:SCALE]` of an adapter of the model; may be repeated")
	f.StringVar(&o.system, "system", "", "`TEXT` that tells the model how to behave")
	f.StringVar(&o.session, "session", "", "`NAME` of a conversation that is kept and continued")
	f.Int64Var(&o.maxTokens, "max-tokens", 256, "longest answer, in `TOKENS`")
	f.Float64Var(&o.temperature, "temperature", 0, "0 always gives the likeliest answer, 1 a varied one")
	f.Int64Var(&o.seed, "seed", 0, "makes an answer at a temperature above 0 repeatable")
	return cmd
}

// chat answers one prompt, or holds a conversation.
func (a *app) chat(parent context.Context, conv *conversation, prompt string, interactive bool) (err error) {
	ctx, stop := parent, context.CancelFunc(func() {})
	if !interactive {
		ctx, stop = interruptible(parent)
	}
	defer stop()
	if conv.client, _, err = a.open(ctx); err != nil {
		return stopped(ctx, err)
	}
	defer func() {
		if closeErr := conv.client.Close(); err == nil {
			err = closeErr
		}
	}()
	if !interactive {
		return stopped(ctx, conv.ask(ctx, prompt))
	}
	return conv.talk(ctx)
}

type sentOptions struct{ maxTokens, temperature, seed bool }

// conversation is the dialogue so far. One goroutine uses it.
type conversation struct {
	app    *app
	client client.Client
	flags  chatFlags
	sent   sentOptions // options given by the user; the others are the SQL function's
	turns  []turn
}

// talk reads prompts from the terminal until Ctrl-D.
func (c *conversation) talk(ctx context.Context) error {
	a := c.app
	fmt.Fprintln(a.stderr, "Ctrl-C cancels an answer, Ctrl-D leaves, /help says more")
	lines := shell.New(shell.Options{In: a.stdin, Out: a.echo(), Prompt: "> ", History: filepath.Join(a.data, "history.chat")})
	for {
		text, err := lines.Read()
		switch text = strings.TrimSpace(text); {
		case errors.Is(err, shell.ErrInterrupt):
			continue
		case errors.Is(err, io.EOF):
			fmt.Fprintln(a.stderr)
			return nil
		case err != nil:
			return errs.Wrap(err, errs.Internal, "chat", "the terminal cannot be read")
		case text == "":
		case text == "/reset":
			if err := c.reset(ctx); err != nil {
				show(a.stderr, err)
				continue
			}
			fmt.Fprintln(a.stderr, "the conversation begins anew")
		case text == "/quit", text == "/exit":
			return nil
		case strings.HasPrefix(text, "/"):
			fmt.Fprintln(a.stderr, "/reset forgets the conversation, /quit leaves; anything else is for the model")
		default:
			running, stop := signal.NotifyContext(ctx, os.Interrupt)
			err := stopped(running, c.ask(running, text))
			stop()
			if err != nil && !errors.Is(err, errInterrupted) {
				show(a.stderr, err)
			}
		}
	}
}

// reset forgets what was said.
func (c *conversation) reset(ctx context.Context) error {
	c.turns = nil
	if c.flags.session == "" {
		return nil
	}
	_, err := client.Rows(ctx, c.client, "DROP SESSION IF EXISTS "+sqltext.Literal(c.flags.session))
	return err
}

// ask says one more message and prints the answer. What was answered before Ctrl-C
// stays in the dialogue.
func (c *conversation) ask(ctx context.Context, prompt string) error {
	turns := append(c.turns[:len(c.turns):len(c.turns)], turn{"user", prompt})
	sql, args, err := c.statement(turns)
	if err != nil {
		return err
	}
	waiting := c.app.spin("thinking") // the model may have to be loaded first
	defer waiting()
	res, err := c.client.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer res.Release()
	answer, finish, err := c.app.printAnswer(res, waiting)
	if answer != "" {
		c.turns = append(turns, turn{"assistant", answer})
	}
	switch {
	case err != nil:
		return err
	case answer == "":
		fmt.Fprintln(c.app.stderr, "(the model ended its answer without a word; try another prompt or --temperature 0.7)")
	case finish == "length":
		fmt.Fprintf(c.app.stderr, "(cut off at %d tokens; --max-tokens allows more)\n", c.flags.maxTokens)
	}
	return nil
}

// statement is the dialogue, or the last message where a session keeps the others,
// as one SQL statement; values are parameters.
func (c *conversation) statement(turns []turn) (string, []any, error) {
	var args []any
	bind := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	model := "NULL::VARCHAR"
	if c.flags.model != "" {
		model = bind(c.flags.model)
	}
	sql := "SELECT text, done, finish_reason FROM generate_stream(" + model
	if c.flags.session != "" {
		sql += ", " + bind(turns[len(turns)-1].Content) + ", session := " + bind(c.flags.session)
	} else {
		messages, err := json.Marshal(turns)
		if err != nil {
			return "", nil, errs.Wrap(err, errs.Internal, "chat", "the dialogue cannot be sent")
		}
		sql += ", NULL::VARCHAR, messages := " + bind(string(messages))
	}
	if c.flags.system != "" {
		sql += ", system := " + bind(c.flags.system)
	}
	if len(c.flags.adapters) > 0 {
		refs := make([]string, len(c.flags.adapters))
		for i, name := range c.flags.adapters {
			refs[i] = bind(name)
		}
		sql += ", adapter := [" + strings.Join(refs, ", ") + "]"
	}
	if c.sent.maxTokens {
		sql += ", max_tokens := " + bind(c.flags.maxTokens)
	}
	if c.sent.temperature {
		sql += ", temperature := " + bind(c.flags.temperature)
	}
	if c.sent.seed {
		sql += ", seed := " + bind(c.flags.seed)
	}
	return sql + ")", args, nil
}

// printAnswer writes the pieces as they come and ends with a line break; begin
// is called before the first. The space that models put before their first word
// is left out.
func (a *app) printAnswer(res client.Result, begin func()) (answer, finish string, err error) {
	var all strings.Builder
	terminal := isTerminal(a.stdout)
	for res.Next() {
		begin()
		b := res.RecordBatch()
		for i := range int(b.NumRows()) {
			piece := textAt(b, 0, i)
			if all.Len() == 0 {
				piece = strings.TrimLeft(piece, " \t\r\n")
			}
			all.WriteString(piece)
			if terminal {
				piece = output.Printable(piece)
			}
			if _, err := io.WriteString(a.stdout, piece); err != nil {
				return all.String(), "", errs.Wrap(err, errs.Internal, "chat", "the answer cannot be written")
			}
			if f := textAt(b, 2, i); f != "" {
				finish = f
			}
		}
	}
	if all.Len() > 0 && !strings.HasSuffix(all.String(), "\n") {
		fmt.Fprintln(a.stdout)
	}
	return strings.TrimRight(all.String(), " \t\r\n"), finish, res.Err()
}

// textAt is a VARCHAR value; NULL is "".
func textAt(b arrow.RecordBatch, c, i int) string {
	col, ok := b.Column(c).(*array.String)
	if !ok || col.IsNull(i) {
		return ""
	}
	return strings.Clone(col.Value(i)) // the batch's memory goes with the batch
}
