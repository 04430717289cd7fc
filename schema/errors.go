package schema

import (
	"errors"
	"fmt"
)

// Code identifies a kind of failure. Codes are stable, so that programs can act on them. The HTTP
// API sends the code in every problem.
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
	CodeTooManyTopics   Code = "too_many_topics"
	CodeQuotaExceeded   Code = "quota_exceeded"
	CodeTooLarge        Code = "too_large"
	CodeTypeNotAllowed  Code = "type_not_allowed"
	// CodeVersionMismatch means that the document is not at the version that the client expected.
	CodeVersionMismatch Code = "version_mismatch"
	CodeInvalid         Code = "invalid"
	CodeUnknownTopic    Code = "unknown_topic"
	// CodeIdempotencyMismatch means that the idempotency key was used for a different request.
	CodeIdempotencyMismatch Code = "idempotency_mismatch"
	CodeRateLimited         Code = "rate_limited"
	// CodeUnavailable means that a server that Intray depends on is unavailable. The same request
	// may succeed later.
	CodeUnavailable Code = "unavailable"
	// CodeInternal means that the failure is a defect of Intray. The cause is logged and not sent to
	// the client.
	CodeInternal Code = "internal"
)

// Error is a failure whose text may be sent to the client. Detail is written for a person: it says
// what happened and what to do, and contains nothing confidential.
type Error struct {
	Code   Code
	Detail string
	Facts
}

// Facts are the facts about a failure that a client needs in order to describe it in the language
// of its user. A field with the zero value does not apply.
type Facts struct {
	// Pointer is the JSON pointer (RFC 6901) of the member of the request body that is at fault.
	Pointer string
	// Size is the size of the file, Limit the limit that was exceeded and Left how much of it is left.
	// They are in bytes, except that Limit is a number if the code is CodeTooManyPending or
	// CodeTooManyTopics.
	Size, Limit, Left *int64
	// AllowedTypes are the media types of which the file should have one. A subtype can be *.
	AllowedTypes []string
}

// Errorf returns an *Error whose detail is formatted as by fmt.Sprintf.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// With returns a copy of the error with the facts.
func (e *Error) With(f Facts) *Error {
	copied := *e
	copied.Facts = f
	return &copied
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Detail }

// Is reports whether target is an *Error with the same code and either the same detail or none.
// Therefore errors.Is(err, &Error{Code: c}) is true for every error with the code c.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Detail == "" || t.Detail == e.Detail)
}

// CodeOf returns the code of the *Error in err's chain, or CodeInternal if there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
