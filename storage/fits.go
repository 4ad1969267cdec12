package storage

import (
	"io"
	"strings"

	"hyprstream/errs"
)

// Fits says whether an adapter's file can be used with a model's: one
// architecture, and for each pair a tensor of its shape. Errors:
// InvalidArgument, naming the tensor; as Inspect's.
func Fits(adapter, model string) error {
	const op = "storage.Fits"
	a, err := tensorsOf(op, adapter)
	if err != nil {
		return err
	}
	m, err := tensorsOf(op, model)
	if err != nil {
		return err
	}
	if want, have := a.strings["general.architecture"], m.strings["general.architecture"]; want != have {
		return errs.New(errs.InvalidArgument, op, "it is for the architecture %s, the model is a %s", want, have)
	}
	weights := map[string][]uint64{}
	for _, t := range m.tensors {
		weights[t.name] = t.dims
	}
	for _, t := range a.tensors {
		base, half, found := strings.Cut(t.name, ".lora_")
		if !found || half != "a" && half != "b" || len(t.dims) < 2 {
			continue
		}
		want := weights[base]
		if len(want) < 2 {
			return errs.New(errs.InvalidArgument, op, "the model has no tensor %s", base)
		}
		side, have := 0, t.dims[0]
		if half == "b" {
			side, have = 1, t.dims[1]
		}
		if have != want[side] {
			return errs.New(errs.InvalidArgument, op, "its %s is %d wide, the model's %s %d", t.name, have, base, want[side])
		}
	}
	return nil
}

func tensorsOf(op, path string) (*header, error) {
	f, st, err := openRegular(op, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := readHeader(io.NewSectionReader(f, 0, st.Size()), st.Size())
	if err != nil {
		return nil, errs.New(errs.InvalidModelFile, op, "%s is not a usable GGUF file: %v", path, err)
	}
	return h, nil
}
