package flightsql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"hyprstream/errs"
)

// errorDomain is the ErrorInfo domain of every status this package returns.
const errorDomain = "hyprstream"

// grpcCodes maps the stable codes to what Flight clients act upon.
var grpcCodes = map[errs.Code]codes.Code{
	errs.InvalidArgument:   codes.InvalidArgument,
	errs.Syntax:            codes.InvalidArgument,
	errs.NotFound:          codes.NotFound,
	errs.AlreadyExists:     codes.AlreadyExists,
	errs.PermissionDenied:  codes.PermissionDenied,
	errs.Unauthenticated:   codes.Unauthenticated,
	errs.Unsupported:       codes.Unimplemented,
	errs.ModelNotFound:     codes.NotFound,
	errs.PromptNotFound:    codes.NotFound,
	errs.AdapterNotFound:   codes.NotFound,
	errs.InvalidModelFile:  codes.InvalidArgument,
	errs.DigestMismatch:    codes.DataLoss,
	errs.ContextOverflow:   codes.InvalidArgument,
	errs.OutOfMemory:       codes.ResourceExhausted,
	errs.DiskFull:          codes.ResourceExhausted,
	errs.QueueFull:         codes.ResourceExhausted,
	errs.BudgetExceeded:    codes.ResourceExhausted,
	errs.Timeout:           codes.DeadlineExceeded,
	errs.Cancelled:         codes.Canceled,
	errs.EngineDied:        codes.Unavailable,
	errs.EngineUnavailable: codes.Unavailable,
	errs.SourceUnavailable: codes.Unavailable,
	errs.Internal:          codes.Internal,
}

// toStatus translates err for the wire: "[CODE] text" as the message, the code
// again as the reason of an ErrorInfo detail. Statuses pass unchanged.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	var own *errs.Error
	if _, ok := status.FromError(err); ok && !errors.As(err, &own) {
		return err
	}
	code := errs.CodeOf(err)
	// A text that is not UTF-8, quoted by an error, must not cost the client the error.
	st := status.New(grpcCode(code), strings.ToValidUTF8(fmt.Sprintf("[%s] %s", code, err), "\uFFFD"))
	info := &errdetails.ErrorInfo{Reason: string(code), Domain: errorDomain}
	if code.Retryable() {
		info.Metadata = map[string]string{"retryable": "true"}
	}
	if detailed, derr := st.WithDetails(info); derr == nil {
		st = detailed
	}
	return st.Err()
}

func grpcCode(code errs.Code) codes.Code {
	if c, ok := grpcCodes[code]; ok {
		return c
	}
	return codes.Unknown
}

// causeOf prefers the reason a context was ended for over the bare fact.
func causeOf(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ctx.Err()) {
		return cause
	}
	return err
}
