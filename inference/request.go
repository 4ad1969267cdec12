package inference

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// resolved is what became of an adapter's name.
type resolved struct {
	files []adapterFile
	err   *errs.Error
}

// adapterFile is a LoRA file with the scale that it has in all.
type adapterFile struct {
	name, path, sha256 string
	scale              float32
}

// request turns a row into what a process understands. Its error is the row's.
// The row's deadline begins here the first time: after loading, with queueing.
func (e *Engine) request(ctx context.Context, l *live, r *row, known map[AdapterUse]resolved) (decode.Request, *errs.Error) {
	p, err := l.prompt(r.req)
	if err != nil {
		return decode.Request{}, err
	}
	r.plain = p.plain
	out := decode.Request{Prompt: p.segments, AddBOS: p.addBOS, Params: r.req.Params, Logprobs: r.req.Logprobs, Keep: r.req.Keep, Continuations: p.continuations}
	if p.plain {
		out.Params.Stop = withStops(out.Params.Stop, plainStops(r.req))
	}
	if out.Adapters, err = e.resolve(ctx, l.model.Name, r.req.Adapters, known); err != nil {
		return decode.Request{}, err
	}
	e.recall(ctx, l, &out)
	if r.req.Timeout > 0 {
		if r.deadline.IsZero() {
			r.deadline = time.Now().Add(r.req.Timeout)
		}
		out.Deadline = r.deadline
	}
	return out, nil
}

// plainStops end the answer of a model without a chat template: there its next
// question would come.
func plainStops(req *Request) []string {
	if req.Reading != nil {
		return readingStops
	}
	return []string{plainStop}
}

func withStops(stops, more []string) []string {
	stops = slices.Clone(stops)
	for _, s := range more {
		if !slices.Contains(stops, s) {
			stops = append(stops, s)
		}
	}
	return stops
}

// resolve finds the files of adapters, each checked against its digest the
// first time. The set comes in one order, so that equal sets are seen as equal:
// a file that several adapters have counts with the sum of its scales.
func (e *Engine) resolve(ctx context.Context, model string, uses []AdapterUse, known map[AdapterUse]resolved) ([]decode.Adapter, *errs.Error) {
	var out []decode.Adapter
	for i, use := range uses {
		a, seen := known[use]
		if !seen {
			a = e.adapter(ctx, model, use)
			known[use] = a
		}
		if a.err != nil {
			return nil, a.err
		}
		if slices.ContainsFunc(uses[:i], func(o AdapterUse) bool { return strings.EqualFold(o.Name, use.Name) }) {
			return nil, errs.New(errs.InvalidArgument, "generate", "adapter %q is named twice; give it once, with the scale it should have", use.Name)
		}
		for _, f := range a.files {
			j := slices.IndexFunc(out, func(o decode.Adapter) bool { return o.Path == f.path })
			if j < 0 {
				out = append(out, decode.Adapter{Path: f.path, Scale: f.scale})
			} else {
				out[j].Scale += f.scale
			}
		}
	}
	out = slices.DeleteFunc(out, func(a decode.Adapter) bool { return a.Scale == 0 }) // no effect
	slices.SortFunc(out, func(a, b decode.Adapter) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}

func (e *Engine) adapter(ctx context.Context, model string, use AdapterUse) (out resolved) {
	a, err := e.cfg.Registry.Adapter(model, use.Name)
	if err != nil {
		return resolved{err: rowError(err)}
	}
	for _, p := range a.Parts {
		if err := e.verifyAdapter(ctx, p); err != nil {
			return resolved{err: rowError(err)}
		}
		out.files = append(out.files, adapterFile{p.Name, p.Path, p.SHA256, p.Scale * a.Scale * use.Scale})
	}
	return out
}

func (e *Engine) verifyAdapter(ctx context.Context, p AdapterPart) error {
	if e.cfg.Verify == nil || p.SHA256 == "" {
		return nil
	}
	// Verify remembers files that it has read; the engine's process may read this one anew at any time.
	err := e.cfg.Verify(ctx, p.SHA256)
	return errs.Wrap(err, errs.CodeOf(err), "generate", "adapter %q", p.Name)
}

// rowError makes an error one of a row.
func rowError(err error) *errs.Error {
	return &errs.Error{Code: errs.CodeOf(err), Op: "generate", Msg: err.Error()}
}
