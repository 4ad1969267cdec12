package inference

import (
	"cmp"
	"context"
	"slices"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// resolved is what became of an adapter's name.
type resolved struct {
	adapter decode.Adapter
	sha256  string
	err     *errs.Error
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
// first time. The set comes in one order, so that equal sets are seen as equal.
func (e *Engine) resolve(ctx context.Context, model string, uses []AdapterUse, known map[AdapterUse]resolved) ([]decode.Adapter, *errs.Error) {
	var out []decode.Adapter
	for _, use := range uses {
		a, seen := known[use]
		if !seen {
			a = e.adapter(ctx, model, use)
			known[use] = a
		}
		if a.err != nil {
			return nil, a.err
		}
		for _, other := range out {
			if other.Path == a.adapter.Path {
				return nil, errs.New(errs.InvalidArgument, "generate", "adapter %q is named twice; give it once, with the scale it should have", use.Name)
			}
		}
		out = append(out, a.adapter)
	}
	out = slices.DeleteFunc(out, func(a decode.Adapter) bool { return a.Scale == 0 }) // no effect
	slices.SortFunc(out, func(a, b decode.Adapter) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}

func (e *Engine) adapter(ctx context.Context, model string, use AdapterUse) resolved {
	a, err := e.cfg.Registry.Adapter(model, use.Name)
	if err == nil {
		err = e.verifyAdapter(ctx, a)
	}
	if err != nil {
		return resolved{err: rowError(err)}
	}
	return resolved{adapter: decode.Adapter{Path: a.Path, Scale: a.Scale * use.Scale}, sha256: a.SHA256}
}

func (e *Engine) verifyAdapter(ctx context.Context, a Adapter) error {
	if e.cfg.Verify == nil || a.SHA256 == "" {
		return nil
	}
	e.mu.Lock()
	checked := e.adapters[a.SHA256]
	e.mu.Unlock()
	if checked {
		return nil
	}
	if err := e.cfg.Verify(ctx, a.SHA256); err != nil {
		return errs.Wrap(err, errs.CodeOf(err), "generate", "adapter %q", a.Name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.adapters[a.SHA256] = true
	return nil
}

// rowError makes an error one of a row.
func rowError(err error) *errs.Error {
	return &errs.Error{Code: errs.CodeOf(err), Op: "generate", Msg: err.Error()}
}
