package worker

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hyprstream/errs"
)

// Files damaged in their metadata, in any way that a seeded generator comes up
// with: each either loads or is refused with a code and its name, soon, and the
// parent goes on. Some abort the child; that is what it is for.
func TestDamagedFilesHarmOnlyTheChild(t *testing.T) {
	whole, err := os.ReadFile("../../testdata/tiny.gguf")
	if err != nil {
		t.Fatal(err)
	}
	const head = 17_000 // bytes of metadata and tensor descriptions, roughly
	dir := t.TempDir()
	outcome := map[errs.Code]int{}
	for i := range 40 {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		b := append([]byte(nil), whole...)
		switch i % 4 {
		case 0: // noise in one place
			at := r.IntN(head)
			for j := range 1 + r.IntN(16) {
				b[at+j] = byte(r.Uint32())
			}
		case 1: // an absurd number
			binary.LittleEndian.PutUint64(b[8+r.IntN(head):], 1<<(8+r.IntN(56)))
		case 2: // cut
			b = b[:r.IntN(len(b))]
		case 3: // zeros
			clear(b[8+r.IntN(head):][:r.IntN(4000)])
		}
		path := filepath.Join(dir, fmt.Sprintf("damaged-%d.gguf", i))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		p, err := Start(ctx, Spec{Path: path, ContextLength: 256, Slots: 2, Threads: 1}, options())
		cancel()
		outcome[errs.CodeOf(err)]++
		switch errs.CodeOf(err) {
		case "":
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		case errs.InvalidModelFile, errs.OutOfMemory, errs.InvalidArgument:
			t.Logf("%d: %v", i, err)
		default:
			t.Errorf("%d: %s: %v", i, errs.CodeOf(err), err)
		}
	}
	if outcome[errs.InvalidModelFile] < 10 {
		t.Errorf("outcomes %v: the damage does too little", outcome)
	}
	t.Logf("outcomes %v", outcome)
}
