package rest

import (
	"encoding/json"
	"errors"
	"net/http"

	"hyprstream/errs"
)

// errorBody is OpenAI's error object. Code is hyprstream's stable code, the
// same as in gRPC statuses and try_generate.
type errorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`
}

// paramError is a request field that cannot be used.
type paramError struct {
	param string
	err   error
}

func (e *paramError) Error() string { return e.err.Error() }
func (e *paramError) Unwrap() error { return e.err }

// badParam makes the 400 of one field of the request.
func badParam(param, format string, args ...any) error {
	return &paramError{param, errs.New(errs.InvalidArgument, "rest", format, args...)}
}

// unsupportedParam is a field that is understood and cannot be honoured;
// ignoring it would change what the answer means.
func unsupportedParam(param, format string, args ...any) error {
	return &paramError{param, errs.New(errs.Unsupported, "rest", format, args...)}
}

// statusOf translates a code to HTTP. This is the one place that does.
func statusOf(err error) int {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	switch errs.CodeOf(err) {
	case errs.InvalidArgument, errs.Syntax, errs.ContextOverflow, errs.InvalidModelFile:
		return http.StatusBadRequest
	case errs.Unauthenticated:
		return http.StatusUnauthorized
	case errs.PermissionDenied:
		return http.StatusForbidden
	case errs.NotFound, errs.ModelNotFound, errs.AdapterNotFound, errs.PromptNotFound:
		return http.StatusNotFound
	case errs.AlreadyExists:
		return http.StatusConflict
	case errs.Unsupported:
		return http.StatusBadRequest
	case errs.QueueFull:
		return http.StatusTooManyRequests
	case errs.BudgetExceeded:
		return http.StatusPaymentRequired // clients retry a 429 by themselves, which would spend again
	case errs.Timeout:
		return http.StatusGatewayTimeout
	case errs.Cancelled:
		return 499 // the client closed the request; nobody reads this
	case errs.EngineDied, errs.EngineUnavailable, errs.OutOfMemory:
		return http.StatusServiceUnavailable
	case errs.SourceUnavailable:
		return http.StatusBadGateway
	case errs.DiskFull:
		return http.StatusInsufficientStorage
	}
	return http.StatusInternalServerError
}

// errorType is OpenAI's coarse class of an error.
func errorType(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "permission_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status < 500:
		return "invalid_request_error"
	}
	return "server_error"
}

func bodyOf(status int, param string, err error) errorBody {
	b := errorBody{Message: err.Error(), Type: errorType(status), Code: string(errs.CodeOf(err))}
	var pe *paramError
	if errors.As(err, &pe) {
		param = pe.param
	}
	if param != "" {
		b.Param = &param
	}
	return b
}

// fail writes err as the whole answer. Defects of ours are logged here, where
// they stop being returned.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if errs.CodeOf(err) == errs.Internal {
		s.log.Error("request failed", "path", r.URL.Path, "query", w.Header().Get(queryHeader), "err", err)
	}
	writeError(w, status, "", err)
}

func writeError(w http.ResponseWriter, status int, param string, err error) {
	writeJSON(w, status, map[string]errorBody{"error": bodyOf(status, param, err)})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a client that is gone needs no answer
}
