package flightsql

import (
	"container/list"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"
)

// newID is an unguessable handle: 16 random bytes in hex, since some clients
// log handles as text.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}

// handles keeps what clients hold by an opaque id: bounded in number and in
// idle time, because clients (the JDBC driver for one) forget to let go. The
// least recently used goes first.
type handles[T any] struct {
	ttl   time.Duration
	limit int
	drop  func(T)      // called without the lock for each value that expires or is evicted
	stays func(T) bool // asked without the lock once a value is stored: whether its owner is still there

	mu    sync.Mutex
	byID  map[string]*list.Element
	order *list.List // of *handle[T], least recently used first
}

type handle[T any] struct {
	id    string
	value T
	used  time.Time
}

func newHandles[T any](ttl time.Duration, limit int, drop func(T), stays func(T) bool) *handles[T] {
	return &handles[T]{ttl: ttl, limit: limit, drop: drop, stays: stays, byID: map[string]*list.Element{}, order: list.New()}
}

// put stores a value under a new id, evicting the oldest beyond the limit. A value
// whose owner has ended meanwhile is dropped: nobody else would.
func (h *handles[T]) put(value T) string {
	id := newID()
	h.mu.Lock()
	h.byID[id] = h.order.PushBack(&handle[T]{id: id, value: value, used: time.Now()})
	var out []T
	for h.order.Len() > h.limit {
		out = append(out, h.unlink(h.order.Front()))
	}
	h.mu.Unlock()
	h.dropAll(out)
	if !h.stays(value) {
		h.remove(id)
	}
	return id
}

// get finds a value and counts as a use of it.
func (h *handles[T]) get(id string) (T, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, ok := h.byID[id]
	if !ok {
		var none T
		return none, false
	}
	e.Value.(*handle[T]).used = time.Now()
	h.order.MoveToBack(e)
	return e.Value.(*handle[T]).value, true
}

// take removes a value and hands it to the caller, who then owns it.
func (h *handles[T]) take(id string) (T, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, ok := h.byID[id]
	if !ok {
		var none T
		return none, false
	}
	return h.unlink(e), true
}

// remove drops a value, unless somebody took it.
func (h *handles[T]) remove(id string) {
	if value, ok := h.take(id); ok {
		h.drop(value)
	}
}

// sweep drops what has not been used for the time to live.
func (h *handles[T]) sweep(now time.Time) {
	h.mu.Lock()
	var out []T
	for e := h.order.Front(); e != nil; e = h.order.Front() {
		if now.Sub(e.Value.(*handle[T]).used) < h.ttl {
			break
		}
		out = append(out, h.unlink(e))
	}
	h.mu.Unlock()
	h.dropAll(out)
}

// dropWhere drops each value that match accepts: all of a session's, say.
func (h *handles[T]) dropWhere(match func(T) bool) {
	h.mu.Lock()
	var out []T
	for e := h.order.Front(); e != nil; {
		next := e.Next()
		if match(e.Value.(*handle[T]).value) {
			out = append(out, h.unlink(e))
		}
		e = next
	}
	h.mu.Unlock()
	h.dropAll(out)
}

func (h *handles[T]) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.order.Len()
}

// unlink needs the lock.
func (h *handles[T]) unlink(e *list.Element) T {
	v := h.order.Remove(e).(*handle[T])
	delete(h.byID, v.id)
	return v.value
}

func (h *handles[T]) dropAll(values []T) {
	for _, v := range values {
		h.drop(v)
	}
}
