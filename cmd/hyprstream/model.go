package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/cmd/hyprstream/internal/output"
	"hyprstream/cmd/hyprstream/internal/sqltext"
	"hyprstream/errs"
)

func (a *app) modelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Import, list, show and remove models",
		Long:  "Models are rows of ai.models. These commands run CREATE MODEL, ALTER MODEL and DROP MODEL.",
	}
	cmd.AddCommand(a.modelLoad(), a.modelList(), a.modelShow(), a.modelRemove())
	return requireSubcommand(cmd)
}

// requireSubcommand makes "hyprstream model" and a misspelt subcommand wrong
// usage, where cobra would print the help and succeed.
func requireSubcommand(cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		names := []string{}
		for _, c := range cmd.Commands() {
			names = append(names, c.Name())
		}
		if len(args) == 0 {
			return errs.New(errs.InvalidArgument, "cli", "%s needs one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
		}
		return errs.New(errs.InvalidArgument, "cli", "%s has no command '%s'; it has: %s", cmd.CommandPath(), args[0], strings.Join(names, ", "))
	}
	cmd.RunE = func(*cobra.Command, []string) error { return nil } // without it cobra skips Args
	return cmd
}

type loadFlags struct {
	name    string
	replace bool
	with    []string
}

const modelLoadHelp = `Import a GGUF file, or a directory of SafeTensors, into the data directory and load it.

A URL is pulled first: hf://ORG/REPO/FILE (Hugging Face), hf://ORG/REPO (all of a
repository that is needed), oci://REGISTRY/NAME:TAG (Docker's and Ollama's models) or
https://HOST/FILE. An interrupted pull goes on when it is repeated.

A directory has config.json, *.safetensors and tokenizer.json or tokenizer.model;
it is converted. BERT, Llama and Qwen3 models can be. --with quantize=Q8_0 (or
Q4_K_M and others) makes the weights smaller on the way.

The name is the file's, in lower case, without the ending and the mark of its
quantisation; what is no letter, digit, dot, underscore or dash becomes a dash:
"Gemma 3-270m-Q4_K_M.gguf" is imported as gemma-3-270m. --name gives another.

The first model is the default one: chat, and SQL and HTTP requests without a
model, use it. Loading the same file or directory again under the same name, with the
same options or none, changes nothing; another file, or other options, need --replace.`

func (a *app) modelLoad() *cobra.Command {
	var o loadFlags
	cmd := &cobra.Command{
		Use:   "load PATH|URL",
		Short: "Import or pull a model file or directory and load it",
		Long:  modelLoadHelp,
		Example: `  hyprstream model load gemma-3-270m-q4_k_m.gguf
  hyprstream model load "/my models/qwen.gguf" --name qwen --with context_length=8192 --with slots=8
  hyprstream model load ./Qwen3-0.6B --with quantize=Q8_0
  hyprstream model load hf://ggml-org/gemma-3-270m-it-GGUF/gemma-3-270m-it-Q8_0.gguf
  hyprstream model load hf://Qwen/Qwen3-0.6B --with quantize=Q8_0
  hyprstream model load oci://docker.io/ai/smollm2:latest --name smollm2`,
		Args: args(1, 1, "the path or URL of one model file, or a directory (quote a path with spaces)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c client.Client, place client.Place) error {
				return a.loadModel(ctx, c, place, args[0], o)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "`NAME` of the model in SQL (default: from the file's name)")
	f.BoolVar(&o.replace, "replace", false, "replace a model of this name")
	f.StringArrayVar(&o.with, "with", nil, "`KEY=VALUE` of CREATE MODEL's WITH: context_length, slots, threads, quantize …; may be repeated")
	return cmd
}

func (a *app) loadModel(ctx context.Context, c client.Client, place client.Place, path string, o loadFlags) error {
	path, file, size, remote, err := sourceFile(place, path)
	if err != nil {
		return err
	}
	name := o.name
	if name == "" {
		name = modelName(file)
	}
	with, err := withClause(o.with)
	if err != nil {
		return err
	}
	there, err := a.existing(ctx, c, place, name, path, o)
	if err != nil {
		return err
	}
	if !there {
		create := "CREATE MODEL "
		if o.replace {
			create = "CREATE OR REPLACE MODEL "
		}
		create += sqltext.Ident(name) + " FROM " + sqltext.Literal(path) + with
		if err := a.bringIn(ctx, c, bringTitle(file, size, remote, create), create); err != nil {
			return err
		}
	}
	took, err := a.work("loading "+name, func() error {
		_, err := client.Exec(ctx, c, "ALTER MODEL "+sqltext.Ident(name)+" LOAD")
		return err
	})
	if err != nil {
		return err
	}
	return a.describeLoaded(ctx, c, name, there, took)
}

// bringTitle says what a statement that imports or pulls a file does, while it does it.
func bringTitle(file string, size int64, remote bool, sql string) string {
	base := filepath.Base(file)
	_, isDir := directory(file)
	switch quantises := strings.Contains(sql, "quantize = "); {
	case remote && quantises:
		return "pulling and quantising " + base
	case remote:
		return "pulling " + base
	case isDir && quantises:
		return "converting and quantising " + base
	case isDir:
		return "converting " + base
	case quantises:
		base = "and quantising " + base
	}
	if size > 0 {
		base += " (" + humanize.Bytes(uint64(size)) + ")"
	}
	return "importing " + base
}

// localFile makes path absolute, as the server needs it, and finds a misspelt
// one before anything is opened. A server elsewhere has files of its own.
func localFile(place client.Place, path string) (string, int64, error) {
	if !place.Local {
		return path, 0, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", 0, errs.Wrap(err, errs.InvalidArgument, "cli", "the path %s", path)
	}
	info, err := os.Stat(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", 0, errs.New(errs.NotFound, "cli", "there is no file %s", abs)
	case err != nil:
		return "", 0, errs.Wrap(err, errs.PermissionDenied, "cli", "the file cannot be read")
	case info.IsDir():
		return abs, 0, nil
	}
	return abs, info.Size(), nil
}

var (
	quantMark = regexp.MustCompile(`(?i)[-_. ](i?q[0-9]+(_[a-z0-9]+)*|f16|bf16|f32|fp16|fp32)$`)
	notInName = regexp.MustCompile(`[^\pL\pN._-]+`)
)

// modelName is the documented rule of `model load`.
func modelName(path string) string {
	base := filepath.Base(path)
	stem := base
	if ext := filepath.Ext(base); strings.EqualFold(ext, ".gguf") || strings.EqualFold(ext, ".safetensors") {
		stem = strings.TrimSuffix(base, ext)
	}
	if short := quantMark.ReplaceAllString(stem, ""); short != "" {
		stem = short
	}
	return strings.Trim(strings.ToLower(notInName.ReplaceAllString(stem, "-")), "-")
}

// withClause writes the options of --with; their names and values are checked
// by the statement itself.
func withClause(pairs []string) (string, error) {
	var parts []string
	for _, p := range pairs {
		key, value, ok := strings.Cut(p, "=")
		if !ok || !regexp.MustCompile(`^[a-z_]+$`).MatchString(key) {
			return "", usageError("--with %q is not KEY=VALUE", p)
		}
		if !regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`).MatchString(value) {
			value = sqltext.Literal(value)
		}
		parts = append(parts, key+" = "+value)
	}
	if parts == nil {
		return "", nil
	}
	return " WITH (" + strings.Join(parts, ", ") + ")", nil
}

func (a *app) describeLoaded(ctx context.Context, c client.Client, name string, again bool, took time.Duration) error {
	rows, err := client.Rows(ctx, c, `SELECT architecture, parameters::BIGINT::VARCHAR, quantisation, context_length::BIGINT::VARCHAR,
		bytes::BIGINT::VARCHAR, is_default, encoder FROM ai.models WHERE name = $1`, name)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return errs.New(errs.ModelNotFound, "cli", "the model %q was removed while it was loaded", name)
	}
	m := rows[0]
	note := ""
	if again {
		note = " It was imported before; nothing was changed."
	}
	fmt.Fprintf(a.stdout, "%s is loaded: %s, %s parameters, %v, context %v, %s (%s).%s\n", name, m[0], short(m[1]), m[2], m[3], size(m[4]), took.Round(time.Millisecond), note)
	if m[6] == true {
		fmt.Fprintf(a.stdout, "Next: hyprstream sql \"SELECT embed(%s, 'The opposite of hot is')\"\n", sqltext.Literal(name))
		return nil
	}
	chat := `hyprstream chat "Hello, tell me about yourself"`
	if m[5] != true {
		chat += " --model " + name
	}
	fmt.Fprintf(a.stdout, "Next: %s\n  or: hyprstream sql \"SELECT generate(%s, 'The opposite of hot is')\"\n", chat, sqltext.Literal(name))
	return nil
}

// short writes a count of parameters as 268M or 7.2B.
func short(v any) string {
	var n float64
	if _, err := fmt.Sscan(fmt.Sprint(v), &n); err != nil {
		return "unknown"
	}
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.3gB", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.3gM", n/1e6)
	}
	return fmt.Sprintf("%.0f", n)
}

func size(v any) string {
	var n uint64
	if _, err := fmt.Sscan(fmt.Sprint(v), &n); err != nil {
		return "unknown size"
	}
	return humanize.Bytes(n)
}

func (a *app) modelList() *cobra.Command {
	return a.listCommand("List the models", "There are no models yet: hyprstream model load PATH imports one.",
		`SELECT name, architecture, format_parameters AS parameters, quantisation, context_length AS context,
			format_bytes(bytes) AS size, state, CASE WHEN is_default THEN 'default' ELSE '' END AS "default"
		FROM (SELECT *, CASE WHEN parameters >= 1e9 THEN printf('%.1fB', parameters / 1e9)
			WHEN parameters >= 1e6 THEN printf('%.0fM', parameters / 1e6) ELSE parameters::VARCHAR END AS format_parameters FROM ai.models)
		ORDER BY is_default DESC, name`)
}

// listCommand shows a catalog table; nothing is said where it has no rows.
func (a *app) listCommand(title, empty, query string) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   title,
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt := a.outputOptions(format)
			if err := opt.Check(); err != nil {
				return &usage{err}
			}
			return a.with(cmd, func(ctx context.Context, c client.Client, _ client.Place) error {
				res, err := c.Query(ctx, query)
				if err != nil {
					return err
				}
				defer res.Release()
				n, err := output.Write(a.stdout, res, opt)
				if err == nil && n == 0 {
					fmt.Fprintln(a.stderr, empty)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "table", "table, csv, json or arrow")
	return cmd
}

func (a *app) modelRemove() *cobra.Command {
	return a.dropCommand("MODEL", "Remove a model and its adapters", "the name of one model")
}

// dropCommand removes a named object.
func (a *app) dropCommand(object, title, what string) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME",
		Aliases: []string{"remove"},
		Short:   title,
		Args:    args(1, 1, what),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c client.Client, _ client.Place) error {
				status, err := client.Exec(ctx, c, "DROP "+object+" "+sqltext.Ident(args[0]))
				if err != nil {
					return err
				}
				if status == "" {
					status = args[0] + " is removed"
				}
				fmt.Fprintln(a.stdout, status)
				return nil
			})
		},
	}
}
