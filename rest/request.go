package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"hyprstream/errs"
)

// sampling are the fields that chat and plain completions share. A nil pointer
// is a field that was absent or null; the SQL layer's default then applies.
type sampling struct {
	Model               string          `json:"model"`
	N                   *int            `json:"n"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	Seed                *int64          `json:"seed"`
	Stop                stringList      `json:"stop"`
	Stream              bool            `json:"stream"`
	StreamOptions       *streamOptions  `json:"stream_options"`
	ResponseFormat      *responseFormat `json:"response_format"`

	// Beyond OpenAI's fields; llama-server and vLLM spell them the same way.
	TopK          *int       `json:"top_k"`
	MinP          *float64   `json:"min_p"`
	RepeatPenalty *float64   `json:"repeat_penalty"`
	Adapter       stringList `json:"adapter"` // names of the model's adapters
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema *struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// schema is the JSON schema that answers must be of; "" for any text.
func (f *responseFormat) schema() (string, error) {
	switch {
	case f == nil || f.Type == "" || f.Type == "text":
		return "", nil
	case f.Type == "json_object":
		return `{"type": "object"}`, nil
	case f.Type != "json_schema":
		return "", unsupportedParam("response_format", "response_format %q is not supported; text, json_object and json_schema are", f.Type)
	case f.JSONSchema == nil || len(f.JSONSchema.Schema) == 0:
		return "", badParam("response_format", `response_format has no schema; send {"type": "json_schema", "json_schema": {"name": "…", "schema": {…}}}`)
	}
	return string(f.JSONSchema.Schema), nil
}

type chatRequest struct {
	sampling
	Messages []chatMessage     `json:"messages"`
	Tools    []json.RawMessage `json:"tools"`
	Logprobs bool              `json:"logprobs"`
}

type chatMessage struct {
	Role    string      `json:"role"`
	Content messageText `json:"content"`
}

type completionRequest struct {
	sampling
	Prompt   stringList `json:"prompt"`
	Echo     bool       `json:"echo"`
	Logprobs *int       `json:"logprobs"`
	BestOf   *int       `json:"best_of"`
	Suffix   string     `json:"suffix"`
}

// stringList is a string or a list of strings. null and absent are nil.
type stringList []string

func (l *stringList) UnmarshalJSON(b []byte) error {
	var one string
	if err := json.Unmarshal(b, &one); err == nil {
		if string(b) != "null" {
			*l = stringList{one}
		}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return wrongType[stringList](b)
	}
	*l = many
	return nil
}

// messageText is the content of a message: a string, or a list of text parts.
type messageText string

func (m *messageText) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err == nil {
		*m = messageText(text)
		return nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(b, &parts); err != nil {
		return wrongType[messageText](b)
	}
	var sb strings.Builder
	for _, p := range parts {
		if p.Type != "text" {
			return &json.UnmarshalTypeError{Value: fmt.Sprintf("a part of type %q", p.Type), Type: reflect.TypeFor[messageText]()}
		}
		sb.WriteString(p.Text)
	}
	*m = messageText(sb.String())
	return nil
}

// wrongType is encoding/json's own error, which then finds the field's name.
func wrongType[T any](b []byte) error {
	value := map[byte]string{'{': "object", '[': "array", 't': "bool", 'f': "bool", 'n': "null", '"': "string"}[b[0]]
	if value == "" {
		value = "number"
	}
	return &json.UnmarshalTypeError{Value: value, Type: reflect.TypeFor[T]()}
}

// readJSON decodes the body into v. Unknown fields are ignored, as OpenAI's
// server does with fields of newer clients; a wrong type names its field.
func readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return errs.Wrap(err, errs.InvalidArgument, "rest", "the request's body is larger than %d bytes", tooLarge.Limit)
		}
		return errs.Wrap(err, errs.Cancelled, "rest", "the request's body ended early")
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return errs.New(errs.InvalidArgument, "rest", "the request has no body; send a JSON object")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return decodeError(err)
	}
	return nil
}

func decodeError(err error) error {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		field := strings.TrimPrefix(wrong.Field, "sampling.") // the embedded struct is none of the client's business
		return badParam(field, "%s must be %s, not %s", field, kindName(wrong.Type.String()), wrong.Value)
	case errors.As(err, &wrong):
		return errs.New(errs.InvalidArgument, "rest", "the request's body must be a JSON object, not %s", wrong.Value)
	case errors.As(err, &syntax):
		return errs.New(errs.InvalidArgument, "rest", "the request's body is not JSON: %s at byte %d", err, syntax.Offset)
	}
	return errs.New(errs.InvalidArgument, "rest", "the request's body cannot be used: %s", err)
}

// kindName says a Go type as a JSON client knows it.
func kindName(goType string) string {
	switch {
	case goType == "rest.stringList":
		return "a string or a list of strings"
	case goType == "rest.messageText":
		return "a string or a list of text parts"
	case strings.HasPrefix(goType, "int"):
		return "an integer"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "a string"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	}
	return "an object"
}

// check refuses values that OpenAI's server would refuse too, and fields that
// ask for something this server cannot do.
func (s *sampling) check() error {
	switch {
	case s.N != nil && (*s.N < 1 || *s.N > 128):
		return badParam("n", "n must be between 1 and 128, not %d", *s.N)
	case s.MaxTokens != nil && *s.MaxTokens < 1:
		return badParam("max_tokens", "max_tokens must be at least 1, not %d", *s.MaxTokens)
	case s.MaxCompletionTokens != nil && *s.MaxCompletionTokens < 1:
		return badParam("max_completion_tokens", "max_completion_tokens must be at least 1, not %d", *s.MaxCompletionTokens)
	case s.Temperature != nil && (*s.Temperature < 0 || *s.Temperature > 2):
		return badParam("temperature", "temperature must be between 0 and 2, not %g", *s.Temperature)
	case s.TopP != nil && (*s.TopP <= 0 || *s.TopP > 1):
		return badParam("top_p", "top_p must be above 0 and at most 1, not %g", *s.TopP)
	}
	_, err := s.ResponseFormat.schema()
	return err
}

func (c *chatRequest) check() error {
	if err := c.sampling.check(); err != nil {
		return err
	}
	if len(c.Messages) == 0 {
		return badParam("messages", "messages must be a list with at least one message, such as [{\"role\": \"user\", \"content\": \"Hello\"}]")
	}
	for i := range c.Messages {
		m := &c.Messages[i]
		switch m.Role {
		case "system", "user", "assistant":
		case "developer": // OpenAI's newer name of system
			m.Role = "system"
		default:
			return badParam(fmt.Sprintf("messages[%d].role", i), "messages[%d].role must be system, user or assistant, not %q", i, m.Role)
		}
	}
	switch {
	case len(c.Tools) > 0:
		return unsupportedParam("tools", "tools are not supported")
	case c.Logprobs:
		return unsupportedParam("logprobs", "logprobs are not supported over HTTP; SELECT logprob FROM generate(…) by /v1/sql has their sum")
	}
	return nil
}

// maxPrompts bounds the statement that a list of prompts becomes.
const maxPrompts = 256

func (c *completionRequest) check() error {
	if err := c.sampling.check(); err != nil {
		return err
	}
	switch {
	case len(c.Prompt) == 0:
		return badParam("prompt", "prompt must be a string or a list of strings")
	case len(c.Prompt) > maxPrompts:
		return badParam("prompt", "prompt may have at most %d strings, not %d; more rows are a query of /v1/sql", maxPrompts, len(c.Prompt))
	case c.Suffix != "":
		return unsupportedParam("suffix", "suffix is not supported")
	case c.Echo:
		return unsupportedParam("echo", "echo is not supported")
	case c.Logprobs != nil:
		return unsupportedParam("logprobs", "logprobs are not supported over HTTP; SELECT logprob FROM generate(…) by /v1/sql has their sum")
	case c.BestOf != nil && *c.BestOf > max(1, deref(c.N, 1)):
		return unsupportedParam("best_of", "best_of above n is not supported")
	}
	return nil
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
