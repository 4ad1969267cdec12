package inference

import (
	"context"
	"errors"
	"strings"
	"testing"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// chunks streams and checks what holds for every stream.
func chunks(t *testing.T, e *Engine, req Request) (texts []string, final *Completion, err error) {
	t.Helper()
	seq := 0
	err = e.Stream(t.Context(), req, func(c Chunk) error {
		if c.Seq != seq || c.Done != (c.Final != nil) || final != nil {
			t.Errorf("chunk %d: %+v", seq, c)
		}
		seq++
		texts = append(texts, c.Text)
		final = c.Final
		return nil
	})
	return texts, final, err
}

func TestStream(t *testing.T) {
	h := &host{reply: func(decode.Request) string { return " \n one  two \n" }}
	e, _ := engine(t, h)
	texts, final, err := chunks(t, e, Request{Prompt: "x"})
	if err != nil || strings.Join(texts, "") != " \n one  two \n" || final.Text != " \n one  two \n" || final.Model != "a" || final.FinishReason != "stop" {
		t.Errorf("raw: %q, %+v, %v", texts, final, err)
	}
	texts, final, err = chunks(t, e, Request{Messages: []Message{{"user", "x"}}})
	if err != nil || strings.Join(texts, "") != "one  two" || final.Text != "one  two" {
		t.Errorf("plain dialogue: %q, %+v, %v", texts, final, err)
	}
	if !h.seen()[0].Stream {
		t.Error("the process was not asked to stream")
	}
}

func TestStreamFailures(t *testing.T) {
	h := &host{}
	e, _ := engine(t, h)
	for name, c := range map[string]struct {
		req   Request
		code  errs.Code
		final bool
	}{
		"model":   {Request{Model: "nothing"}, errs.ModelNotFound, false},
		"option":  {Request{Params: decode.Params{TopP: 2}}, errs.InvalidArgument, true},
		"adapter": {Request{Adapters: []AdapterUse{{"rude", 1}}}, errs.AdapterNotFound, true},
	} {
		_, final, err := chunks(t, e, c.req)
		if errs.CodeOf(err) != c.code || (final != nil) != c.final || final != nil && final.Err.Code != c.code {
			t.Errorf("%s: %v, %+v", name, err, final)
		}
	}
	stop := errors.New("stop")
	err := e.Stream(t.Context(), Request{Prompt: "a b c"}, func(Chunk) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("an error of the callback: %v", err)
	}
	if _, _, err := chunks(t, e, Request{Prompt: "again"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestStreamAndDeath(t *testing.T) {
	t.Run("before anything was sent", func(t *testing.T) {
		e, _ := engine(t, &host{answering: func(_ context.Context, n, _ int, _ decode.Request) bool { return n == 1 }})
		texts, _, err := chunks(t, e, Request{Prompt: "a b"})
		if err != nil || strings.Join(texts, "") != "A B" {
			t.Errorf("%q, %v", texts, err)
		}
	})
	t.Run("twice", func(t *testing.T) {
		e, _ := engine(t, &host{answering: func(context.Context, int, int, decode.Request) bool { return true }})
		_, _, err := chunks(t, e, Request{Prompt: "a b"})
		if errs.CodeOf(err) != errs.EngineDied || !strings.Contains(err.Error(), "died again") {
			t.Errorf("%v", err)
		}
	})
	t.Run("in the middle", func(t *testing.T) {
		h := &host{reply: func(decode.Request) string { return "one two†" }}
		e, _ := engine(t, h)
		texts, final, err := chunks(t, e, Request{Prompt: "a b"})
		if errs.CodeOf(err) != errs.EngineDied || !strings.Contains(err.Error(), "in the middle") || final != nil || len(texts) == 0 {
			t.Errorf("%q, %+v, %v", texts, final, err)
		}
		if h.starts.Load() != 1 {
			t.Error("half an answer was begun again")
		}
	})
}

func TestTrimmer(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""}, {" ", ""}, {"a", "a"}, {" |a", "a"}, {"a| |b| ", "a b"}, {" \n| a |\n|\n|b \n| \n", "a \n\nb"}, {"a |", "a"}, {"é\u3000|ü\u3000", "é\u3000ü"},
	} {
		tr := trimmer{on: true}
		got := ""
		for _, piece := range strings.Split(c[0], "|") {
			got += tr.push(piece)
		}
		if got != c[1] {
			t.Errorf("%q: %q, want %q", c[0], got, c[1])
		}
	}
}
