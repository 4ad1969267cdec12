package worker

import (
	"fmt"
	"path/filepath"
	"testing"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// Rows with and without an adapter, mixed in one batch, each say what they say
// alone: the cache is never shared across adapter sets.
func TestAdaptersInOneBatch(t *testing.T) {
	lora, err := filepath.Abs("../../testdata/tiny-lora.gguf")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, Spec{Path: "../../testdata/tiny.gguf", ContextLength: 256, Slots: 1, Threads: 1})
	sets := [][]decode.Adapter{nil, {{Path: lora, Scale: 1}}, {{Path: lora, Scale: 0.5}}, {{Path: "/no/such/adapter.gguf", Scale: 1}}}
	var reqs []decode.Request
	var alone []string
	for i := range 24 {
		r := prompt(fmt.Sprintf("the people of row %d said", i/4), 12)
		r.Adapters = sets[i%4]
		rs, err := results(t.Context(), p, []decode.Request{r})
		if err != nil {
			t.Fatal(err)
		}
		if e := rs[0].Err; (i%4 == 3) != (e != nil && e.Code == errs.InvalidModelFile) {
			t.Fatalf("row %d: %v", i, e)
		}
		reqs, alone = append(reqs, r), append(alone, rs[0].Text)
	}
	if alone[0] == alone[1] || alone[1] == alone[2] {
		t.Errorf("the adapter changes nothing: %q", alone[:4])
	}
	rs, err := results(t.Context(), p, reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		if r.Text != alone[i] {
			t.Errorf("row %d: %q in the batch, %q alone", i, r.Text, alone[i])
		}
	}
}
