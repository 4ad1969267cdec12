package worker

import (
	"context"
	"slices"

	"hyprstream/runtime/decode"
)

// Dialogues lists what the loop keeps of dialogues; see decode.Loop.Dialogues.
func (p *Process) Dialogues(ctx context.Context) ([]decode.Dialogue, error) {
	var out []decode.Dialogue
	err := p.ask(ctx, toChild{Dialogues: true}, func(m *toParent) { out = m.Dialogues })
	return out, err
}

// Dialogue copies out what the loop keeps of a dialogue; see decode.Loop.Dialogue.
func (p *Process) Dialogue(ctx context.Context, name string) (d decode.Dialogue, state []byte, err error) {
	err = p.ask(ctx, toChild{Dialogue: name}, func(m *toParent) {
		if len(m.Dialogues) == 1 {
			d, state = m.Dialogues[0], make([]byte, 0, m.Dialogues[0].Bytes)
		}
		state = append(state, m.State...)
	})
	return d, state, err
}

// Adopt gives the loop what Dialogue gave, of this process or an equal one; see
// decode.Loop.Adopt. The state must be whole: nothing checks its content.
func (p *Process) Adopt(ctx context.Context, d decode.Dialogue, state []byte) error {
	id, box, err := p.open()
	if err != nil {
		return err
	}
	var messages []any
	for part := range slices.Chunk(state, stateSize) {
		messages = append(messages, &toChild{ID: id, State: part, More: true})
	}
	if len(messages) == 0 {
		messages = append(messages, &toChild{ID: id})
	}
	messages[0].(*toChild).Adopt = &d
	messages[len(messages)-1].(*toChild).More = false
	return p.call(ctx, messages, id, box, func(*toParent) {})
}

// Forget has the loop let go of what it keeps under these names.
func (p *Process) Forget(ctx context.Context, names []string) error {
	return p.ask(ctx, toChild{Forget: names}, func(*toParent) {})
}

// kept serves what the calls above ask. false: it is another message.
func (c *child) kept(m *toChild) bool {
	id := m.ID
	switch {
	case m.Dialogues:
		list, err := c.loop.Load().Dialogues()
		c.post(toParent{ID: id, Dialogues: list, Failed: coded(err), Done: true})
	case m.Dialogue != "":
		c.serve(id, func(ctx context.Context) toParent { return c.dialogue(ctx, id, m.Dialogue) })
	case m.Adopt != nil, m.State != nil:
		first := c.adopt[id]
		if first == nil {
			first = &toChild{Adopt: m.Adopt, State: make([]byte, 0, m.Adopt.Bytes)}
			c.adopt[id] = first
		}
		if first.State = append(first.State, m.State...); m.More {
			return true
		}
		delete(c.adopt, id)
		c.serve(id, func(ctx context.Context) toParent {
			return toParent{Failed: coded(c.loop.Load().Adopt(ctx, *first.Adopt, first.State))}
		})
	case m.Forget != nil:
		c.serve(id, func(ctx context.Context) toParent {
			return toParent{Failed: coded(c.loop.Load().Forget(ctx, m.Forget))}
		})
	default:
		return false
	}
	return true
}

func (c *child) dialogue(ctx context.Context, id uint64, name string) toParent {
	d, state, err := c.loop.Load().Dialogue(ctx, name)
	if err != nil {
		return toParent{Failed: coded(err)}
	}
	c.post(toParent{ID: id, Dialogues: []decode.Dialogue{d}})
	for part := range slices.Chunk(state, stateSize) {
		c.post(toParent{ID: id, State: part})
	}
	return toParent{}
}
