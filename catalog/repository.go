package catalog

import (
	"context"
	"path"
	"slices"
	"strings"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert"
	"hyprstream/storage/pull"
)

// pullShare is the share of an import's progress that fetching a repository has.
const pullShare = 0.6

// importRepository brings a repository's model into the store.
func (s *Statements) importRepository(ctx context.Context, source pull.Source, quantize string, want convert.Quantisation) (out imported, err error) {
	folder, file, err := s.pullRepository(ctx, source, storage.KindModel, want.Bits)
	switch {
	case err != nil:
		return out, err
	case file != "":
		return s.importModel(ctx, file, quantize)
	}
	defer func() { endFolder(folder, err) }()
	out, err = s.importDir(WithProgress(ctx, between(ctx, pullShare, 1)), folder.Dir, source.String(), want)
	return out, unusable(source, folder.Dir, err)
}

// adapterRepository brings a repository's adapter into the store.
func (s *Statements) adapterRepository(ctx context.Context, source pull.Source, base storage.Base) (blob storage.Blob, info storage.FileInfo, err error) {
	folder, file, err := s.pullRepository(ctx, source, storage.KindAdapter, 0)
	switch {
	case err != nil:
		return blob, info, err
	case file != "":
		return s.importFile(ctx, file, storage.KindAdapter)
	}
	defer func() { endFolder(folder, err) }()
	blob, info, err = s.adapterDir(WithProgress(ctx, between(ctx, pullShare, 1)), folder.Dir, source.String(), base)
	return blob, info, unusable(source, folder.Dir, err)
}

// pullRepository fetches what is converted of a repository into a directory; or
// names the one GGUF file of one that has nothing else. bits are those of a
// weight when the model is quantised too, else 0. The caller holds s.files for
// reading; it is let go meanwhile.
func (s *Statements) pullRepository(ctx context.Context, source pull.Source, kind string, bits float64) (folder *pull.Folder, file string, err error) {
	if s.Pulls == nil {
		return nil, "", errs.New(errs.Unsupported, "import", "%s cannot be pulled here: download it and give its directory", source)
	}
	s.files.RUnlock()
	defer s.files.RLock()
	repo, err := s.Pulls.List(ctx, source)
	if err != nil {
		return nil, "", err
	}
	c := contents{repo: repo}
	if file, err = c.choose(kind); err != nil || file != "" {
		return nil, file, err
	}
	folder = s.Pulls.Folder(repo)
	if err := s.fill(ctx, folder, &c, bits); err != nil {
		endFolder(folder, err)
		return nil, "", err
	}
	return folder, "", nil
}

// fill fetches the small files, looks at them, and fetches the weights.
func (s *Statements) fill(ctx context.Context, folder *pull.Folder, c *contents, bits float64) error {
	all, before := sum(c.small)+sum(c.weights), int64(0)
	report := fractions(between(ctx, 0, pullShare))
	progress := func(done int64) { report(before+done, all) }
	if err := folder.Add(ctx, c.small, progress); err != nil {
		return err
	}
	if c.kind == storage.KindModel {
		names, err := convert.Preview(folder.Dir, names(c.weights))
		if err != nil {
			return c.instead(folder.Dir, err)
		}
		c.weights = slices.DeleteFunc(c.weights, func(e pull.Entry) bool { return !slices.Contains(names, e.Path) })
	}
	before = sum(c.small)
	all = before + sum(c.weights)
	made := sum(c.weights) + int64(float64(sum(c.weights))*bits/16)
	if err := s.Files.Room("pulling and converting "+c.repo.Source.String(), folder.Missing(c.weights)+made); err != nil {
		return err
	}
	return folder.Add(ctx, c.weights, progress)
}

// endFolder lets go of a directory whose import ended with err. What another
// attempt may need is kept, what it would fail with again is not.
func endFolder(folder *pull.Folder, err error) {
	if err == nil || useless(err) {
		folder.Discard()
	} else {
		folder.Keep()
	}
}

// useless says whether an error is of what a repository holds.
func useless(err error) bool {
	return slices.Contains([]errs.Code{errs.InvalidModelFile, errs.Unsupported, errs.NotFound}, errs.CodeOf(err))
}

// reader is Allow for the files of a directory, nil for one that was pulled: all
// of that may be read.
func (s *Statements) reader(dir string) func(string) (string, error) {
	if s.Pulls != nil && s.Pulls.Owns(dir) {
		return nil
	}
	return s.Allow
}

// unusable names what was pulled into dir by where it came from.
func unusable(source pull.Source, dir string, err error) error {
	if !useless(err) {
		return err
	}
	return errs.New(errs.CodeOf(err), "import", "%s", strings.ReplaceAll(err.Error(), dir, source.String()))
}

func sum(entries []pull.Entry) int64 {
	n := int64(0)
	for _, e := range entries {
		n += e.Bytes
	}
	return n
}

func names(entries []pull.Entry) (out []string) {
	for _, e := range entries {
		out = append(out, e.Path)
	}
	return out
}

// contents is what a repository has to offer.
type contents struct {
	repo    *pull.Repository
	kind    string
	small   []pull.Entry // fetched first
	weights []pull.Entry
}

// with are the files for which is is true.
func (c *contents) with(is func(name string) bool) (out []pull.Entry) {
	for _, e := range c.repo.Files {
		if is(e.Path) {
			out = append(out, e)
		}
	}
	return out
}

// ending says whether a name ends so; top, whether it must not be in a folder.
func ending(top bool, endings ...string) func(string) bool {
	return func(name string) bool {
		return (!top || path.Base(name) == name) && slices.Contains(endings, strings.ToLower(path.Ext(name)))
	}
}
