package api

import (
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
)

// requestDocument identifies the document that a request concerns, for the log and for traces. A
// handler whose path names no document returns it with its response or, in a documentError, with
// its error.
type requestDocument struct {
	id      uuid.UUID
	created bool // by this request
}

func (d requestDocument) document() requestDocument { return d }

// documentError is the error of a request that concerned a document.
type documentError struct {
	requestDocument
	cause error
}

func (e *documentError) Error() string { return e.cause.Error() }
func (e *documentError) Unwrap() error { return e.cause }

// requestDocumentKey is the key under which keepRequestDocument stores the document.
const requestDocumentKey = "request_document"

// keepRequestDocument is a middleware that stores the document of a handler's response in the
// request's context, from which requestDocumentOf reads it.
func keepRequestDocument(next StrictHandlerFunc, _ string) StrictHandlerFunc {
	return func(c echo.Context, request any) (any, error) {
		response, err := next(c, request)
		if r, ok := response.(interface{ document() requestDocument }); ok {
			c.Set(requestDocumentKey, r.document())
		}
		return response, err
	}
}

// requestDocumentOf returns the document that a request concerned: the one that the handler
// returned with its response or its error, or else the one that the path names. It returns false
// if there is none.
func requestDocumentOf(c echo.Context, route string, err error) (requestDocument, bool) {
	if d, ok := c.Get(requestDocumentKey).(requestDocument); ok {
		return d, true
	}
	var failed *documentError
	if errors.As(err, &failed) {
		return failed.requestDocument, true
	}
	if !strings.HasPrefix(route, "/api/documents/:id") {
		return requestDocument{}, false
	}
	id, err := uuid.Parse(c.Param("id"))
	return requestDocument{id: id}, err == nil
}
