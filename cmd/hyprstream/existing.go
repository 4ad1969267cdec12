package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/pull"
)

// stored is what the catalog says of where a model came from.
type stored struct {
	source, sourceSHA256, options string
}

// existing says whether the model of this name is what is to be loaded already,
// with these options. Another under the name is an error, unless it is to be replaced.
func (a *app) existing(ctx context.Context, c client.Client, place client.Place, name, path string, o loadFlags) (bool, error) {
	if o.replace {
		return false, nil
	}
	rows, err := client.Rows(ctx, c, "SELECT source, coalesce(source_sha256, ''), options FROM ai.models WHERE name = $1", name)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	have := stored{fmt.Sprint(rows[0][0]), fmt.Sprint(rows[0][1]), fmt.Sprint(rows[0][2])}
	what, err := a.otherSource(ctx, place, path, have)
	if err == nil && what == "" {
		what, err = otherOptions(o.with, have.options)
	}
	if err == nil && what != "" {
		err = errs.New(errs.AlreadyExists, "cli", "there is already a model %q, %s; give this one another --name, or --replace it", name, what)
	}
	return err == nil, err
}

// otherSource says what a model was made of that was not made of path, "" where it was.
func (a *app) otherSource(ctx context.Context, place client.Place, path string, have stored) (string, error) {
	sum := ""
	var err error
	switch {
	case pull.IsURL(path):
		url, err := pull.Parse(path)
		if err != nil {
			return "", err
		}
		path, sum = withoutDigest(url.String()), url.SHA256()
		have.source = withoutDigest(have.source)
	case !place.Local: // a path of the server's, which cannot be looked at from here
	case have.sourceSHA256 == "":
	default:
		if _, isDir := directory(path); isDir {
			sum, err = a.convertedDigest(ctx, path)
		} else {
			sum, err = a.digest(ctx, path)
		}
		if err != nil {
			return "", err
		}
		if sum == have.sourceSHA256 { // by whatever name
			return "", nil
		}
	}
	switch {
	case path != have.source:
		return "made from " + have.source, nil
	case sum != "" && have.sourceSHA256 != "" && sum != have.sourceSHA256:
		return "made from what " + have.source + " was then, and it has changed", nil
	}
	return "", nil
}

// withoutDigest is a URL without the digest that may be named with it.
func withoutDigest(url string) string {
	url, _, _ = strings.Cut(url, "#sha256=")
	return url
}

// otherOptions says which of the KEY=VALUE given a model does not have, "" where it
// has them all. has is a JSON object. Options that are not given may be any.
func otherOptions(given []string, has string) (string, error) {
	var options map[string]any
	dec := json.NewDecoder(strings.NewReader(has))
	dec.UseNumber()
	if err := dec.Decode(&options); err != nil {
		return "", errs.Wrap(err, errs.Internal, "cli", "the options of the model cannot be read")
	}
	for _, pair := range given {
		key, want, _ := strings.Cut(pair, "=")
		is, set := options[key]
		switch {
		case !set && want != "0":
			return fmt.Sprintf("without %s, not with %s", key, pair), nil
		case set && !strings.EqualFold(fmt.Sprint(is), want):
			return fmt.Sprintf("with %s=%.60v, not %.60s", key, is, want), nil
		}
	}
	return "", nil
}

// digest is a file's SHA-256.
func (a *app) digest(ctx context.Context, path string) (sum string, err error) {
	err = a.counting("checking "+filepath.Base(path), func(moved func(done, total int64)) error {
		sum, err = storage.Digest(ctx, path, moved)
		return err
	})
	return sum, err
}
