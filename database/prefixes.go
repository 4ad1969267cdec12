package database

import (
	"fmt"
	"path/filepath"

	"hyprstream/inference"
	"hyprstream/runtime/decode"
)

var prefixColumns = []column{
	{"model", text}, {"adapters", texts}, {"prefix", text}, {"tokens", number}, {"bytes", number}, {"hits", number},
	{"pinned", truth}, {"last_used_at", instant},
}

func (db *DB) prefixRows() (out [][]any) {
	for _, v := range db.engine.Prefixes() {
		out = append(out, []any{v.Model, db.adapterNames(v), v.Text, int64(v.Tokens), v.Bytes, int64(v.Hits),
			v.Pinned, v.Used})
	}
	return out
}

// adapterNames gives a prefix's adapters, which the engine knows by their files,
// as the option adapter takes them: a name, with a scale unless it is 1.
func (db *DB) adapterNames(p inference.PrefixStatus) []string {
	out := []string{}
	for _, a := range p.Adapters {
		name, scale := db.adapterName(p.Model, a)
		if scale != 1 {
			name = fmt.Sprintf("%s:%g", name, scale)
		}
		out = append(out, name)
	}
	return out
}

// adapterName finds the adapter that a file is, or else the blend that it is part of.
func (db *DB) adapterName(model string, a decode.Adapter) (name string, scale float32) {
	name, scale = filepath.Base(a.Path), a.Scale // of one that was dropped since
	for _, v := range db.catalog.Adapters() {
		if v.Model != model || v.Scale == 0 {
			continue
		}
		if v.Path == a.Path {
			return v.Name, a.Scale / v.Scale
		}
		for _, part := range v.Parts {
			if part.Path == a.Path {
				name, scale = v.Name+"/"+part.Name, a.Scale/v.Scale
			}
		}
	}
	return name, scale
}
