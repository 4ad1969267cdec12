package storage

import (
	"maps"
	"slices"
	"strings"

	"hyprstream/errs"
)

// adapter adds what a LoRA file says. Its tensors come in pairs: NAME.lora_a
// [in, rank] and NAME.lora_b [rank, out].
func (h *header) adapter(op, path string, info FileInfo) (FileInfo, error) {
	info.Kind = KindAdapter
	if kind := h.strings["adapter.type"]; kind != "lora" {
		return info, errs.New(errs.Unsupported, op, "%s is an adapter of type %q; only LoRA adapters (adapter.type = lora) can be used", path, kind)
	}
	info.Alpha = float32(h.numbers["adapter.lora.alpha"])
	info.Quantisation = h.tensors[0].kind.String()
	pairs := map[string]int{} // bit 0: lora_a seen, bit 1: lora_b
	targets, ranks := map[string]bool{}, map[int]bool{}
	for _, t := range h.tensors {
		base, half, found := strings.Cut(t.name, ".lora_")
		if !found || half != "a" && half != "b" || len(t.dims) < 2 {
			continue // norms and the like that some adapters carry
		}
		info.Parameters += elements(t)
		targets[target(base)] = true
		if half == "a" {
			pairs[base] |= 1
			rank := int(min(t.dims[1], t.dims[0]))
			info.Rank = max(info.Rank, rank)
			ranks[rank] = true
		} else {
			pairs[base] |= 2
		}
	}
	if len(pairs) == 0 {
		return info, errs.New(errs.InvalidModelFile, op, "%s calls itself a LoRA adapter but holds no lora_a and lora_b tensors", path)
	}
	for base, halves := range pairs {
		if halves != 3 {
			return info, errs.New(errs.InvalidModelFile, op, "%s is not a usable adapter: %.64q lacks its lora_a or lora_b half", path, base)
		}
	}
	info.Targets = slices.Sorted(maps.Keys(targets))
	info.Ranks = slices.Sorted(maps.Keys(ranks))
	return info, nil
}

// target turns "blk.3.attn_q.weight" into "attn_q".
func target(tensor string) string {
	name := strings.TrimSuffix(tensor, ".weight")
	if rest, found := strings.CutPrefix(name, "blk."); found {
		if _, after, found := strings.Cut(rest, "."); found {
			return after
		}
	}
	return name
}

func elements(t tensor) uint64 {
	n := uint64(1)
	for _, d := range t.dims {
		n *= d // cannot overflow: tensor.size has bounded the product
	}
	return n
}
