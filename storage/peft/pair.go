package peft

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/safetensors"
)

// pair is a module's two halves.
type pair struct {
	module, tensor string
	a, b           *safetensors.Tensor
	scale          float64
}

// match pairs the tensors and holds each pair against the model.
func match(tensors []safetensors.Tensor, c *config, base storage.Base) ([]*pair, error) {
	pairs, err := pairUp(tensors, c)
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if err := p.fits(base); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// pairUp pairs the tensors, by their names in GGUF, and holds each pair against
// the configuration.
func pairUp(tensors []safetensors.Tensor, c *config) ([]*pair, error) {
	byTensor := map[string]*pair{}
	var pairs []*pair
	for i := range tensors {
		t := &tensors[i]
		module, isA, err := split(t.Name)
		if err != nil {
			return nil, err
		}
		name, err := target(module)
		if err != nil {
			return nil, err
		}
		p := byTensor[name]
		if p == nil {
			p = &pair{module: module, tensor: name}
			byTensor[name] = p
			pairs = append(pairs, p)
		}
		half := &p.b
		if isA {
			half = &p.a
		}
		if *half != nil || p.module != module {
			return nil, fmt.Errorf("its tensors %.200q and another are both for %s", t.Name, name)
		}
		*half = t
	}
	if len(pairs) == 0 {
		return nil, errors.New("it holds no tensors")
	}
	slices.SortFunc(pairs, func(a, b *pair) int { return cmp.Compare(a.tensor, b.tensor) })
	for _, p := range pairs {
		if err := p.check(c); err != nil {
			return nil, err
		}
	}
	return pairs, nil
}

// check holds a pair against the configuration.
func (p *pair) check(c *config) error {
	full := "base_model.model." + p.module
	switch {
	case p.a == nil:
		return fmt.Errorf("it lacks %.200q", full+".lora_A.weight")
	case p.b == nil:
		return fmt.Errorf("it lacks %.200q", full+".lora_B.weight")
	case len(p.a.Shape) != 2 || len(p.b.Shape) != 2:
		return fmt.Errorf("its tensor %.200q has shape %v; a matrix was expected", p.a.Name, p.a.Shape)
	}
	if err := errors.Join(p.a.CheckFloats(), p.b.CheckFloats()); err != nil {
		return err
	}
	rank, scale := c.of(p.module)
	if uint64(rank) != p.a.Shape[0] {
		return fmt.Errorf("its tensor %.200q has shape %v, rank %d, and %s says %d", p.a.Name, p.a.Shape, p.a.Shape[0], ConfigName, rank)
	}
	p.scale = scale
	return nil
}

// fits holds a pair against the model.
func (p *pair) fits(base storage.Base) error {
	full := "base_model.model." + p.module
	err := base.Fits(storage.Pair{Tensor: p.tensor, Name: full, A: []uint64{p.a.Shape[1], p.a.Shape[0]}, B: []uint64{p.b.Shape[1], p.b.Shape[0]}})
	if err != nil {
		return err
	}
	if base.Architecture == "llama" && (base.Heads < 1 || base.KVHeads < 1) {
		return errs.New(errs.Unsupported, "", "the model has not one number of attention heads for all blocks, by which queries and keys are reordered")
	}
	if n := heads(base, p.tensor); n > 0 && p.b.Shape[0]%uint64(2*n) != 0 {
		return errs.New(errs.InvalidArgument, "", "%.200q has %d rows, which %d heads do not divide", p.b.Name, p.b.Shape[0], n)
	}
	return nil
}
