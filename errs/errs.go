package errs

import (
	"context"
	"errors"
	"fmt"
)

// Code is a stable identifier, the same in SQL errors, gRPC statuses, REST
// bodies and try_generate's error struct.
type Code string

// The codes. Once released a code keeps its meaning.
const (
	InvalidArgument   Code = "INVALID_ARGUMENT"   // a value or option the caller can correct
	Syntax            Code = "SYNTAX_ERROR"       // a statement that does not parse
	NotFound          Code = "NOT_FOUND"          // a table, file or handle that is not there
	AlreadyExists     Code = "ALREADY_EXISTS"     // a name that is taken
	PermissionDenied  Code = "PERMISSION_DENIED"  // outside --allow-dir, a locked setting, a foreign origin
	Unauthenticated   Code = "UNAUTHENTICATED"    // a missing or wrong token
	Unsupported       Code = "UNSUPPORTED"        // valid, but not something this build can do
	ModelNotFound     Code = "MODEL_NOT_FOUND"    // no model of that name, or no default model
	AdapterNotFound   Code = "ADAPTER_NOT_FOUND"  // no adapter of that name for the model
	PromptNotFound    Code = "PROMPT_NOT_FOUND"   // no prompt of that name, or no such version of it
	InvalidModelFile  Code = "INVALID_MODEL_FILE" // truncated, foreign or absurd weights
	DigestMismatch    Code = "DIGEST_MISMATCH"    // a stored file is no longer what was imported
	ContextOverflow   Code = "CONTEXT_OVERFLOW"   // a prompt longer than a slot's context
	OutOfMemory       Code = "OUT_OF_MEMORY"      // a model that does not fit the memory budget
	DiskFull          Code = "DISK_FULL"          // no room for an import
	OutputInvalid     Code = "OUTPUT_INVALID"     // an answer that was cut off, or is not of its type or schema
	Timeout           Code = "TIMEOUT"            // timeout_ms or the statement's deadline passed
	Cancelled         Code = "CANCELLED"          // the client went away or asked to stop
	EngineDied        Code = "ENGINE_DIED"        // the model's process ended while it worked
	EngineUnavailable Code = "ENGINE_UNAVAILABLE" // the model's process could not be started
	SourceUnavailable Code = "SOURCE_UNAVAILABLE" // a server that a file is to be pulled from cannot be reached, or fails
	QueueFull         Code = "QUEUE_FULL"         // admission refused
	BudgetExceeded    Code = "BUDGET_EXCEEDED"    // ai_max_rows, ai_max_tokens or ai_max_seconds is reached
	Internal          Code = "INTERNAL"           // a defect of ours
)

// Error is the one error type that crosses package borders.
type Error struct {
	Code Code   // stable
	Op   string // what was being done, such as "CREATE MODEL" or "storage.Import"
	Msg  string // safe to show to any client: names the thing and the remedy, never prompts or rows
	Err  error  // cause, may be nil
}

func (e *Error) Error() string {
	switch {
	case e.Msg == "" && e.Err != nil:
		return e.Err.Error()
	case e.Err != nil:
		return e.Msg + ": " + e.Err.Error()
	}
	return e.Msg
}

func (e *Error) Unwrap() error { return e.Err }

// New makes an Error. format must say what is wrong and what the caller can do.
func New(code Code, op, format string, args ...any) *Error {
	return &Error{Code: code, Op: op, Msg: fmt.Sprintf(format, args...)}
}

// Wrap adds a code, an operation and a safe message to a cause. A nil cause gives nil.
func Wrap(err error, code Code, op, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Code: code, Op: op, Msg: fmt.Sprintf(format, args...), Err: err}
}

// CodeOf finds the code of err: the outermost *Error, or the context's verdict,
// or Internal. It is "" for nil.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled):
		return Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	}
	return Internal
}

// Retryable says whether the same call may succeed later without being changed.
func (c Code) Retryable() bool {
	switch c {
	case EngineDied, EngineUnavailable, SourceUnavailable, QueueFull, Timeout, OutOfMemory:
		return true
	}
	return false
}
