package decode

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// AdapterSet names the set that adapters amount to: equal for equal sets, "" for none.
func AdapterSet(adapters []Adapter) string {
	_, key := normalAdapters(adapters)
	return key
}

// normalAdapters is the set that adapters amount to: a LoRA adds to the
// weights, so one given twice counts with the sum of its scales, one with scale
// 0 does not count, and their order is nothing. key is equal for equal sets.
func normalAdapters(adapters []Adapter) (set []Adapter, key string) {
	for _, a := range adapters {
		i := slices.IndexFunc(set, func(b Adapter) bool { return b.Path == a.Path })
		if i < 0 {
			set = append(set, a)
		} else {
			set[i].Scale += a.Scale
		}
	}
	set = slices.DeleteFunc(set, func(a Adapter) bool { return a.Scale == 0 })
	slices.SortFunc(set, func(a, b Adapter) int { return cmp.Compare(a.Path, b.Path) })
	var b strings.Builder
	for _, a := range set {
		fmt.Fprintf(&b, "%q*%v ", a.Path, a.Scale)
	}
	return set, b.String()
}
