package database

import (
	"context"

	"hyprstream/inference"
	"hyprstream/runtime/decode"
	"hyprstream/storage/states"
)

// dialogueStates is storage's directory of states as inference knows it.
type dialogueStates struct{ *states.Store }

func (d dialogueStates) Find(session string) (inference.StateInfo, bool) {
	i, ok := d.Store.Find(session)
	return inference.StateInfo(i), ok
}

func (d dialogueStates) List() (out []inference.StateInfo) {
	for _, i := range d.Store.List() {
		out = append(out, inference.StateInfo(i))
	}
	return out
}

func (d dialogueStates) Put(ctx context.Context, i inference.StateInfo, tokens []decode.Token, data []byte, stays func() bool) error {
	return d.Store.Put(ctx, states.State{Info: states.Info(i), Tokens: tokens, Data: data}, stays)
}

func (d dialogueStates) Load(ctx context.Context, session string) (inference.StateInfo, []decode.Token, []byte, error) {
	st, err := d.Store.Load(ctx, session)
	return inference.StateInfo(st.Info), st.Tokens, st.Data, err
}

func (d dialogueStates) RemoveIf(goes func(inference.StateInfo) bool) {
	d.Store.RemoveIf(func(i states.Info) bool { return goes(inference.StateInfo(i)) })
}
