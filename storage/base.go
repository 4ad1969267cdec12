package storage

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"hyprstream/errs"
)

// Base is what a model's file says that an adapter must fit.
type Base struct {
	Architecture   string
	Heads, KVHeads int                 // of attention; 0: the file has no one number for all blocks
	Tensors        map[string][]uint64 // dimensions as GGUF has them: [in, out, …]
}

// ReadBase reads a model's header. Errors: as Inspect's.
func ReadBase(path string) (Base, error) {
	h, err := headerOf("storage.ReadBase", path)
	if err != nil {
		return Base{}, err
	}
	arch := h.strings["general.architecture"]
	b := Base{Architecture: arch, Tensors: map[string][]uint64{}}
	for _, t := range h.tensors {
		b.Tensors[t.name] = t.dims
	}
	b.Heads = int(h.numbers[arch+".attention.head_count"])
	b.KVHeads = b.Heads
	if h.has(arch + ".attention.head_count_kv") {
		b.KVHeads = int(h.numbers[arch+".attention.head_count_kv"])
	}
	return b, nil
}

func headerOf(op, path string) (*header, error) {
	f, st, err := openRegular(op, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := readHeader(bufio.NewReader(io.NewSectionReader(f, 0, st.Size())), st.Size())
	if err != nil {
		return nil, errs.Wrap(err, errs.InvalidModelFile, op, "%s is not a usable GGUF file", path)
	}
	return h, nil
}

// Pair is the two halves of what an adapter adds to one tensor, with their
// dimensions as GGUF has them: A [in, rank], B [rank, out].
type Pair struct {
	Tensor string // of the model
	Name   string // of the pair in the adapter's own file
	A, B   []uint64
}

// Fits holds a pair against the model's tensor. Its error tells of the tensor
// and of the shapes, outermost dimension first, as they are written elsewhere.
func (b Base) Fits(p Pair) error {
	want, ok := b.Tensors[p.Tensor]
	fits := false
	switch {
	case p.Tensor == "token_embd.weight" && b.Tensors["output.weight"] == nil:
		// llama.cpp would apply it, transposed, to the output as well, and abort.
		return errs.New(errs.Unsupported, "", "%s changes the token embedding, which this model uses for its output too: train without it", p.Name)
	case !ok && p.Tensor == "output.weight":
		return errs.New(errs.Unsupported, "", "%s changes the output layer, and the model has none of its own (it uses the token embedding): train without lm_head", p.Name)
	case !ok:
		return errs.New(errs.InvalidArgument, "", "%s changes %s, which the model does not have", p.Name, p.Tensor)
	case p.Tensor == "token_embd.weight": // its A lies transposed: tokens are looked up in it
		fits = len(p.A) == 2 && len(p.B) == 2 && p.A[0] == p.B[0] && p.A[1] == want[1] && p.B[1] == want[0]
	case len(p.A) > 1 && len(p.A) == len(p.B) && len(p.A) == len(want):
		fits = p.A[1] == p.B[0] && p.A[0] == want[0] && p.B[1] == want[1] && slices.Equal(p.A[2:], want[2:]) && slices.Equal(p.B[2:], want[2:])
	}
	if !fits {
		return errs.New(errs.InvalidArgument, "", "%s has A %s and B %s and the model's %s is %s", p.Name, shape(p.A), shape(p.B), p.Tensor, shape(want))
	}
	return nil
}

// shape writes dimensions, the outermost first.
func shape(dims []uint64) string {
	out := make([]string, len(dims))
	for i, d := range dims {
		out[len(dims)-1-i] = fmt.Sprint(d)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// CheckAdapter says whether a GGUF LoRA fits a model: its architecture, each
// tensor's shape, and the digest of the file it was trained on where it names
// one (key "adapter.base_sha256"; sha256 is the model's). Errors:
// InvalidArgument and Unsupported, naming the tensor; as Inspect's.
func CheckAdapter(path string, b Base, sha256 string) error {
	const op = "storage.CheckAdapter"
	h, err := headerOf(op, path)
	if err != nil {
		return err
	}
	if arch := h.strings["general.architecture"]; arch != b.Architecture {
		return errs.New(errs.InvalidArgument, op, "it was made for architecture %q and the model is %q", arch, b.Architecture)
	}
	if trained := h.strings[BaseDigestKey]; trained != "" && sha256 != "" && !strings.EqualFold(trained, sha256) {
		return errs.New(errs.InvalidArgument, op, "it says that it was trained on the file of digest %.12s and the model's is %.12s", trained, sha256)
	}
	pairs := map[string]*Pair{}
	var order []*Pair
	for _, t := range h.tensors {
		base, half, found := strings.Cut(t.name, ".lora_")
		if !found || half != "a" && half != "b" {
			if strings.HasSuffix(t.name, "_norm.weight") {
				continue // llama.cpp passes over them
			}
			return errs.New(errs.Unsupported, op, "its tensor %s is neither half of a LoRA", t.name)
		}
		p := pairs[base]
		if p == nil {
			p = &Pair{Tensor: base, Name: base}
			pairs[base] = p
			order = append(order, p)
		}
		if half == "a" {
			p.A = t.dims
		} else {
			p.B = t.dims
		}
	}
	for _, p := range order {
		if err := b.Fits(*p); err != nil {
			return err
		}
	}
	return nil
}

// BaseDigestKey is the metadata by which a LoRA may name the GGUF file it was
// trained on: the SHA-256 in hexadecimal.
const BaseDigestKey = "adapter.base_sha256"
