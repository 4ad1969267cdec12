package convert

import (
	"fmt"
	"slices"
	"strings"

	"hyprstream/errs"
	"hyprstream/storage/gguf"
)

// family is a kind of model that can be converted.
type family struct {
	title         string
	architectures []string // of config.json
	plan          func(p *Plan) error
	ignored       []string // parts of names of tensors that are left out: they are computed, or of other tasks
}

var families = []*family{
	{"BERT", []string{"BertModel", "BertForMaskedLM"}, planBERT,
		[]string{"embeddings.position_ids", "pooler.dense.", "cls.predictions.", "cls.seq_relationship."}},
	{"Llama", []string{"LlamaForCausalLM", "LlamaModel"}, planLlama, []string{"rotary_emb.inv_freq"}},
	{"Qwen3", []string{"Qwen3ForCausalLM", "Qwen3Model"}, planQwen3, []string{"rotary_emb.inv_freq"}},
}

// family finds the family of a configuration.
func (s *source) family(c *config) (*family, error) {
	var known []string
	for _, f := range families {
		if slices.ContainsFunc(c.Architectures, func(a string) bool { return slices.Contains(f.architectures, a) }) {
			return f, nil
		}
		known = append(known, fmt.Sprintf("%s (%s)", f.title, strings.Join(f.architectures, ", ")))
	}
	is := strings.Join(c.Architectures, ", ")
	if is == "" {
		return nil, s.bad(ConfigName, "it does not name the model's architecture; %s can be converted", strings.Join(known, ", "))
	}
	return nil, s.unsupported(ConfigName, "the architecture %.100s cannot be converted; %s can. For others take a GGUF file, or make one with llama.cpp's convert_hf_to_gguf.py",
		is, strings.Join(known, ", "))
}

// tensor is one of the GGUF file to come.
type tensor struct {
	gguf.Tensor
	from  *entry    // where its values are; nil: data
	heads int       // of a projection whose rows are reordered, see gguf.RotaryRow
	data  []float32 // values made here
}

// layer adds tensors of one prefix, in SafeTensors and in GGUF.
type layer struct {
	p         *Plan
	from, out string
	err       error // the first
}

func (p *Plan) layer(from, out string) *layer { return &layer{p: p, from: from, out: out} }

// need adds a tensor that must be there.
func (l *layer) need(from, out string, shape ...int) { l.add(from, out, 0, false, shape) }

// may adds a tensor that need not be there.
func (l *layer) may(from, out string, shape ...int) { l.add(from, out, 0, true, shape) }

// rotary adds a projection to heads and its bias, if there is one; reorder says
// that rows are, too.
func (l *layer) rotary(from, out string, heads, dim, in int, reorder bool) {
	n := 0
	if reorder {
		n = heads
	}
	l.add(from+".weight", out+".weight", n, false, []int{heads * dim, in})
	l.add(from+".bias", out+".bias", n, true, []int{heads * dim})
}

func (l *layer) add(from, out string, heads int, optional bool, shape []int) {
	if l.err != nil {
		return
	}
	e := l.p.weights.find(l.p.spellings(l.from + from)...)
	if e == nil {
		if !optional {
			l.err = errs.New(errs.InvalidModelFile, op, "the model in %s lacks tensor %s", l.p.source.dir, l.p.prefix+l.from+from)
		}
		return
	}
	want := make([]uint64, len(shape))
	for i, d := range shape {
		want[i] = uint64(d)
	}
	if !slices.Equal(e.Shape, want) {
		l.err = l.p.source.bad(e.file, "tensor %s has the shape %v, by %s it is %v", e.Name, e.Shape, ConfigName, want)
		return
	}
	kind, ok := kinds[e.Type]
	if !ok {
		l.err = l.p.source.unsupported(e.file, "tensor %s is of type %s; F32, F16 and BF16 can be converted", e.Name, e.Type)
		return
	}
	if len(shape) == 1 || out == "position_embd.weight" || out == "token_types.weight" {
		kind = gguf.F32 // llama.cpp adds them to values of that type
	}
	l.p.tensors = append(l.p.tensors, tensor{Tensor: gguf.Tensor{Name: l.out + out, Shape: want, Type: kind}, from: e, heads: heads})
}

// spellings are the names a tensor may have: old BERT files call the weights of
// norms gamma and beta.
func (p *Plan) spellings(name string) []string {
	out := []string{p.prefix + name}
	if base, ok := strings.CutSuffix(name, "LayerNorm.weight"); ok {
		out = append(out, p.prefix+base+"LayerNorm.gamma")
	}
	if base, ok := strings.CutSuffix(name, "LayerNorm.bias"); ok {
		out = append(out, p.prefix+base+"LayerNorm.beta")
	}
	return out
}
