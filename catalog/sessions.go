package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"hyprstream/catalog/ddl"
	"hyprstream/errs"
	"hyprstream/inference"
)

var _ inference.SessionStore = (*Catalog)(nil)

// Message is a row of ai.messages.
type Message struct {
	Session   string `json:"-"` // the row's name
	Seq       int    // within its session, from 0
	Role      string
	Content   string
	CreatedAt time.Time
}

// Sessions implements inference.SessionStore.
func (c *Catalog) Sessions() (out []inference.Session, err error) {
	err = c.store.each("sessions", func(id, doc string) error {
		var v inference.Session
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			return errs.Wrap(err, errs.Internal, "catalog.Open", "the row of session %q is damaged", id)
		}
		out = append(out, v)
		return nil
	})
	return out, err
}

// Messages are those of a session in their order, or of all sessions where the id is "".
func (c *Catalog) Messages(id string) (out []Message, err error) {
	take := func(id, doc string) error {
		v := Message{Session: id}
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			return errs.Wrap(err, errs.Internal, "catalog", "a message of session %q is damaged; DROP SESSION removes it", id)
		}
		out = append(out, v)
		return nil
	}
	if id == "" {
		err = c.store.each("messages", take)
	} else {
		err = c.store.eachOf("messages", id, take)
	}
	return out, err
}

// Dialogue implements inference.SessionStore.
func (c *Catalog) Dialogue(id string) ([]inference.Message, error) {
	rows, err := c.Messages(id)
	out := make([]inference.Message, len(rows))
	for i, r := range rows {
		out[i] = inference.Message{Role: r.Role, Content: r.Content}
	}
	return out, err
}

// AddTurn implements inference.SessionStore.
func (c *Catalog) AddTurn(s inference.Session, said []inference.Message) error {
	edits := []edit{put("sessions", s.ID, s)}
	for i, m := range said {
		row := Message{Seq: s.Messages - len(said) + i, Role: m.Role, Content: m.Content, CreatedAt: s.Used}
		edits = append(edits, add("messages", s.ID, row))
	}
	return c.turns.change(edits)
}

// ForgetSession implements inference.SessionStore.
func (c *Catalog) ForgetSession(id string) error {
	return c.turns.change([]edit{del("sessions", id), del("messages", id)})
}

// together makes changes that come at one time in one transaction: while one is
// being written, the next ones gather.
type together struct {
	store   *store
	writing sync.Mutex

	mu   sync.Mutex // guards next, and what is in it
	next *gathered
}

type gathered struct {
	edits   []edit
	written bool
	err     error
}

// change returns when the edits are on disk.
func (t *together) change(edits []edit) error {
	t.mu.Lock()
	if t.next == nil {
		t.next = &gathered{}
	}
	mine := t.next
	mine.edits = append(mine.edits, edits...)
	t.mu.Unlock()

	t.writing.Lock()
	defer t.writing.Unlock()
	if mine.written { // by another one of them
		return mine.err
	}
	t.mu.Lock()
	t.next = nil
	t.mu.Unlock()
	mine.err, mine.written = t.store.change(mine.edits...), true
	return mine.err
}

// Dialogues are chat's; inference.Sessions has them.
type Dialogues interface {
	// Drop waits for a turn that is on. false: there is no such session.
	Drop(ctx context.Context, id string) (found bool, err error)
	List() []inference.Session
}

func (s *Statements) dropSession(ctx context.Context, st ddl.DropSession) (string, error) {
	found, err := s.Dialogues.Drop(ctx, st.ID)
	switch {
	case err != nil:
		return "", err
	case found:
		return fmt.Sprintf("session %s dropped", st.ID), nil
	case st.IfExists:
		return fmt.Sprintf("there is no session %s", st.ID), nil
	}
	var ids []string
	for _, v := range s.Dialogues.List() {
		ids = append(ids, v.ID)
	}
	if len(ids) == 0 {
		return "", errs.New(errs.NotFound, "DROP SESSION", "no session is named %q, and there is none", st.ID)
	}
	return "", errs.New(errs.NotFound, "DROP SESSION", "no session is named %q (upper and lower case count); %s", st.ID, suggest(st.ID, ids))
}
