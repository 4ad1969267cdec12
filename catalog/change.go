package catalog

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"hyprstream/errs"
)

const maxName = 200 // characters

// checkName refuses names that could not be shown or typed.
func checkName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return errs.New(errs.InvalidArgument, "catalog", "a name must not be empty")
	case len([]rune(name)) > maxName:
		return errs.New(errs.InvalidArgument, "catalog", "a name may have %d characters at most", maxName)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		return errs.New(errs.InvalidArgument, "catalog", "the name %q has control characters or invalid UTF-8 in it", name)
	}
	return nil
}

// PutModel adds a model, or replaces one of that name, which keeps being the
// default and pinned. The first model is the default; the first that can continue a
// text takes that from an encoder. It returns the digest that was replaced, "" for none.
func (c *Catalog) PutModel(v Model, replace bool) (replaced string, err error) {
	if err := checkName(v.Name); err != nil {
		return "", err
	}
	c.change.Lock()
	defer c.change.Unlock()
	old, exists := c.models[key(v.Name)]
	if exists && !replace {
		return "", modelExists(old.Name)
	}
	v.CreatedAt = time.Now().UTC()
	v.Default, v.Pinned = old.Default, old.Pinned
	next := []Model{v}
	if former, err := c.findModel(""); err != nil || !v.Encoder && former.Encoder && !c.generates() {
		next = c.byDefault(v)
	}
	var edits []edit
	if exists {
		if a := c.adaptersOf(v.Name); len(a) > 0 && old.Architecture != v.Architecture {
			return "", errs.New(errs.InvalidArgument, "catalog", "model %q has adapters for architecture %s (%s) and the new file is %s: drop them first",
				old.Name, old.Architecture, strings.Join(a, ", "), v.Architecture)
		}
		edits = []edit{del("models", old.Name)}
	}
	if err := c.putModels(next, edits...); err != nil {
		return "", err
	}
	return old.SHA256, nil
}

// putModels writes rows of models, after what before removes.
func (c *Catalog) putModels(rows []Model, before ...edit) error {
	for _, v := range rows {
		before = append(before, put("models", v.Name, v))
	}
	if err := c.store.change(before...); err != nil {
		return err
	}
	c.set(func() {
		for _, v := range rows {
			v.Path = c.blob(v.SHA256)
			c.models[key(v.Name)] = v
		}
	})
	return nil
}

// byDefault are the rows that change where v becomes the default: v, and the one that was.
func (c *Catalog) byDefault(v Model) []Model {
	v.Default = true
	if old, err := c.findModel(""); err == nil && key(old.Name) != key(v.Name) {
		old.Default = false
		return []Model{v, old}
	}
	return []Model{v}
}

// generates says whether there is a model that can continue a text.
func (c *Catalog) generates() bool {
	for _, v := range c.models {
		if !v.Encoder {
			return true
		}
	}
	return false
}

func modelExists(name string) error {
	return errs.New(errs.AlreadyExists, "catalog", "model %q already exists: use CREATE OR REPLACE MODEL or IF NOT EXISTS", name)
}

// set changes the maps; readers see all of it or nothing.
func (c *Catalog) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// adaptersOf are the names of a model's adapters.
func (c *Catalog) adaptersOf(model string) (names []string) {
	for _, a := range c.adapts {
		if key(a.Model) == key(model) {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return names
}

// DropModel removes a model and returns its row. Where it was the default, the
// oldest one left becomes it, one that can continue a text before encoders. A model with adapters is not dropped.
func (c *Catalog) DropModel(name string) (Model, error) {
	c.change.Lock()
	defer c.change.Unlock()
	v, err := c.findModel(name)
	if err != nil {
		return v, err
	}
	if a := c.adaptersOf(v.Name); len(a) > 0 {
		return v, errs.New(errs.InvalidArgument, "catalog", "model %q has adapters: drop %s first", v.Name, strings.Join(a, ", "))
	}
	edits := []edit{del("models", v.Name)}
	var heir *Model
	if v.Default {
		for _, o := range c.Models() {
			if o.Name != v.Name && (heir == nil || heir.Encoder && !o.Encoder) {
				heir = &o
			}
		}
		if heir != nil {
			heir.Default = true
			edits = append(edits, put("models", heir.Name, *heir))
		}
	}
	if err := c.store.change(edits...); err != nil {
		return v, err
	}
	c.set(func() {
		delete(c.models, key(v.Name))
		if heir != nil {
			c.models[key(heir.Name)] = *heir
		}
	})
	return v, nil
}

// SetDefault makes a model the default.
func (c *Catalog) SetDefault(name string) error {
	c.change.Lock()
	defer c.change.Unlock()
	v, err := c.findModel(name)
	if err != nil || v.Default {
		return err
	}
	return c.putModels(c.byDefault(v))
}

// SetPinned says whether a model stays loaded once it is.
func (c *Catalog) SetPinned(name string, pinned bool) error {
	c.change.Lock()
	defer c.change.Unlock()
	v, err := c.findModel(name)
	if err != nil || v.Pinned == pinned {
		return err
	}
	v.Pinned = pinned
	return c.putModels([]Model{v})
}
