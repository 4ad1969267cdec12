package inference

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"hyprstream/errs"
	"hyprstream/runtime/decode"
)

// The plain dialogue, for models without a chat template. A system message
// takes the place of its first line. docs/decisions/0004 says why it is so.
const (
	plainHeader = "The following is a conversation between a user and a helpful assistant."
	plainStop   = "\nUser:"
)

// prompt is what a request becomes.
type prompt struct {
	segments []decode.Segment
	addBOS   bool
	plain    bool // no chat template, but a question: stops where the next one would come, the answer is trimmed

	continuations []string // to be scored; nil: an answer is to be written
}

// prompt decides how a request is put to the model and writes it out, with what
// is to be scored after it.
func (l *live) prompt(req *Request) (prompt, *errs.Error) {
	c := req.Choice
	templated := !req.Raw && (l.template != nil || l.broken != nil)
	switch {
	case req.Reading != nil && templated:
		return l.question(&Request{Messages: req.Reading.chat(), System: req.System})
	case req.Reading != nil:
		text := req.Reading.plain(req.System)
		return prompt{segments: []decode.Segment{{Text: text}}, addBOS: true, plain: true}, nil
	case c == nil:
		p, err := l.question(req)
		p.continuations = req.Continuations
		return p, err
	case !templated:
		text, answers := c.plain()
		return prompt{segments: []decode.Segment{{Text: text}}, addBOS: true, continuations: answers}, nil
	}
	p, err := l.question(&Request{Messages: c.chat()})
	p.continuations = c.Answers
	return p, err
}

// question writes out a request that has a prompt or messages.
func (l *live) question(req *Request) (prompt, *errs.Error) {
	messages := req.Messages
	switch {
	case messages == nil && (req.Raw || l.model.Options.ChatTemplate == "" && l.info.ChatTemplate == "" && req.System == ""):
		return l.whole(req.Prompt, req.SpecialTokens, false), nil
	case messages == nil:
		messages = []Message{{Role: "user", Content: req.Prompt}}
	}
	if req.System != "" && !req.Raw {
		messages = withSystem(messages, req.System)
	}
	if req.Raw || l.template == nil && l.broken == nil {
		return l.whole(plainDialogue(messages), req.SpecialTokens, true), nil
	}
	if l.broken != nil {
		return prompt{}, l.broken
	}
	segments, err := l.template.segments(messages, req.SpecialTokens)
	if err != nil {
		return prompt{}, l.templateError(err)
	}
	return prompt{segments: segments, addBOS: !l.beginsItself(segments[0])}, nil
}

// whole is a prompt without a template.
func (l *live) whole(text string, special, plain bool) prompt {
	s := decode.Segment{Text: text, Special: special}
	return prompt{segments: []decode.Segment{s}, addBOS: !l.beginsItself(s), plain: plain}
}

// beginsItself says that the beginning-of-sequence token is written out in the first segment.
func (l *live) beginsItself(first decode.Segment) bool {
	return l.info.BOS != "" && first.Special && strings.HasPrefix(first.Text, l.info.BOS)
}

// withSystem puts text before a dialogue's own system message, or makes one.
func withSystem(messages []Message, text string) []Message {
	out := slices.Clone(messages)
	if len(out) > 0 && out[0].Role == "system" {
		out[0].Content = text + "\n\n" + out[0].Content
		return out
	}
	return slices.Insert(out, 0, Message{Role: "system", Content: text})
}

// plainDialogue writes turns as text that a model without chat training
// continues sensibly.
func plainDialogue(messages []Message) string {
	header := ""
	var turns strings.Builder
	for _, m := range messages {
		content := strings.TrimSpace(m.Content)
		switch m.Role {
		case "system":
			if header != "" {
				header += "\n"
			}
			header += content
		case "assistant":
			turns.WriteString("\nAssistant: " + content)
		default:
			turns.WriteString("\nUser: " + content)
		}
	}
	if header == "" {
		header = plainHeader
	}
	return header + "\n" + turns.String() + "\nAssistant:"
}

// templateOf compiles a model's chat template and finds out how it treats
// system messages. A template that cannot be used is an error of the requests
// that need it, not of the load.
func (e *Engine) templateOf(m Model, info decode.Info) (*chatTemplate, *errs.Error) {
	source := m.Options.ChatTemplate
	if source == "" {
		source = info.ChatTemplate
	}
	if source == "" {
		return nil, nil
	}
	t, err := compileTemplate(source, templateEnv{bos: info.BOS, eos: info.EOS, now: e.cfg.Now})
	if err == nil {
		err = t.probe()
	}
	if err != nil {
		e.log.Warn("chat template not usable", "model", m.Name, "error", err)
		return nil, errs.New(errs.Unsupported, "chat template",
			"the chat template of model %q cannot be used (%v); give another with CREATE MODEL … WITH (chat_template = '…'), or use raw := true", m.Name, err)
	}
	return t, nil
}

// templateError is the row's error for a template that did not take its messages.
func (l *live) templateError(err error) *errs.Error {
	var no raised
	if errors.As(err, &no) {
		return errs.New(errs.InvalidArgument, "chat template", "the chat template of model %q refuses these messages: %.300s", l.model.Name, no.msg)
	}
	return errs.New(errs.Unsupported, "chat template",
		"the chat template of model %q cannot be used (%v); give another with CREATE MODEL … WITH (chat_template = '…'), or use raw := true", l.model.Name, err)
}

// Private-use code points stand for message texts while a template is rendered.
// They are no white space and have no case, so templates pass them through.
const firstMark, lastMark = rune(0xF0000), rune(0xFFFFD)

// probe renders a small dialogue, and learns whether system messages come out.
func (t *chatTemplate) probe() error {
	user, system := string(firstMark), string(firstMark+1)
	text, err := t.render([]Message{{"user", user}})
	if err != nil {
		return err
	}
	if !strings.Contains(text, user) {
		return errors.New("it leaves out what the user says")
	}
	text, err = t.render([]Message{{"system", system}, {"user", user}})
	t.foldSystem = err != nil || !strings.Contains(text, system)
	return nil
}

// controlLike matches what the spelling of a control token looks like in the
// vocabularies of today's models: <…>, <|…|>, [INST].
var controlLike = regexp.MustCompile(`<[^<>\n]{1,100}>|\[/?[\pL\pN_ ]{1,40}\]`)

// suspicious says whether some piece of a message might be a control token.
func (t *chatTemplate) suspicious(content string) bool {
	return controlLike.MatchString(content) ||
		t.env.bos != "" && strings.Contains(content, t.env.bos) ||
		t.env.eos != "" && strings.Contains(content, t.env.eos)
}

// segments renders a dialogue such that no message's text can become a control
// token. Texts that hold nothing like one stay in one piece with the template's
// own text, so that the whole tokenizes as it did in training. The others are
// rendered as marks, which keep their surrounding white space for the template
// to trim, and put in afterwards as segments of their own. With special none is
// guarded.
func (t *chatTemplate) segments(messages []Message, special bool) ([]decode.Segment, error) {
	if t.foldSystem {
		messages = fold(messages)
	}
	var guarded []int
	for i, m := range messages {
		if !special && t.suspicious(m.Content) {
			guarded = append(guarded, i)
		}
	}
	if len(guarded) == 0 {
		text, err := t.render(messages)
		return []decode.Segment{{Text: text, Special: true}}, err
	}
	marks, err := freeMarks(messages, len(guarded))
	if err != nil {
		return nil, err
	}
	marked := slices.Clone(messages)
	texts := make(map[rune]string, len(guarded))
	for n, i := range guarded {
		content := messages[i].Content
		core := strings.TrimSpace(content)
		at := strings.Index(content, core)
		marked[i].Content = content[:at] + string(marks[n]) + content[at+len(core):]
		texts[marks[n]] = core
	}
	text, err := t.render(marked)
	if err != nil {
		return nil, err
	}
	return split(text, texts), nil
}

// split cuts a rendered dialogue at its marks.
func split(text string, texts map[rune]string) []decode.Segment {
	var out []decode.Segment
	from := 0
	for i, r := range text {
		content, isMark := texts[r]
		if !isMark {
			continue
		}
		if i > from {
			out = append(out, decode.Segment{Text: text[from:i], Special: true})
		}
		out = append(out, decode.Segment{Text: content})
		from = i + len(string(r))
	}
	if from < len(text) || len(out) == 0 {
		out = append(out, decode.Segment{Text: text[from:], Special: true})
	}
	return out
}

// freeMarks finds n marks that no message contains.
func freeMarks(messages []Message, n int) ([]rune, error) {
	used := map[rune]bool{}
	for _, m := range messages {
		for _, r := range m.Content {
			if r >= firstMark && r <= lastMark {
				used[r] = true
			}
		}
	}
	marks := make([]rune, 0, n)
	for r := firstMark; r <= lastMark && len(marks) < n; r++ {
		if !used[r] {
			marks = append(marks, r)
		}
	}
	if len(marks) < n {
		return nil, raised{"they use up Unicode's private code points"}
	}
	return marks, nil
}

// fold moves system texts into the first turn of the user, for templates that
// have no place for them.
func fold(messages []Message) []Message {
	var system []string
	var out []Message
	for _, m := range messages {
		if m.Role == "system" {
			system = append(system, strings.TrimSpace(m.Content))
		} else {
			out = append(out, m)
		}
	}
	if len(system) == 0 {
		return messages
	}
	text := strings.Join(system, "\n\n")
	for i := range out {
		if out[i].Role == "user" {
			out[i].Content = text + "\n\n" + out[i].Content
			return out
		}
	}
	return slices.Insert(out, 0, Message{Role: "user", Content: text})
}
