package peft

import (
	"regexp"
	"slices"
	"strings"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/gguf"
)

// modules are the layers of a block that can be changed, and their tensors' names.
var modules = map[string]string{
	"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}

// architectures have blocks of these modules.
var architectures = []string{"gemma", "gemma2", "gemma3", "llama", "qwen2", "qwen3"}

// halfName is a tensor's name: the module as it is without PEFT, and which half.
var (
	halfName = regexp.MustCompile(`^base_model\.model\.(.+)\.lora_([AB])(?:\.default)?\.weight$`)
	block    = regexp.MustCompile(`^(?:model\.)?(?:language_model\.)?(?:model\.)?layers\.(\d{1,5})\.(.+)$`)
)

// split reads a tensor's name.
func split(name string) (module string, isA bool, err error) {
	m := halfName.FindStringSubmatch(name)
	switch {
	case m != nil:
		return m[1], m[2] == "A", nil
	case strings.Contains(name, "lora_embedding_"):
		return "", false, errs.New(errs.Unsupported, "", "its tensor %.200q changes the token embedding, which no adapter here can: train without it", name)
	case strings.Contains(name, "lora_magnitude_vector"):
		return "", false, errs.New(errs.Unsupported, "", "its tensor %.200q is DoRA's, which scales the model's own weights as well", name)
	}
	return "", false, errs.New(errs.Unsupported, "", "its tensor %.200q is neither lora_A nor lora_B of a layer: whole modules and biases cannot be carried over", name)
}

// target names the model's tensor that a module is.
func target(module string) (string, error) {
	if module == "lm_head" || module == "language_model.lm_head" {
		return "output.weight", nil
	}
	m := block.FindStringSubmatch(module)
	if m == nil || modules[m[2]] == "" {
		known := make([]string, 0, len(modules))
		for k := range modules {
			known = append(known, k)
		}
		slices.Sort(known)
		return "", errs.New(errs.Unsupported, "", "its target module %.200q is not known; those of a block that are: %s", module, strings.Join(known, ", "))
	}
	return "blk." + m[1] + "." + modules[m[2]] + ".weight", nil
}

// heads is by how many heads a tensor's rows are reordered, 0 for not at all.
// A llama's queries and keys lie in GGUF so that the two numbers that a rotation
// turns are neighbours; elsewhere they are half a head apart.
func heads(b storage.Base, tensor string) int {
	switch {
	case b.Architecture != "llama":
		return 0
	case strings.HasSuffix(tensor, ".attn_q.weight"):
		return b.Heads
	case strings.HasSuffix(tensor, ".attn_k.weight"):
		return b.KVHeads
	}
	return 0
}

// reorder puts rows of width numbers, head by head, into GGUF's order.
func reorder(rows []float32, width, heads int) []float32 {
	out := make([]float32, 0, len(rows))
	n := len(rows) / width
	for i := range n {
		at := int(gguf.RotaryRow(int64(i), int64(n/heads))) * width
		out = append(out, rows[at:at+width]...)
	}
	return out
}
