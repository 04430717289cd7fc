package api

import (
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// subject is the document that a request is about where its path names none: the
// handler created it, or found it by its idempotency key. A handler returns it
// with its answer or, in a subjectError, with its failure.
type subject struct {
	document uuid.UUID
	created  bool
}

func (s subject) about() subject { return s }

// subjectError is the failure of a request that was about a document.
type subjectError struct {
	subject
	cause error
}

func (e *subjectError) Error() string { return e.cause.Error() }
func (e *subjectError) Unwrap() error { return e.cause }

// subjectKey is where keepSubject keeps the subject of an answer.
const subjectKey = "subject"

// keepSubject keeps the subject of a handler's answer for the middlewares around it.
func keepSubject(next StrictHandlerFunc, _ string) StrictHandlerFunc {
	return func(c echo.Context, request any) (any, error) {
		response, err := next(c, request)
		if r, ok := response.(interface{ about() subject }); ok {
			c.Set(subjectKey, r.about())
		}
		return response, err
	}
}

// subjectOf returns the document that a request was about: the one of its answer or
// of its failure, or that its path names.
func subjectOf(c echo.Context, route string, err error) (subject, bool) {
	if s, ok := c.Get(subjectKey).(subject); ok {
		return s, true
	}
	var failed *subjectError
	if errors.As(err, &failed) {
		return failed.subject, true
	}
	if !strings.HasPrefix(route, "/api/documents/:id") {
		return subject{}, false
	}
	id, err := uuid.Parse(c.Param("id"))
	return subject{document: id}, err == nil
}
