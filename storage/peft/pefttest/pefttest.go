package pefttest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Tensor is a float32 matrix, row by row.
type Tensor struct {
	Shape []int
	Data  []float32
}

// Random is a matrix of normal numbers times gain.
func Random(r *rand.Rand, rows, columns int, gain float64) Tensor {
	t := Tensor{Shape: []int{rows, columns}, Data: make([]float32, rows*columns)}
	for i := range t.Data {
		t.Data[i] = float32(r.NormFloat64() * gain)
	}
	return t
}

// Config is a configuration of PEFT's, with changes.
func Config(rank int, alpha float64, changes map[string]any) map[string]any {
	c := map[string]any{"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "bias": "none", "use_rslora": false, "use_dora": false,
		"modules_to_save": nil, "rank_pattern": map[string]any{}, "alpha_pattern": map[string]any{}, "init_lora_weights": true,
		"fan_in_fan_out": false, "base_model_name_or_path": "tiny", "target_modules": []string{"q_proj"}}
	maps.Copy(c, changes)
	return c
}

// Tiny is an adapter of rank 4 for queries, keys and values of testdata/tiny.gguf.
func Tiny(seed uint64) map[string]Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	out := map[string]Tensor{}
	for layer := range 2 {
		for _, m := range []struct {
			name string
			out  int
		}{{"q_proj", 64}, {"k_proj", 32}, {"v_proj", 32}} {
			base := fmt.Sprintf("base_model.model.model.layers.%d.self_attn.%s.", layer, m.name)
			out[base+"lora_A.weight"] = Random(r, 4, 64, 1.0/8)
			out[base+"lora_B.weight"] = Random(r, m.out, 4, 1)
		}
	}
	return out
}

// Save writes a directory and returns its path.
func Save(t *testing.T, config map[string]any, tensors map[string]Tensor) string {
	t.Helper()
	dir := t.TempDir()
	if err := SaveIn(dir, config, tensors); err != nil {
		t.Fatal(err)
	}
	return dir
}

// SaveIn is Save into a directory that is there.
func SaveIn(dir string, config map[string]any, tensors map[string]Tensor) error {
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	data, err := encode(tensors)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "adapter_config.json"), text, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "adapter_model.safetensors"), data, 0o600)
}

// encode is a SafeTensors file of these tensors.
func encode(tensors map[string]Tensor) ([]byte, error) {
	head, data := map[string]any{"__metadata__": map[string]string{"format": "pt"}}, []byte{}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		x := tensors[name]
		begin := len(data)
		for _, v := range x.Data {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		head[name] = map[string]any{"dtype": "F32", "shape": x.Shape, "data_offsets": []int{begin, len(data)}}
	}
	text, err := json.Marshal(head)
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(out, text...), data...), err
}
