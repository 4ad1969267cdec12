package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hyprstream/catalog/ddl"
	"hyprstream/errs"
)

// readPrompts fills the map at start. Versions were written in their order.
func (c *Catalog) readPrompts() error {
	return c.store.each("prompts", func(name, doc string) error {
		var v Prompt
		err := json.Unmarshal([]byte(doc), &v)
		if err == nil {
			v.Pieces, err = cutTemplate(v.Template)
		}
		if err != nil {
			return errs.Wrap(err, errs.Internal, "catalog.Open", "the row of prompt %s is damaged", name)
		}
		c.prompts[key(v.Name)] = append(c.prompts[key(v.Name)], v)
		return nil
	})
}

// row is the name of a version in the file.
func (v *Prompt) row() string { return fmt.Sprintf("%s@%d", v.Name, v.Version) }

// Prompts are all versions of all prompts, by name.
func (c *Catalog) Prompts() (out []Prompt) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, v := range c.prompts {
		out = append(out, v...)
	}
	slices.SortFunc(out, func(a, b Prompt) int {
		return cmp.Or(cmp.Compare(key(a.Name), key(b.Name)), cmp.Compare(a.Version, b.Version))
	})
	return out
}

// FindPrompt is the newest version of a prompt, or, as in 'name@2', the one that is
// asked for. Errors: errs.PromptNotFound, naming the nearest.
func (c *Catalog) FindPrompt(name string) (Prompt, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	base, version, fixed := strings.Cut(name, "@")
	versions := c.prompts[key(base)]
	if len(versions) == 0 {
		return Prompt{}, c.noPrompt(base)
	}
	newest := versions[len(versions)-1]
	if !fixed {
		return newest, nil
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 1 || n > len(versions) {
		return Prompt{}, errs.New(errs.PromptNotFound, "catalog", "prompt %q has versions 1 to %d and none that is %.20q: use %s@%d, or %s for the newest",
			newest.Name, len(versions), version, newest.Name, len(versions), newest.Name)
	}
	return versions[n-1], nil
}

// Template implements sqlfuncs.Prompts.
func (c *Catalog) Template(name string) (pieces []string, err error) {
	v, err := c.FindPrompt(name)
	return v.Pieces, err
}

// noPrompt tells of a missing prompt. mu or change is held.
func (c *Catalog) noPrompt(name string) error {
	if len(c.prompts) == 0 {
		return errs.New(errs.PromptNotFound, "catalog", "no prompt is named %q, and there is none yet: CREATE PROMPT name AS '… {{field}} …'", name)
	}
	var names []string
	for _, v := range c.prompts {
		names = append(names, v[0].Name)
	}
	return errs.New(errs.PromptNotFound, "catalog", "no prompt is named %q; %s", name, suggest(name, names))
}

// PutPrompt adds a prompt, or to one of that name a version; a template that is equal
// to the newest one's adds none. It returns what is the newest then.
func (c *Catalog) PutPrompt(name, template string, replace bool) (v Prompt, added bool, err error) {
	if err := checkName(name); err != nil {
		return v, false, err
	}
	if strings.Contains(name, "@") {
		return v, false, errs.New(errs.InvalidArgument, "CREATE PROMPT", "the name %q has an @ in it, which comes before a version, as in render('name@1', …)", name)
	}
	if v, err = newPrompt(name, template); err != nil {
		return v, false, err
	}
	c.change.Lock()
	defer c.change.Unlock()
	versions := c.prompts[key(name)]
	if n := len(versions); n > 0 {
		newest := versions[n-1]
		switch {
		case !replace:
			return newest, false, errs.New(errs.AlreadyExists, "catalog", "prompt %q already exists: use CREATE OR REPLACE PROMPT, which adds a version, or IF NOT EXISTS", newest.Name)
		case newest.SHA256 == v.SHA256:
			return newest, false, nil
		}
		v.Name, v.Version = newest.Name, newest.Version+1
	}
	v.CreatedAt = time.Now().UTC()
	if err := c.store.change(put("prompts", v.row(), v)); err != nil {
		return v, false, err
	}
	c.set(func() { c.prompts[key(name)] = append(slices.Clone(versions), v) })
	return v, true, nil
}

// DropPrompt removes a prompt with all its versions.
func (c *Catalog) DropPrompt(name string) error {
	c.change.Lock()
	defer c.change.Unlock()
	versions := c.prompts[key(name)]
	if len(versions) == 0 {
		return c.noPrompt(name)
	}
	var edits []edit
	for _, v := range versions {
		edits = append(edits, del("prompts", v.row()))
	}
	if err := c.store.change(edits...); err != nil {
		return err
	}
	c.set(func() { delete(c.prompts, key(name)) })
	return nil
}

func (s *Statements) createPrompt(_ context.Context, st ddl.CreatePrompt) (string, error) {
	v, added, err := s.Catalog.PutPrompt(st.Name, st.Template, st.OrReplace)
	switch {
	case errs.CodeOf(err) == errs.AlreadyExists && st.IfNotExists:
		return fmt.Sprintf("prompt %s already exists", v.Name), nil
	case err != nil:
		return "", err
	case !added:
		return fmt.Sprintf("prompt %s has this template already, as version %d", v.Name, v.Version), nil
	}
	return fmt.Sprintf("prompt %s created: version %d, fields: %s", v.Name, v.Version, joinNames(v.Fields)), nil
}

func (s *Statements) dropPrompt(_ context.Context, st ddl.DropPrompt) (string, error) {
	err := s.Catalog.DropPrompt(st.Name)
	if errs.CodeOf(err) == errs.PromptNotFound && st.IfExists {
		return fmt.Sprintf("there is no prompt %s", st.Name), nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("prompt %s dropped", st.Name), nil
}
