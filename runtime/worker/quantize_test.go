package worker

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"hyprstream/errs"
	"hyprstream/storage"
	"hyprstream/storage/convert"
)

// TestQuantize makes a model of each type; the file says which it is.
func TestQuantize(t *testing.T) {
	for _, q := range convert.Quantisations {
		out := filepath.Join(t.TempDir(), "out.gguf")
		reported := 0.0
		o := options()
		o.Progress = func(f float64) { reported = max(reported, f) }
		if err := Quantize(t.Context(), "../../testdata/tiny.gguf", out, q.FType, o); err != nil {
			t.Errorf("%s: %v", q.Name, err)
			continue
		}
		info, err := storage.Inspect(out)
		if err != nil || info.Quantisation != q.Name {
			t.Errorf("%s: the file says %q (%v)", q.Name, info.Quantisation, err)
		}
		if reported < 0.5 || reported > 1 {
			t.Errorf("%s: progress ended at %v", q.Name, reported)
		}
	}
}

func TestQuantizeFailures(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.gguf")
	bad := filepath.Join(t.TempDir(), "bad.gguf")
	if err := os.WriteFile(bad, []byte("GGUF\x03\x00\x00\x00nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Quantize(t.Context(), bad, out, 7, options()); errs.CodeOf(err) != errs.InvalidModelFile {
		t.Errorf("damaged: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Quantize(ctx, "../../testdata/tiny.gguf", out, 7, options()); errs.CodeOf(err) != errs.Cancelled {
		t.Errorf("cancelled: %v", err)
	}
}
