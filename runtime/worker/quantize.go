package worker

import (
	"context"
	"path/filepath"
	"strings"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/llama"
)

// quantizing is what a child that only quantises a file is told.
type quantizing struct {
	In, Out string
	FType   int32
}

// Quantize writes the GGUF model at in to out with weights of another type, a
// number of llama.cpp's llama_ftype, in a child process: llama.cpp may end its
// process over a damaged file. After an error, what is at out is of no use. When
// ctx ends, the child is killed. Errors carry a code.
func Quantize(ctx context.Context, in, out string, ftype int32, o Options) error {
	p, err := spawn(Spec{Path: in}, o)
	if err != nil {
		return errs.Wrap(err, errs.EngineUnavailable, "quantize", "the process that quantises %s cannot be started", in)
	}
	died := func() error {
		how := describe(nil, p.cmd.ProcessState)
		if strings.Contains(how, "killed") {
			return errs.New(errs.OutOfMemory, "quantize", "the process that quantised %s was killed%s; the system ends processes that take too much memory", in, p.stderr.suffix())
		}
		return errs.New(errs.InvalidModelFile, "quantize", "the process that quantised %s ended (%s)%s; the file is damaged, or of a kind this engine does not know", in, how, p.stderr.suffix())
	}
	if err := p.begin(ctx, &toChild{Quantize: &quantizing{in, out, ftype}}, died); err != nil {
		return err
	}
	return p.Close()
}

// quantize does the child's work and says how it went.
func (c *child) quantize(q *quantizing) {
	if err := llama.Quantize(q.In, q.Out, q.FType, func(f float64) { c.post(toParent{Progress: f}) }); err != nil {
		c.post(toParent{Failed: errs.New(errs.InvalidModelFile, "quantize", "%s cannot be quantised: %v", filepath.Base(q.In), err)})
		return
	}
	c.post(toParent{Ready: &decode.Info{}})
}
