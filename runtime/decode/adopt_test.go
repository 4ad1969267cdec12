package decode_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
	"hyprstream/runtime/decode/fake"
)

func kept(t *testing.T, l *decode.Loop, name string) (decode.Dialogue, []byte) {
	t.Helper()
	d, state, err := l.Dialogue(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return d, state
}

func names(t *testing.T, l *decode.Loop) (out []string) {
	t.Helper()
	list, err := l.Dialogues()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.Tokens != nil || d.Length == 0 || d.Bytes == 0 || d.Made.IsZero() || d.Used.Before(d.Made) {
			t.Errorf("%+v", d)
		}
		out = append(out, d.Name)
	}
	return out
}

// Another loop goes on from what a first one had kept, with and without adapters,
// and shares as many tokens as the first one would.
func TestAdoptedDialogueGoesOn(t *testing.T) {
	a := answering(&fake.Model{})
	first := newLoop(t, a, sharing(2))
	said := strings.Repeat("x", 50)
	plain := speak(t, first, said, keep("plain"))
	with := speak(t, first, said+"y", keep("with"), using(lora("a", 0.5), lora("b", 1), lora("a", 0.5)))
	if got := fmt.Sprint(names(t, first)); got != "[with plain]" {
		t.Error(got)
	}
	b := answering(&fake.Model{})
	second := newLoop(t, b, sharing(2))
	speak(t, second, "something else, which is in the middle of it all: "+said, keep("other"))
	for _, name := range []string{"plain", "with"} {
		d, state := kept(t, first, name)
		if d.Length != len(d.Tokens) || d.Bytes != int64(len(state)) {
			t.Errorf("%s: %d of %d tokens, %d of %d bytes", name, d.Length, len(d.Tokens), d.Bytes, len(state))
		}
		if err := second.Adopt(t.Context(), d, state); err != nil {
			t.Fatal(err)
		}
		if there, _ := kept(t, second, name); !there.Made.Equal(d.Made) || there.Length != d.Length {
			t.Errorf("%+v, was %+v", there, d)
		}
	}
	for _, l := range []*decode.Loop{first, second} {
		next := said + plain.Text + " and"
		if r := speak(t, l, next, keep("plain")); r.SharedTokens != plain.PromptTokens+plain.CompletionTokens {
			t.Errorf("%d of %d tokens shared", r.SharedTokens, r.PromptTokens)
		}
		next = said + "y" + with.Text + " and"
		if r := speak(t, l, next, keep("with"), using(lora("b", 1), lora("a", 1))); r.SharedTokens != with.PromptTokens+with.CompletionTokens {
			t.Errorf("under adapters %d of %d tokens shared", r.SharedTokens, r.PromptTokens)
		}
	}
}

// What is none of the model's is refused, or computed anew; what is newer stays.
func TestAdoptRefuses(t *testing.T) {
	m := answering(&fake.Model{})
	opt := sharing(2)
	opt.Info.Vocabulary = fake.Size
	l := newLoop(t, m, opt)
	said := strings.Repeat("x", 50)
	speak(t, l, said, keep("s"))
	d, state := kept(t, l, "s")
	for name, bad := range map[string]func(*decode.Dialogue, *[]byte){
		"no state":       func(_ *decode.Dialogue, s *[]byte) { *s = nil },
		"no tokens":      func(d *decode.Dialogue, _ *[]byte) { d.Tokens = nil },
		"too long":       func(d *decode.Dialogue, _ *[]byte) { d.Tokens = make([]decode.Token, 1001) },
		"other language": func(d *decode.Dialogue, _ *[]byte) { d.Tokens = append(d.Tokens[:40:40], fake.Size) },
	} {
		d, s := d, state
		d.Name = "bad"
		if bad(&d, &s); errs.CodeOf(l.Adopt(t.Context(), d, s)) != errs.InvalidArgument {
			t.Errorf("%s is not refused", name)
		}
	}
	old := d
	old.Tokens = old.Tokens[:40]
	if err := l.Adopt(t.Context(), old, state); err != nil {
		t.Error(err)
	}
	if now, _ := kept(t, l, "s"); now.Length != d.Length {
		t.Errorf("%d tokens in place of %d", now.Length, d.Length)
	}
	// A state that the backend does not take costs its tokens only.
	d.Name, d.Tokens = "damaged", append([]decode.Token{fake.BOS}, []decode.Token(nil)...)
	for range 50 {
		d.Tokens = append(d.Tokens, 'z')
	}
	if err := l.Adopt(t.Context(), d, []byte("no state at all")); err != nil {
		t.Error(err)
	}
	if r := speak(t, l, strings.Repeat("z", 60), keep("damaged")); r.SharedTokens != 0 {
		t.Errorf("%d tokens shared", r.SharedTokens)
	}
	small := opt
	small.PrefixBytes = 300
	if err := newLoop(t, answering(&fake.Model{}), small).Adopt(t.Context(), old, state); err != nil {
		t.Errorf("without room: %v", err)
	}
}

// A name that is forgotten is gone at once; what another name or a prefix needs stays.
func TestForget(t *testing.T) {
	m := answering(&fake.Model{})
	l := newLoop(t, m, sharing(2))
	said := strings.Repeat("x", 50)
	for _, name := range []string{"a", "b", "c"} { // all say the same
		speak(t, l, said, keep(name))
	}
	if n, list := m.Snapshots(), names(t, l); n != 1 || len(list) != 3 {
		t.Errorf("%d snapshots of %v", n, list)
	}
	for i, name := range []string{"a", "c", "none", "b"} {
		if err := l.Forget(t.Context(), []string{name}); err != nil {
			t.Fatal(err)
		}
		if n := m.Snapshots(); (n == 0) != (i == 3) {
			t.Errorf("%d snapshots without %q", n, name)
		}
	}
	if _, _, err := l.Dialogue(t.Context(), "b"); errs.CodeOf(err) != errs.NotFound {
		t.Error(err)
	}
	l.Close()
	if _, err := l.Dialogues(); errs.CodeOf(err) != errs.EngineUnavailable {
		t.Error(err)
	}
}

// A question may be given up while a step takes long; the loop goes on.
func TestQuestionGivenUp(t *testing.T) {
	m := answering(&fake.Model{})
	in, out := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.BeforeDecode = func([]decode.Entry) error {
		once.Do(func() {
			in <- struct{}{}
			<-out
		})
		return nil
	}
	l := newLoop(t, m, sharing(1))
	over := make(chan struct{})
	go func() {
		defer close(over)
		speak(t, l, strings.Repeat("x", 50), keep("s"))
	}()
	<-in
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, err := l.Dialogue(ctx, "s"); errs.CodeOf(err) != errs.Timeout {
		t.Error(err)
	}
	if list, err := l.Dialogues(); len(list) != 0 || err != nil { // waits for no step
		t.Error(list, err)
	}
	close(out)
	<-over
	kept(t, l, "s")
}
