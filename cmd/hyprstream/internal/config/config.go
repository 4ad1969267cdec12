package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hyprstream/errs"
)

const prefix = "HYPRSTREAM_"

// EnvName is the environment variable of a flag.
func EnvName(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Apply sets the flags of cmd that the command line did not give from the
// environment and the file. file is the --config flag's value; where it is ""
// the file is DefaultFile, which need not exist. Errors: errs.InvalidArgument.
func Apply(cmd *cobra.Command, file string) error {
	fromFile, name, err := readFile(cmd.Root(), file)
	if err != nil {
		return err
	}
	fromEnv := koanf.New(".")
	_ = fromEnv.Load(env.Provider(".", env.Opt{Prefix: prefix, TransformFunc: func(k, v string) (string, any) {
		return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(k, prefix)), "_", "-"), v
	}}), nil) // reading the environment cannot fail

	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || failed != nil || f.Name == "help" {
			return
		}
		section := strings.TrimPrefix(strings.ReplaceAll(cmd.CommandPath(), " ", "."), cmd.Root().Name()+".")
		switch own := section + "." + f.Name; {
		case fromEnv.String(f.Name) != "": // set but empty is not set
			failed = set(f, []string{fromEnv.String(f.Name)}, EnvName(f.Name))
		case fromFile.Exists(own):
			failed = set(f, values(fromFile, own), "key "+own+" of "+name)
		case fromFile.Exists(f.Name):
			failed = set(f, values(fromFile, f.Name), "key "+f.Name+" of "+name)
		}
	})
	return failed
}

// set gives f its values. A list in the environment is separated as PATH is.
func set(f *pflag.Flag, vals []string, source string) error {
	list, isList := f.Value.(pflag.SliceValue)
	if isList && len(vals) == 1 {
		vals = filepath.SplitList(vals[0])
	}
	var err error
	if isList {
		err = list.Replace(vals)
	} else {
		err = f.Value.Set(strings.Join(vals, ","))
	}
	if err != nil {
		return errs.New(errs.InvalidArgument, "config", "%s is not a valid --%s: %s", source, f.Name, err)
	}
	f.Changed = true
	return nil
}

func values(k *koanf.Koanf, key string) []string {
	if l, ok := k.Get(key).([]any); ok {
		out := make([]string, len(l))
		for i, v := range l {
			out[i] = fmt.Sprint(v)
		}
		return out
	}
	return []string{k.String(key)}
}

// DefaultFile is where the file is looked for without --config.
func DefaultFile() string {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "hyprstream", "config.yaml")
}

func readFile(root *cobra.Command, file string) (*koanf.Koanf, string, error) {
	k := koanf.New(".")
	asked := file != ""
	if !asked {
		file = DefaultFile()
	}
	text, err := os.ReadFile(file)
	if err != nil {
		if !asked && errors.Is(err, fs.ErrNotExist) || file == "" {
			return k, file, nil
		}
		return nil, file, errs.Wrap(err, errs.InvalidArgument, "config", "the config file cannot be read")
	}
	if err := k.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
		return nil, file, errs.Wrap(err, errs.InvalidArgument, "config", "the config file %s is not YAML", file)
	}
	known := map[string]bool{}
	collect(root, "", known)
	for _, key := range k.Keys() {
		if !known[key] {
			return nil, file, errs.New(errs.InvalidArgument, "config", "the key %q of %s is no flag of hyprstream; a key is a flag's name without the dashes, such as %q", key, file, "http")
		}
	}
	return k, file, nil
}

// collect lists the keys that flags of cmd and its subcommands may have.
func collect(cmd *cobra.Command, section string, known map[string]bool) {
	add := func(f *pflag.Flag) {
		known[f.Name] = true
		if section != "" {
			known[section+f.Name] = true
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.Root().PersistentFlags().VisitAll(add)
	for _, c := range cmd.Commands() {
		collect(c, section+c.Name()+".", known)
	}
}
