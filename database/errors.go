package database

import (
	"context"
	"errors"
	"regexp"
	"strings"

	m "github.com/duckdb/duckdb-go-bindings"

	"hyprstream/errs"
	"hyprstream/sqlfuncs"
)

// codeByType says which stable code a DuckDB error type becomes. Types not
// listed are defects or damage: errs.Internal.
var codeByType = map[m.ErrorType]errs.Code{
	m.ErrorTypeParser:               errs.Syntax,
	m.ErrorTypeSyntax:               errs.Syntax,
	m.ErrorTypeCatalog:              errs.NotFound,
	m.ErrorTypeErrorIO:              errs.NotFound,
	m.ErrorTypePermission:           errs.PermissionDenied,
	m.ErrorTypeInterrupt:            errs.Cancelled,
	m.ErrorTypeOutOfMemory:          errs.OutOfMemory,
	m.ErrorTypeNotImplemented:       errs.Unsupported,
	m.ErrorTypeMissingExtension:     errs.Unsupported,
	m.ErrorTypeAutoload:             errs.Unsupported,
	m.ErrorTypeHTTP:                 errs.Unsupported,
	m.ErrorTypeNetwork:              errs.Unsupported,
	m.ErrorTypeBinder:               errs.InvalidArgument,
	m.ErrorTypeConstraint:           errs.InvalidArgument,
	m.ErrorTypeConversion:           errs.InvalidArgument,
	m.ErrorTypeDecimal:              errs.InvalidArgument,
	m.ErrorTypeDependency:           errs.InvalidArgument,
	m.ErrorTypeDivideByZero:         errs.InvalidArgument,
	m.ErrorTypeExpression:           errs.InvalidArgument,
	m.ErrorTypeInvalidInput:         errs.InvalidArgument,
	m.ErrorTypeInvalidType:          errs.InvalidArgument,
	m.ErrorTypeInvalidConfiguration: errs.InvalidArgument,
	m.ErrorTypeMismatchType:         errs.InvalidArgument,
	m.ErrorTypeObjectSize:           errs.InvalidArgument,
	m.ErrorTypeOutOfRange:           errs.InvalidArgument,
	m.ErrorTypeParameterNotAllowed:  errs.InvalidArgument,
	m.ErrorTypeParameterNotResolved: errs.InvalidArgument,
	m.ErrorTypeSequence:             errs.InvalidArgument,
	m.ErrorTypeSettings:             errs.InvalidArgument,
	m.ErrorTypeTransaction:          errs.InvalidArgument,
	m.ErrorTypeUnknownType:          errs.InvalidArgument,
}

// typeByPrefix recovers the type where DuckDB's C API gives only the rendered
// message (prepare): every message begins with the name of its type.
var typeByPrefix = map[string]m.ErrorType{
	"Parser Error": m.ErrorTypeParser, "Syntax Error": m.ErrorTypeSyntax,
	"Catalog Error": m.ErrorTypeCatalog, "Binder Error": m.ErrorTypeBinder,
	"IO Error": m.ErrorTypeErrorIO, "Permission Error": m.ErrorTypePermission,
	"INTERRUPT Error": m.ErrorTypeInterrupt, "Out of Memory Error": m.ErrorTypeOutOfMemory,
	"Not implemented Error": m.ErrorTypeNotImplemented, "Missing Extension Error": m.ErrorTypeMissingExtension,
	"Extension Autoloading Error": m.ErrorTypeAutoload, "HTTP Error": m.ErrorTypeHTTP,
	"Constraint Error": m.ErrorTypeConstraint, "Conversion Error": m.ErrorTypeConversion,
	"Invalid Input Error": m.ErrorTypeInvalidInput, "Out of Range Error": m.ErrorTypeOutOfRange,
	"Mismatch Type Error": m.ErrorTypeMismatchType, "Divide by Zero Error": m.ErrorTypeDivideByZero,
	"Dependency Error": m.ErrorTypeDependency, "Sequence Error": m.ErrorTypeSequence,
	"TransactionContext Error": m.ErrorTypeTransaction, "Settings Error": m.ErrorTypeSettings,
	"Parameter Not Resolved Error": m.ErrorTypeParameterNotResolved,
	"Parameter Not Allowed Error":  m.ErrorTypeParameterNotAllowed,
	"Invalid Type Error":           m.ErrorTypeInvalidType, "Expression Error": m.ErrorTypeExpression,
	"Invalid Configuration Error": m.ErrorTypeInvalidConfiguration,
}

// ownError matches an error of ours that travelled through DuckDB: its message
// begins with the code in brackets.
var ownError = regexp.MustCompile(`(?s)^(?:[A-Za-z ]+ Error: )?\[([A-Z]+(?:_[A-Z]+)*)\] (.*)$`)

// fatalOp marks the errors after which DuckDB refuses every statement.
const fatalOp = "duckdb.fatal"

// translate makes the error that leaves this package from a DuckDB error.
func translate(t m.ErrorType, msg string) error {
	if g := ownError.FindStringSubmatch(msg); g != nil {
		return errs.New(errs.Code(g[1]), "", "%s", strings.TrimSpace(g[2]))
	}
	msg, _, _ = strings.Cut(msg, "\n\nStack Trace:") // of DuckDB's defects; addresses help nobody
	code, ok := codeByType[t]
	switch {
	case t == m.ErrorTypeFatal || t == m.ErrorTypeInternal:
		return errs.New(errs.Internal, fatalOp, "%s", msg)
	case !ok:
		code = errs.Internal
	// Two meanings DuckDB gives no type of its own.
	case t == m.ErrorTypeCatalog && strings.Contains(msg, "already exists"):
		code = errs.AlreadyExists
	case t == m.ErrorTypeInvalidInput && strings.Contains(msg, "configuration has been locked"):
		code = errs.PermissionDenied
	}
	return errs.New(code, "", "%s", msg)
}

// translateText is translate for calls that give only a message.
func translateText(msg string) error {
	name, _, _ := strings.Cut(msg, ": ")
	t, ok := typeByPrefix[name]
	if !ok {
		t = m.ErrorTypeInternal
	}
	return translate(t, msg)
}

// prepareError is translateText for a statement that DuckDB does not take.
func prepareError(sql, msg string) error {
	if err := sqlfuncs.Mistake(sql, msg); err != nil {
		return err
	}
	return translateText(msg)
}

// errInterrupted is the cause of a statement's end by Session.Interrupt.
var errInterrupted = errs.New(errs.Cancelled, "", "the statement was cancelled")

// stopped tells why ctx ended, as an error with a code; nil while it has not.
func stopped(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	cause := context.Cause(ctx)
	var own *errs.Error
	switch {
	case errors.As(cause, &own):
		return own
	case errors.Is(cause, context.DeadlineExceeded):
		return errs.Wrap(cause, errs.Timeout, "", "the statement's time was up")
	}
	return errs.Wrap(cause, errs.Cancelled, "", "the statement was cancelled")
}
