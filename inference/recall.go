package inference

import (
	"context"

	"hyprstream/runtime/decode"
)

// recall gives a process what is on disk of a request's dialogue, unless it has
// something of it. Where that cannot be, the request's prompt is computed.
func (e *Engine) recall(ctx context.Context, l *live, req *decode.Request) {
	store := e.cfg.States
	if store == nil || req.Keep == "" {
		return
	}
	info, ok := store.Find(req.Keep)
	if !ok {
		return
	}
	if !e.fits(info) || info.Engine != l.engine() || info.Model != l.model.Name || info.SHA256 != l.model.SHA256 {
		store.Remove(req.Keep)
		return
	}
	if info.Adapters != decode.AdapterSet(req.Adapters) {
		return // this turn's state is of no use for it, nor the other way round
	}
	list, err := l.proc.Dialogues(ctx)
	for _, d := range list {
		if d.Name == req.Keep {
			return
		}
	}
	if err != nil {
		return // so will the request
	}
	info, tokens, state, err := store.Load(ctx, req.Keep)
	if err != nil {
		e.log.Debug("dialogue's state not read", "model", l.model.Name, "error", err)
		return
	}
	d := decode.Dialogue{Name: req.Keep, Adapters: req.Adapters, Length: len(tokens), Tokens: tokens, Bytes: int64(len(state)), Made: info.Made}
	if err := l.proc.Adopt(ctx, d, state); err != nil {
		e.log.Warn("dialogue's state not taken", "model", l.model.Name, "error", err)
		store.Remove(req.Keep)
	}
}

// distrust removes the states of dialogues at whose turn a process died: should one be
// the reason, the next process must not be given it.
func (e *Engine) distrust(rows []*row) {
	for _, r := range rows {
		if e.cfg.States != nil && r.req.Keep != "" && !r.finished {
			e.cfg.States.Remove(r.req.Keep)
		}
	}
}
