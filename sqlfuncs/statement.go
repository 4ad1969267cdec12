package sqlfuncs

import (
	"context"
	"crypto/sha256"
	"sync"

	"hyprstream/errs"
	"hyprstream/inference"
)

// statement is what the operators of one SQL statement share: what the model was
// asked and what it said, so that equal calls are one, wherever in the statement and
// in whichever part of its input they are, and its budget.
type statement struct {
	purse    purse    // what it may spend
	cascades cascades // what its proxies have learnt

	mu     sync.Mutex // guards what follows
	asking map[digest]*pending
	said   answers
}

// digest stands for a call: equal for calls that have one answer.
type digest [16]byte

func digestOf(key string) digest {
	sum := sha256.Sum256([]byte(key))
	return digest(sum[:16])
}

// pending is a call that someone puts to the engine now.
type pending struct {
	over chan struct{} // closed when it is no longer
}

type statementKey struct{}

// WithStatement is the context of one SQL statement. Its operators and calls share
// answers and the limits of ai_max_…; dir is where they are put when there are many. Call end after the last one.
func WithStatement(ctx context.Context, dir string) (_ context.Context, end func()) {
	s := newStatement(dir)
	return context.WithValue(ctx, statementKey{}, s), s.end
}

func newStatement(dir string) *statement {
	return &statement{asking: map[digest]*pending{}, said: answers{dir: dir}}
}

func (s *statement) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said.close()
}

// statementOf is the statement of the context; without one each batch is its own.
func statementOf(ctx context.Context) *statement {
	if s, ok := ctx.Value(statementKey{}).(*statement); ok {
		return s
	}
	return newStatement("")
}

// once has calls answered that were not asked before in this statement. keys are
// different from each other. ask puts some of them to the engine, calls got for each,
// and returns the statement's failure; answered is called once for each key, by one
// goroutine at a time. An answer that was there already counts no tokens.
func (s *statement) once(ctx context.Context, keys []digest, ask func(mine []int, got func(i int, c inference.Completion)) error, answered func(i int, c inference.Completion)) error {
	all := make([]int, len(keys))
	for i := range all {
		all[i] = i
	}
	var mu sync.Mutex
	tell := func(i int, c inference.Completion) {
		mu.Lock()
		defer mu.Unlock()
		answered(i, c)
	}
	for len(all) > 0 {
		mine, theirs, err := s.claim(keys, all, tell)
		if err != nil {
			return err
		}
		var again []int
		waited := make(chan struct{})
		waiting, stop := context.WithCancel(ctx)
		go func() {
			defer close(waited)
			again = s.await(waiting, keys, theirs, tell)
		}()
		if len(mine) > 0 {
			err = ask(mine, func(i int, c inference.Completion) {
				s.put(keys[i], c)
				tell(i, c)
			})
			s.giveUp(keys, mine)
		}
		if err != nil {
			stop()
		}
		<-waited
		stop()
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return errs.Wrap(ctx.Err(), errs.Cancelled, "generate", "cancelled")
		}
		all = again
	}
	return nil
}

// claim tells the answers that are there, and sorts the other keys into those that
// the caller is to ask now and those that others are asking.
func (s *statement) claim(keys []digest, which []int, tell func(int, inference.Completion)) (mine, theirs []int, err error) {
	known := map[int]inference.Completion{}
	s.mu.Lock()
	for _, i := range which {
		c, ok, err := s.said.get(keys[i])
		switch {
		case err != nil:
			s.mu.Unlock()
			s.giveUp(keys, mine)
			return nil, nil, err
		case ok:
			known[i] = c
		case s.asking[keys[i]] != nil:
			theirs = append(theirs, i)
		default:
			s.asking[keys[i]] = &pending{over: make(chan struct{})}
			mine = append(mine, i)
		}
	}
	s.mu.Unlock()
	for _, i := range which {
		if c, ok := known[i]; ok {
			tell(i, c)
		}
	}
	return mine, theirs, nil
}

// await tells the answers to what others are asking, and returns what they gave up.
func (s *statement) await(ctx context.Context, keys []digest, theirs []int, tell func(int, inference.Completion)) (again []int) {
	for _, i := range theirs {
		s.mu.Lock()
		a := s.asking[keys[i]]
		s.mu.Unlock()
		if a != nil {
			select {
			case <-a.over:
			case <-ctx.Done():
				return nil
			}
		}
		s.mu.Lock()
		c, ok, err := s.said.get(keys[i])
		s.mu.Unlock()
		if err != nil || !ok {
			again = append(again, i)
			continue
		}
		tell(i, c)
	}
	return again
}

// put remembers an answer, and ends the asking.
func (s *statement) put(key digest, c inference.Completion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.asking[key]
	if a == nil {
		return
	}
	delete(s.asking, key)
	if c.Err == nil || c.Err.Code != errs.Cancelled {
		s.said.put(key, c)
	}
	close(a.over)
}

// giveUp ends the asking of what has no answer.
func (s *statement) giveUp(keys []digest, mine []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range mine {
		if a := s.asking[keys[i]]; a != nil {
			delete(s.asking, keys[i])
			close(a.over)
		}
	}
}
