package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"hyprstream/catalog/ddl"
	"hyprstream/errs"
)

// blend makes v of other adapters of its model, with their files and scales as
// they are now. A blend among them counts as its parts.
func (s *Statements) blend(v *Adapter, parts []ddl.Part) error {
	const op = "CREATE ADAPTER"
	seen := map[string]bool{}
	for _, part := range parts {
		a, err := s.Catalog.adapterOf(v.Model, part.Name)
		if err != nil {
			return err
		}
		weight, err := parseWeight(part)
		if err != nil {
			return errs.Wrap(err, errs.InvalidArgument, op, op)
		}
		if seen[key(a.Name)] {
			return errs.New(errs.InvalidArgument, op, "adapter %q is named twice in the blend; give it once, with the weight it should have", a.Name)
		}
		seen[key(a.Name)] = true
		if len(a.Parts) == 0 {
			v.Parts = append(v.Parts, Part{Name: a.Name, SHA256: a.SHA256, Scale: a.Scale * weight, Weight: weight})
		}
		for _, p := range a.Parts {
			v.Parts = append(v.Parts, Part{Name: p.Name, SHA256: p.SHA256, Scale: p.Scale * a.Scale * weight, Weight: p.Weight * a.Scale * weight})
		}
		v.Bytes += a.Bytes
		v.Rank = max(v.Rank, a.Rank)
		v.Targets = append(v.Targets, a.Targets...)
		v.Architecture = a.Architecture
	}
	slices.Sort(v.Targets)
	v.Targets = slices.Compact(v.Targets)
	v.SHA256 = blendDigest(v.Parts)
	return nil
}

func parseWeight(p ddl.Part) (float32, error) {
	if p.Scale == "" {
		return 1, nil
	}
	w, err := strconv.ParseFloat(p.Scale, 32)
	if err != nil || w == 0 || w < -100 || w > 100 {
		return 0, errs.New(errs.InvalidArgument, "", "the weight of %q is a number from -100 to 100 other than 0, not %s", p.Name, p.Scale)
	}
	return float32(w), nil
}

// blendDigest is equal for blends of the same files in the same scales, in
// whatever order.
func blendDigest(parts []Part) string {
	lines := make([]string, len(parts))
	for i, p := range parts {
		lines[i] = fmt.Sprintf("%s %x\n", p.SHA256, p.Scale)
	}
	slices.Sort(lines)
	h := sha256.New()
	for _, l := range lines {
		h.Write([]byte(l))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// PartNames are a blend's parts as they were written, nil of a single adapter.
func (v Adapter) PartNames() (out []string) {
	for _, p := range v.Parts {
		out = append(out, p.String())
	}
	return out
}
