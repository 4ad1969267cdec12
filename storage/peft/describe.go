package peft

import (
	"slices"
	"strings"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/gguf"
)

// Description is what a directory says of itself.
type Description struct {
	BaseModel      string // as PEFT wrote it: a name or a path
	BaseSHA256     string // of the model's file, "" where it is not said
	Rank           int    // the largest among its pairs
	Ranks          []int  // each that occurs, ascending
	Alpha          float64
	RankStable     bool     // rslora: alpha over the root of the rank
	Targets        []string // kinds of tensors it changes, as in GGUF: "attn_q", sorted
	Tensors        int
	Types          []storage.TypeShare // what the tensors are stored as
	Parameters     int64
	Bytes          int64 // of the SafeTensors file
	ConvertedBytes int64 // of the GGUF file, but for its head
}

// Describe reads the directory but for the numbers. Errors: as Convert's, but for
// those of a model.
func (d *Dir) Describe() (out Description, err error) {
	x, err := d.open()
	if err != nil {
		return out, err
	}
	defer x.file.Close()
	pairs, err := pairUp(x.tensors, x.config)
	if err != nil {
		return out, errs.Wrap(err, codeOf(err), op, "%s", d.tensors)
	}
	c := x.config
	out = Description{BaseModel: c.BaseModel, BaseSHA256: c.BaseSHA256, Alpha: c.Alpha, RankStable: c.RankStable, Bytes: x.was.Size(), Tensors: len(x.tensors)}
	for _, t := range x.tensors {
		i := slices.IndexFunc(out.Types, func(s storage.TypeShare) bool { return s.Type == t.Type })
		if i < 0 {
			i, out.Types = len(out.Types), append(out.Types, storage.TypeShare{Type: t.Type})
		}
		out.Types[i].Tensors++
		out.Types[i].Bytes += t.Bytes
	}
	for _, p := range pairs {
		parts := strings.Split(strings.TrimSuffix(p.tensor, ".weight"), ".")
		out.Targets = append(out.Targets, parts[len(parts)-1])
		out.Ranks = append(out.Ranks, int(p.a.Shape[0]))
		for _, t := range []gguf.Tensor{{Shape: p.a.Shape, Type: gguf.F32}, {Shape: p.b.Shape, Type: gguf.F32}} {
			out.Parameters += int64(t.Elements())
			out.ConvertedBytes += int64(gguf.Padded(t.Bytes()))
		}
	}
	out.Targets, out.Ranks = distinct(out.Targets), distinct(out.Ranks)
	out.Rank = slices.Max(out.Ranks)
	return out, nil
}

func distinct[T string | int](list []T) []T {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// Check says whether the adapter is one for a model, by its shapes. Errors: as Convert's.
func (d *Dir) Check(base storage.Base) error {
	if !slices.Contains(architectures, base.Architecture) {
		return otherArchitecture(base)
	}
	x, err := d.open()
	if err != nil {
		return err
	}
	defer x.file.Close()
	_, err = match(x.tensors, x.config, base)
	return errs.Wrap(err, codeOf(err), op, "%s", d.tensors)
}
