package inference

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
)

const (
	templateName = "chat template"
	maxRendered  = 64 << 20 // bytes; a template that writes more is not one for chats
)

// chatTemplate is a compiled chat template. It is safe for concurrent use.
//
// The source comes from a model file and is not trusted; see sandbox.go.
type chatTemplate struct {
	compiled   *exec.Template
	env        templateEnv
	foldSystem bool   // it has no place for system messages; set by probe
	digest     string // of the source
}

// templateEnv is what a template may refer to beside the messages.
type templateEnv struct {
	bos, eos string
	now      func() time.Time
}

// raised is a template's own refusal of its input, by raise_exception().
type raised struct{ msg string }

func (r raised) Error() string { return r.msg }

// compileTemplate parses Jinja source with the settings that transformers uses.
func compileTemplate(source string, env templateEnv) (t *chatTemplate, err error) {
	defer recoverTemplate(&err)
	if err := checkSource(source); err != nil {
		return nil, err
	}
	settings := config.New()
	settings.TrimBlocks = true
	settings.LeftStripBlocks = true
	compiled, err := exec.NewTemplate(templateName, settings, sourceOnly(rewriteSource(source)), templateEnvironment)
	if err != nil {
		return nil, errors.New(lastCause(err))
	}
	return &chatTemplate{compiled: compiled, env: env, digest: digestOfText(source)}, nil
}

// render writes a dialogue that ends where the assistant is to speak.
func (t *chatTemplate) render(messages []Message) (text string, err error) {
	defer recoverTemplate(&err)
	list := make([]any, len(messages))
	for i, m := range messages {
		list[i] = map[string]any{"role": m.Role, "content": m.Content}
	}
	var refusal *raised
	data := exec.NewContext(map[string]any{
		budgetName:              &budget{deadline: time.Now().Add(maxRenderTime)},
		"messages":              list,
		"tools":                 nil, // transformers defines these two always
		"documents":             nil,
		"add_generation_prompt": true,
		"bos_token":             t.env.bos,
		"eos_token":             t.env.eos,
		"raise_exception": func(_ *exec.Evaluator, args *exec.VarArgs) (*exec.Value, error) {
			refusal = &raised{"it refuses the messages"}
			if len(args.Args) > 0 {
				refusal.msg = args.Args[0].String()
			}
			return nil, *refusal
		},
		"strftime_now": func(_ *exec.Evaluator, args *exec.VarArgs) (*exec.Value, error) {
			if len(args.Args) == 0 {
				return nil, errors.New("strftime_now needs a format")
			}
			return exec.AsValue(strftime(t.env.now(), args.Args[0].String())), nil
		},
	})
	out := &boundedBuffer{}
	if err := t.compiled.Execute(out, data); err != nil {
		if refusal != nil {
			return "", *refusal
		}
		return "", errors.New(lastCause(err))
	}
	if refusal != nil { // gonja may print an error as a value instead of stopping
		return "", *refusal
	}
	return out.String(), nil
}

// recoverTemplate turns a panic of the template engine into an error.
func recoverTemplate(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the template engine failed: %.200v", r)
	}
}

// lastCause shortens gonja's errors, which quote the whole template.
func lastCause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	msg := err.Error()
	const limit = 300
	if len(msg) > limit {
		msg = "…" + strings.ToValidUTF8(msg[len(msg)-limit:], "")
	}
	return msg
}

// boundedBuffer refuses to grow without end.
type boundedBuffer struct{ bytes.Buffer }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxRendered {
		return 0, fmt.Errorf("it writes more than %d bytes", maxRendered)
	}
	return b.Buffer.Write(p)
}

func (b *boundedBuffer) WriteString(s string) (int, error) { return b.Write([]byte(s)) }
