package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/dustin/go-humanize"

	"hyprstream/cmd/hyprstream/internal/client"
	"hyprstream/cmd/hyprstream/internal/output"
	"hyprstream/errs"
	"hyprstream/storage"
)

// fact is one line of what is shown of a model or adapter.
type fact struct {
	name string
	text string // for a person
	json any
}

// facts are in the order in which they are shown. A later fact of a name that is
// there is left out: the catalog's word goes before the file's.
type facts []fact

func (f *facts) add(name string, text string, value any) {
	for _, have := range *f {
		if have.name == name {
			return
		}
	}
	*f = append(*f, fact{name, text, value})
}

// value is a fact's, nil where there is none of the name.
func (f facts) value(name string) any {
	for _, have := range f {
		if have.name == name {
			return have.json
		}
	}
	return nil
}

// write shows them as lines of name and text, or as one JSON object.
func (f facts) write(a *app, asJSON bool) error {
	if asJSON {
		return f.writeJSON(a)
	}
	widest := 0
	for _, v := range f {
		widest = max(widest, len(v.name))
	}
	for _, v := range f {
		if v.text == "" {
			continue
		}
		indent := "\n" + strings.Repeat(" ", widest+2)
		if _, err := fmt.Fprintf(a.stdout, "%-*s  %s\n", widest, v.name, strings.ReplaceAll(output.Printable(v.text), "\n", indent)); err != nil {
			return err
		}
	}
	return nil
}

func (f facts) writeJSON(a *app) error {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, v := range f {
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		fmt.Fprintf(&b, "%q:", v.name)
		if err := enc.Encode(v.json); err != nil {
			return errs.Wrap(err, errs.Internal, "cli", "cannot write %s as JSON", v.name)
		}
	}
	b.WriteString("}")
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(b.String()), "", "  "); err != nil {
		return errs.Wrap(err, errs.Internal, "cli", "cannot write JSON")
	}
	out.WriteByte('\n')
	_, err := out.WriteTo(a.stdout)
	return err
}

// isPath tells a file from a name of the catalog, without looking for either.
func isPath(arg string) bool {
	return strings.ContainsRune(arg, filepath.Separator) || strings.EqualFold(filepath.Ext(arg), ".gguf")
}

// row adds a catalog table's row of a name; false: there is none.
func (f *facts) row(ctx context.Context, c client.Client, table, name string) (bool, error) {
	res, err := c.Query(ctx, "SELECT * FROM ai."+table+" WHERE name = $1", name)
	if err != nil {
		return false, err
	}
	defer res.Release()
	found := false
	for res.Next() {
		found = true
		b := res.RecordBatch()
		for i, column := range b.Columns() {
			f.cell(b.ColumnName(i), column)
		}
	}
	return found, res.Err()
}

func (f *facts) cell(name string, column arrow.Array) {
	if column.IsNull(0) {
		f.add(name, "", nil)
		return
	}
	text := output.Text(column, 0)
	value := column.GetOneForMarshal(0)
	if s, ok := value.(string); ok {
		value = strings.Clone(s) // the batch's memory goes with the batch
	}
	switch name {
	case "bytes", "memory":
		text = bytesText(value)
	case "parameters":
		text = countText(value)
	case "chat_template":
		text = firstLines(text)
	}
	f.add(name, text, value)
}

// file adds what both kinds of file say of themselves.
func (f *facts) file(info storage.FileInfo) {
	f.add("architecture", info.Architecture, info.Architecture)
	f.add("parameters", countText(info.Parameters), info.Parameters)
	f.add("quantisation", info.Quantisation, info.Quantisation)
	f.tensors(info.Tensors, info.Types)
	for _, v := range []struct{ name, text string }{
		{"title", info.Name}, {"description", info.Description}, {"author", info.Author}, {"license", info.License},
	} {
		if v.text != "" {
			f.add(v.name, v.text, v.text)
		}
	}
}

// tensors adds how many there are, and as what they are stored.
func (f *facts) tensors(count int, list []storage.TypeShare) {
	types := []string{}
	shares := []map[string]any{}
	for _, t := range list {
		types = append(types, fmt.Sprintf("%s: %d, %s", t.Type, t.Tensors, humanize.Bytes(uint64(t.Bytes))))
		shares = append(shares, map[string]any{"type": t.Type, "tensors": t.Tensors, "bytes": t.Bytes})
	}
	text := strconv.Itoa(count)
	if len(types) > 0 {
		text += " (" + strings.Join(types, "; ") + ")"
	}
	f.add("tensors", text, shares)
}

// template adds the chat template of a file.
func (f *facts) template(template string) {
	text := "none: text is continued as it stands"
	if template != "" {
		text = firstLines(template)
	}
	f.add("chat_template", text, template)
}

// inspectFile reads the file that a path names, which must be of a kind.
func inspectFile(arg, kind string) (string, storage.FileInfo, error) {
	path, err := filepath.Abs(arg)
	if err != nil {
		return "", storage.FileInfo{}, errs.Wrap(err, errs.InvalidArgument, "cli", "the path %s", arg)
	}
	info, err := storage.Inspect(path)
	if err == nil && info.Kind != kind {
		err = errs.New(errs.InvalidArgument, "cli", "%s holds %s, not %s: use hyprstream %s show '%s'", path, withArticle(info.Kind), withArticle(kind), info.Kind, arg)
	}
	return path, info, err
}

func withArticle(kind string) string {
	return map[string]string{storage.KindModel: "a model", storage.KindAdapter: "an adapter"}[kind]
}

// imported reads the file of a catalog's row where it can be seen from here. What
// is wrong with it is said on stderr: the row is shown all the same.
func (a *app) imported(place client.Place, f facts) (storage.FileInfo, bool) {
	path, _ := f.value("path").(string)
	if !place.Local || path == "" {
		return storage.FileInfo{}, false
	}
	info, err := storage.Inspect(path)
	if want := fmt.Sprint(f.value("bytes")); err == nil && want != fmt.Sprint(info.Bytes) {
		err = errs.New(errs.DigestMismatch, "cli", "the stored file %s has changed since its import (%s bytes, now %d)", path, want, info.Bytes)
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "hyprstream: [%s] %v; DROP it and create it again\n", errs.CodeOf(err), err)
	}
	return info, err == nil
}

// noSuch is the error for a name that the catalog does not have; a file of that
// name may be meant.
func noSuch(code errs.Code, what, name string) error {
	if _, err := os.Stat(name); err == nil {
		return errs.New(code, "cli", "there is no %s %q; for the file of that name write ./%s", what, name, name)
	}
	return errs.New(code, "cli", "there is no %s %q", what, name)
}

// firstLines is the beginning of a chat template.
func firstLines(template string) string {
	const lines, width = 3, 100
	all := strings.Split(strings.TrimRight(template, "\n"), "\n")
	shown := all[:min(lines, len(all))]
	for i, line := range shown {
		if r := []rune(line); len(r) > width {
			shown[i] = string(r[:width]) + "…"
		}
	}
	if len(all) > lines {
		shown = append(shown, fmt.Sprintf("… (%d lines; --json has them all)", len(all)))
	}
	return strings.Join(shown, "\n")
}

// bytesText and countText write a number short and whole.
func bytesText(v any) string { return size(v) + " (" + comma(v) + ")" }

func countText(v any) string {
	if text := short(v); text != fmt.Sprint(v) {
		return text + " (" + comma(v) + ")"
	}
	return comma(v)
}

func comma(v any) string {
	var n int64
	if _, err := fmt.Sscan(fmt.Sprint(v), &n); err != nil {
		return fmt.Sprint(v)
	}
	return humanize.Comma(n)
}
