package storage

import (
	"reflect"
	"strings"
	"testing"

	"hyprstream/errs"
)

func TestInspectDescribes(t *testing.T) {
	info, err := Inspect("../testdata/toy.gguf")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{info.Author, info.License, info.Heads, info.KVHeads, info.Description != ""}
	if want := []any{"hyprstream", "cc0-1.0", 3, 3, true}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	tensors, bytes := 0, int64(0)
	for _, s := range info.Types {
		tensors, bytes = tensors+s.Tensors, bytes+s.Bytes
	}
	if info.Types[0].Type != "F16" || len(info.Types) != 2 || tensors != info.Tensors || bytes > info.WeightBytes || bytes < info.WeightBytes*9/10 {
		t.Errorf("%+v of %d bytes", info.Types, info.WeightBytes)
	}
	need := EstimateNeed(info, 128, 4)
	if need.Total() != EstimateMemory(info, 128, 4) || need.Slots != 4 || need.Context != 128 || need.Weights < info.WeightBytes {
		t.Errorf("%+v", need)
	}
	if all := EstimateNeed(info, 0, 0); all.Slots != 32 || all.Context != 512 {
		t.Errorf("defaults: %+v", all)
	}
}

// A file's words on itself may be of a wrong kind, or no text.
func TestDescriptionsAreNotTrusted(t *testing.T) {
	h := &header{
		strings: map[string]string{"general.author": "a\xffb", "llama.attention.head_count": "3"},
		numbers: map[string]float64{"general.license": 7, "llama.attention.head_count_kv": -1},
	}
	info := FileInfo{Architecture: "llama"}
	h.describe(&info)
	if info.Author != "ab" || info.License != "" || info.Heads != 0 || info.KVHeads != 0 {
		t.Errorf("%+v", info)
	}
}

func TestFits(t *testing.T) {
	fits := func(adapter, model string) error {
		base, err := ReadBase("../testdata/" + model)
		if err != nil {
			return err
		}
		return CheckAdapter("../testdata/"+adapter+".gguf", base, "")
	}
	for _, c := range []struct{ adapter, model, want string }{
		{"toy-polite", "toy", ""},
		{"tiny-lora", "tiny", ""},
		{"tiny-lora", "tiny-notemplate", ""},
		{"tiny-lora", "toy", "blk.0.attn_q.weight"},
		{"toy-polite", "tiny", "96"},
		{"toy-polite", "tiny-bert", `the model is "bert"`},
	} {
		err := fits(c.adapter, c.model+".gguf")
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s of %s: %v", c.adapter, c.model, err)
		case c.want != "" && (errs.CodeOf(err) != errs.InvalidArgument || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s of %s: %v", c.adapter, c.model, err)
		}
	}
	if err := fits("toy-polite", "tiny.py"); errs.CodeOf(err) != errs.InvalidModelFile {
		t.Error(err)
	}
}
