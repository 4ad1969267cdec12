package convert

import (
	"slices"
	"strings"

	"hyprstream/errs"
)

// Quantisation is a type that llama.cpp's quantiser makes.
type Quantisation struct {
	Name  string  // as ai.models shows it
	FType int32   // llama.cpp's number of it, llama_ftype
	Bits  float64 // of a weight in a large model, at most
}

// Bytes is about how many bytes weights of the type take.
func (q Quantisation) Bytes(parameters int64) int64 { return int64(float64(parameters) * q.Bits / 8) }

// Quantisations are the types that CREATE MODEL … WITH (quantize = …) makes.
// Those that need measured importances of weights are not among them.
var Quantisations = []Quantisation{
	{"F16", 1, 16}, {"BF16", 32, 16}, {"Q8_0", 7, 8.6}, {"Q6_K", 18, 7},
	{"Q5_K_M", 17, 6.2}, {"Q5_K_S", 16, 6}, {"Q5_1", 9, 6.6}, {"Q5_0", 8, 6.2},
	{"Q4_K_M", 15, 5.5}, {"Q4_K_S", 14, 5.2}, {"Q4_1", 3, 5.8}, {"Q4_0", 2, 5.2}, {"IQ4_NL", 25, 5.2}, {"IQ4_XS", 30, 5},
	{"Q3_K_L", 13, 5}, {"Q3_K_M", 12, 4.7}, {"Q3_K_S", 11, 4.4}, {"Q2_K", 10, 4},
}

// FindQuantisation looks a name up, whatever its case.
func FindQuantisation(name string) (Quantisation, error) {
	i := slices.IndexFunc(Quantisations, func(q Quantisation) bool { return strings.EqualFold(q.Name, name) })
	if i >= 0 {
		return Quantisations[i], nil
	}
	var names []string
	for _, q := range Quantisations {
		names = append(names, q.Name)
	}
	return Quantisation{}, errs.New(errs.InvalidArgument, op, "quantize cannot be %.40q; %s can be made", name, strings.Join(names, ", "))
}
