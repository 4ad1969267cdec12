package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/peft"
)

const adapterShowHelp = `Show all that is known of an adapter: one of the catalog by its name, or a GGUF file or
a PEFT directory by its path, which is not imported. What has a slash or ends in .gguf is
a path. What cannot be converted is refused with the reason. It says, too, which models of
the catalog the adapter fits, and what is in the way with others.`

func (a *app) adapterShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME_OR_PATH",
		Short: "Show all that is known of an adapter, an adapter file or directory",
		Long:  adapterShowHelp,
		Example: `  hyprstream adapter show polite
  hyprstream adapter show ./polite.gguf
  hyprstream adapter show ./checkpoint-500`,
		Args: args(1, 1, "the name of one adapter, or the path of one adapter file or directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var f facts
			var peftDir *peft.Dir
			if isPath(args[0]) {
				var err error
				if dir, ok := directory(args[0]); ok {
					peftDir, err = adapterDirectory(&f, dir)
				} else {
					err = a.adapterFile(cmd.Context(), &f, args[0])
				}
				if err != nil {
					return err
				}
				if _, err := os.Stat(a.data); a.server == "" && err != nil { // no catalog yet, and none is made for this
					return f.write(a, asJSON)
				}
			}
			return a.with(cmd, func(ctx context.Context, c client.Client, place client.Place) error {
				if err := a.adapterFits(ctx, c, place, &f, peftDir, args[0]); err != nil {
					return err
				}
				return f.write(a, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

func (a *app) adapterFile(ctx context.Context, f *facts, arg string) error {
	path, info, err := inspectFile(arg, storage.KindAdapter)
	if err != nil {
		return err
	}
	sum, err := a.digest(ctx, path)
	if err != nil {
		return err
	}
	f.add("file", path, path)
	f.add("format", info.Format, info.Format)
	f.adapter(info)
	f.add("bytes", bytesText(info.Bytes), info.Bytes)
	f.add("sha256", sum, sum)
	return nil
}

// adapter adds what an adapter is built of.
func (f *facts) adapter(info storage.FileInfo) {
	f.add("kind", "lora", "lora")
	f.file(info)
	f.add("rank", fmt.Sprint(info.Rank), info.Rank)
	if len(info.Ranks) > 1 {
		f.add("ranks", strings.Trim(fmt.Sprint(info.Ranks), "[]"), info.Ranks)
	}
	f.add("alpha", fmt.Sprint(info.Alpha), info.Alpha)
	f.add("targets", strings.Join(info.Targets, ", "), info.Targets)
}

// adapterFits adds the catalog's row of a name, and which models the adapter fits.
func (a *app) adapterFits(ctx context.Context, c client.Client, place client.Place, f *facts, dir *peft.Dir, arg string) error {
	path, _ := f.value("file").(string)
	if path == "" && dir == nil {
		found, err := f.row(ctx, c, "adapters", arg)
		if err == nil && !found {
			err = noSuch(errs.AdapterNotFound, "adapter", arg)
		}
		if err != nil {
			return err
		}
		info, ok := a.imported(place, *f)
		if !ok {
			return nil
		}
		f.adapter(info)
		path, _ = f.value("path").(string)
	}
	models, err := client.Rows(ctx, c, "SELECT name, path FROM ai.models ORDER BY name")
	if err != nil || !place.Local || len(models) == 0 {
		return err
	}
	fits, others := []string{}, map[string]string{}
	lines := []string{}
	for _, m := range models {
		name, file := fmt.Sprint(m[0]), fmt.Sprint(m[1])
		base, err := storage.ReadBase(file)
		if err == nil {
			err = fitsWith(path, dir, base)
		}
		if err != nil {
			others[name] = err.Error()
			lines = append(lines, name+": "+err.Error())
		} else {
			fits = append(fits, name)
		}
	}
	text := strings.Join(fits, ", ")
	if len(fits) == 0 {
		text = "no model of the catalog"
	}
	f.add("fits", text, fits)
	f.add("fits_not", strings.Join(lines, "\n"), others)
	return nil
}
