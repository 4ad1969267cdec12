package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/cmd/hyprstream/internal/sqltext"
)

func (a *app) adapterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "adapter",
		Short: "Import, list, show and remove LoRA adapters",
		Long:  "Adapters are rows of ai.adapters. These commands run CREATE ADAPTER and DROP ADAPTER.",
	}
	list := a.listCommand("List the adapters", "There are no adapters yet: hyprstream adapter load PATH --model MODEL --name NAME imports one.",
		"SELECT name, model, rank, scale FROM ai.adapters ORDER BY model, name")
	cmd.AddCommand(a.adapterLoad(), list, a.adapterShow(), a.dropCommand("ADAPTER", "Remove an adapter", "the name of one adapter"))
	return requireSubcommand(cmd)
}

func (a *app) adapterLoad() *cobra.Command {
	var model, name string
	var scale float64
	cmd := &cobra.Command{
		Use:   "load PATH|URL",
		Short: "Import a LoRA adapter for a model",
		Long: `Import a LoRA adapter for a model: a GGUF file, by its path or URL, or a directory as
PEFT saves it, with adapter_config.json and adapter_model.safetensors, which is
converted; hf://ORG/REPO names such a one on Hugging Face. The model's memory is not touched: requests name the adapters they
want, and may scale them ('polite:0.5').`,
		Example: `  hyprstream adapter load polite.gguf --model gemma-3-270m --name polite
  hyprstream adapter load ./checkpoint-500 --model gemma-3-270m --name polite
  hyprstream adapter load hf://org/polite-lora --model gemma-3-270m --name polite
  hyprstream chat "Where are my shoes?" --adapter polite`,
		Args: args(1, 1, "the path or URL of one adapter file, or a directory (quote a path with spaces)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c client.Client, place client.Place) error {
				path, file, size, remote, err := sourceFile(place, args[0])
				if err != nil {
					return err
				}
				if name == "" {
					name = modelName(file)
				}
				sql := "CREATE ADAPTER " + sqltext.Ident(name) + " FOR MODEL " + sqltext.Ident(model) + " FROM " + sqltext.Literal(path)
				if cmd.Flags().Changed("scale") {
					sql += " WITH (scale = " + strconv.FormatFloat(scale, 'f', -1, 64) + ")"
				}
				if err := a.bringIn(ctx, c, bringTitle(file, size, remote, sql), sql); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "%s is an adapter of %s.\nNext: hyprstream chat \"Hello\" --model %s --adapter %s\n", name, model, model, name)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&model, "model", "", "`NAME` of the model it was trained for")
	f.StringVar(&name, "name", "", "`NAME` of the adapter in SQL (default: from the file's name)")
	f.Float64Var(&scale, "scale", 1, "`FACTOR` on the adapter's own scale")
	return requireFlag(cmd, "model")
}

// requireFlag is checked after the environment and the config file were read,
// which cobra's own required flags are not.
func requireFlag(cmd *cobra.Command, name string) *cobra.Command {
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Lookup(name).Value.String() == "" {
			return usageError("%s needs --%s", cmd.CommandPath(), name)
		}
		return inner(cmd, args)
	}
	return cmd
}
