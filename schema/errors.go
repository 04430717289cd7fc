package schema

import (
	"errors"
	"fmt"
)

// Code is a stable name for what went wrong, which a program can act on. The
// HTTP API sends it in every problem.
type Code string

const (
	CodeUnauthenticated Code = "unauthenticated"
	CodeForbidden       Code = "forbidden"
	CodeNotFound        Code = "not_found"
	CodeObjectMissing   Code = "object_missing"
	CodeWrongStatus     Code = "wrong_status"
	CodeNotDownloadable Code = "not_downloadable"
	CodeNameTaken       Code = "name_taken"
	CodeTooManyPending  Code = "too_many_pending"
	CodeQuotaExceeded   Code = "quota_exceeded"
	CodeTooLarge        Code = "too_large"
	CodeTypeNotAllowed  Code = "type_not_allowed"
	CodeInvalid         Code = "invalid"
	CodeUnknownTopic    Code = "unknown_topic"
	CodeRateLimited     Code = "rate_limited"
	// CodeUnavailable: a part we depend on did not answer; try again.
	CodeUnavailable Code = "unavailable"
	// CodeInternal: our fault; the log says more than the caller may know.
	CodeInternal Code = "internal"
)

// Error is a failure that the caller may see: Detail is a sentence for a person
// that says what to do, and holds nothing secret.
type Error struct {
	Code   Code
	Detail string
}

// Errorf returns an *Error with a formatted detail.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

// Is makes errors.Is(err, &Error{Code: c}) true for every error of that code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Detail == "" || t.Detail == e.Detail)
}

// CodeOf returns the code that err carries, and CodeInternal if it carries none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
