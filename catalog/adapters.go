package catalog

import (
	"strconv"
	"time"

	"hyprstream/errs"
	"hyprstream/inference"
)

// Adapter is an adapter's row: a LoRA file, or a blend of several.
type Adapter struct {
	Name         string
	Model        string
	SHA256       string // of the file; of a blend, of its parts' digests and scales
	Bytes        int64
	Source       string
	Architecture string
	Rank         int     // of a blend, the largest of its parts'
	Alpha        float32 // 0 for a blend
	Targets      []string
	Scale        float32
	Parts        []Part `json:",omitempty"` // of a blend
	BaseSHA256   string `json:",omitempty"` // of the model's file when the adapter was created
	CreatedAt    time.Time

	Path string `json:"-"` // "" of a blend
}

// Part is a LoRA file in a blend, as it was when the blend was made: what
// becomes of the adapter of that name later is nothing to the blend.
type Part struct {
	Name   string  // of the adapter then
	SHA256 string  // of its file
	Scale  float32 // in all, but for the blend's own
	Weight float32 // as the statement gave it

	Path string `json:"-"`
}

// String is the part as it was written: "polite:0.7".
func (p Part) String() string {
	return p.Name + ":" + strconv.FormatFloat(float64(p.Weight), 'g', -1, 32)
}

// Kind is "lora" or "blend".
func (v Adapter) Kind() string {
	if len(v.Parts) > 0 {
		return "blend"
	}
	return "lora"
}

// files are the digests of the files an adapter is made of.
func (v Adapter) files() (out []string) {
	if len(v.Parts) == 0 {
		return []string{v.SHA256}
	}
	for _, p := range v.Parts {
		out = append(out, p.SHA256)
	}
	return out
}

// located is a row with the paths of its files on this machine.
func (c *Catalog) located(v Adapter) Adapter {
	if len(v.Parts) == 0 {
		v.Path = c.blob(v.SHA256)
		return v
	}
	v.Parts = append([]Part(nil), v.Parts...)
	for i := range v.Parts {
		v.Parts[i].Path = c.blob(v.Parts[i].SHA256)
	}
	return v
}

// PutAdapter adds an adapter, or replaces one of that name. It returns the
// files of the one that was replaced.
func (c *Catalog) PutAdapter(v Adapter, replace bool) (replaced []string, err error) {
	if err := checkName(v.Name); err != nil {
		return nil, err
	}
	c.change.Lock()
	defer c.change.Unlock()
	of, err := c.findModel(v.Model)
	if err != nil {
		return nil, err
	}
	v.Model = of.Name
	old, exists := c.adapts[key(v.Name)]
	if exists && !replace {
		return nil, adapterExists(old.Name)
	}
	if v.Architecture != of.Architecture {
		return nil, errs.New(errs.InvalidArgument, "catalog", "adapter %q was made for architecture %q and model %q is %q: choose the model it was trained on",
			v.Name, v.Architecture, of.Name, of.Architecture)
	}
	v.CreatedAt = time.Now().UTC()
	edits := []edit{put("adapters", v.Name, v)}
	if exists {
		edits = []edit{del("adapters", old.Name), edits[0]}
		replaced = old.files()
	}
	if err := c.store.change(edits...); err != nil {
		return nil, err
	}
	c.set(func() { c.adapts[key(v.Name)] = c.located(v) })
	return replaced, nil
}

func adapterExists(name string) error {
	return errs.New(errs.AlreadyExists, "catalog", "adapter %q already exists: use CREATE OR REPLACE ADAPTER or IF NOT EXISTS", name)
}

// DropAdapter removes an adapter and returns its row.
func (c *Catalog) DropAdapter(name string) (Adapter, error) {
	c.change.Lock()
	defer c.change.Unlock()
	v, ok := c.adapts[key(name)]
	if !ok {
		return v, c.noAdapter("", name)
	}
	if err := c.store.change(del("adapters", v.Name)); err != nil {
		return v, err
	}
	c.set(func() { delete(c.adapts, key(v.Name)) })
	return v, nil
}

// Uses says whether any model, adapter or blend needs the file of a digest.
func (c *Catalog) Uses(sha string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, v := range c.models {
		if v.SHA256 == sha {
			return true
		}
	}
	for _, v := range c.adapts {
		for _, f := range v.files() {
			if f == sha {
				return true
			}
		}
	}
	return false
}

// findAdapter is the row of an adapter.
func (c *Catalog) findAdapter(name string) (Adapter, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.adapts[key(name)]
	return v, ok
}

// adapterOf is the row of a model's adapter.
func (c *Catalog) adapterOf(model, name string) (Adapter, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	of, err := c.findModel(model)
	if err != nil {
		return Adapter{}, err
	}
	v, ok := c.adapts[key(name)]
	if !ok {
		return Adapter{}, c.noAdapter(of.Name, name)
	}
	if key(v.Model) != key(of.Name) {
		return Adapter{}, errs.New(errs.AdapterNotFound, "catalog", "adapter %q is for model %q, not for %q", v.Name, v.Model, of.Name)
	}
	return v, nil
}

// Adapter implements inference.Registry.
func (c *Catalog) Adapter(model, name string) (inference.Adapter, error) {
	v, err := c.adapterOf(model, name)
	if err != nil {
		return inference.Adapter{}, err
	}
	out := inference.Adapter{Name: v.Name, Model: v.Model, Scale: v.Scale}
	if len(v.Parts) == 0 {
		out.Parts = []inference.AdapterPart{{Name: v.Name, Path: v.Path, SHA256: v.SHA256, Scale: 1}}
	}
	for _, p := range v.Parts {
		out.Parts = append(out.Parts, inference.AdapterPart{Name: v.Name + "/" + p.Name, Path: p.Path, SHA256: p.SHA256, Scale: p.Scale})
	}
	return out, nil
}

// noAdapter tells of a missing adapter of a model, "" for any model.
func (c *Catalog) noAdapter(model, name string) error {
	var names []string
	for _, v := range c.adapts {
		if model == "" || key(v.Model) == key(model) {
			names = append(names, v.Name)
		}
	}
	of := ""
	if model != "" {
		of = " of model " + model
	}
	if len(names) == 0 {
		return errs.New(errs.AdapterNotFound, "catalog", "no adapter%s is named %q, and there is none yet: CREATE ADAPTER", of, name)
	}
	return errs.New(errs.AdapterNotFound, "catalog", "no adapter%s is named %q; %s", of, name, suggest(name, names))
}
