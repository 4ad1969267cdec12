package decode

// compact moves sequences out of the highest slots into free ones before them,
// where nothing waits that could fill these. A backend computes slots side by
// side only as long as they are neighbours, so each gap at the end of a batch is
// one more pass over all weights per step: far dearer than a move.
func (l *Loop) compact() {
	low, high := 0, len(l.slots)-1
	for {
		for low < high && l.slots[low] != nil {
			low++
		}
		for low < high && l.slots[high] == nil {
			high--
		}
		if low >= high {
			return
		}
		if err := l.move(high, low); err != nil {
			l.opt.Logger.Warn("sequence not moved", "from", high, "to", low, "error", err)
			return
		}
	}
}

// move puts the sequence of one slot into another, which is free. After an
// error it is where it was.
func (l *Loop) move(from, to int) error {
	s := l.slots[from]
	if s.pos > 0 {
		state, err := l.backend.Save(from)
		if err != nil {
			return err
		}
		defer state.Free()
		if err := l.backend.Restore(to, state); err != nil {
			l.backend.Clear(to)
			return err
		}
		l.backend.Clear(from)
	}
	l.slots[from], l.slots[to] = nil, s
	s.slot = int32(to)
	return nil
}
