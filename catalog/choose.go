package catalog

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert"
	"hyprstream/storage/peft"
	"hyprstream/storage/pull"
)

const named = 10 // files of a repository that an error names at most

// choose finds the files to fetch of a repository, or names its one GGUF file.
func (c *contents) choose(kind string) (file string, err error) {
	c.kind = kind
	tensors := c.with(ending(true, ".safetensors"))
	adapter := c.with(func(name string) bool { return slices.Contains(peft.Files, name) })
	tensors = slices.DeleteFunc(tensors, func(e pull.Entry) bool { return slices.Contains(peft.Files, e.Path) })
	small := c.with(func(name string) bool { return slices.Contains(convert.Files, name) })
	hasConfig := slices.Contains(names(small), convert.ConfigName)
	isAdapter := len(adapter) == len(peft.Files)
	ggufs := c.with(ending(false, ".gguf"))
	switch {
	case kind == storage.KindModel && len(tensors) > 0 && hasConfig:
		c.small, c.weights = small, tensors
		return "", nil
	case kind == storage.KindAdapter && isAdapter:
		c.weights = adapter
		return "", nil
	case len(ggufs) == 1:
		return c.repo.File(ggufs[0].Path).String(), nil
	case len(ggufs) > 1:
		return "", errs.New(errs.InvalidArgument, "import", "%s holds %d GGUF files; name one: %s", c.repo.Source, len(ggufs), c.urls(ggufs))
	case isAdapter:
		return "", otherKind(c.repo.Source.String(), storage.KindAdapter, kind)
	case len(tensors) > 0 && hasConfig:
		return "", otherKind(c.repo.Source.String(), storage.KindModel, kind)
	}
	return "", c.nothing()
}

// nothing says what a repository holds that is of no use.
func (c *contents) nothing() error {
	if pickles := c.with(func(name string) bool { return path.Base(name) == name && convert.IsPickle(name) }); len(pickles) > 0 {
		return errs.New(errs.Unsupported, "import", "%s holds its weights in %s, a Python pickle: reading one runs whatever code is in it, so it is refused; "+
			"take a repository (or a revision, behind @) with *.safetensors or a GGUF file", c.repo.Source, pickles[0].Path)
	}
	has := "nothing"
	if list := names(c.repo.Files); len(list) > 0 {
		has = strings.Join(list[:min(len(list), named)], ", ") + more(len(list))
	}
	want := convert.ConfigName + " with *.safetensors at its root nor a *.gguf file"
	if c.kind == storage.KindAdapter {
		want = strings.Join(peft.Files, " and ") + " at its root nor a *.gguf file"
	}
	return errs.New(errs.InvalidModelFile, "import", "%s holds no %s: there is neither %s in it; it has %s", c.repo.Source, c.kind, want, has)
}

// instead adds what can be taken instead to why a repository cannot be converted.
func (c *contents) instead(dir string, err error) error {
	err = unusable(c.repo.Source, dir, err)
	ggufs := c.with(ending(false, ".gguf"))
	if errs.CodeOf(err) != errs.Unsupported || len(ggufs) == 0 {
		return err
	}
	return errs.New(errs.Unsupported, "import", "%v; or name one of its GGUF files: %s", err, c.urls(ggufs))
}

// urls are the URLs of files and their sizes.
func (c *contents) urls(entries []pull.Entry) string {
	var out []string
	for _, e := range entries[:min(len(entries), named)] {
		out = append(out, fmt.Sprintf("'%s' (%s)", c.repo.File(e.Path), size(e.Bytes)))
	}
	return strings.Join(out, ", ") + more(len(entries))
}

func more(n int) string {
	if n > named {
		return fmt.Sprintf(" and %d more", n-named)
	}
	return ""
}
