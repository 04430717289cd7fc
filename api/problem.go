package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/schema"
)

// codeMethodNotAllowed is specific to HTTP, so package schema does not define it.
const codeMethodNotAllowed schema.Code = "method_not_allowed"

// problemTypes maps each error code to its HTTP status and to the title of its problem document.
var problemTypes = map[schema.Code]struct {
	status int
	title  string
}{
	schema.CodeUnauthenticated:     {http.StatusUnauthorized, "Not authenticated"},
	schema.CodeForbidden:           {http.StatusForbidden, "Forbidden"},
	schema.CodeNotFound:            {http.StatusNotFound, "Not found"},
	codeMethodNotAllowed:           {http.StatusMethodNotAllowed, "Method not allowed"},
	schema.CodeObjectMissing:       {http.StatusConflict, "File missing"},
	schema.CodeWrongStatus:         {http.StatusConflict, "Wrong status"},
	schema.CodeNotDownloadable:     {http.StatusConflict, "Not downloadable"},
	schema.CodeNameTaken:           {http.StatusConflict, "Name already taken"},
	schema.CodeTooManyPending:      {http.StatusConflict, "Too many pending documents"},
	schema.CodeTooManyTopics:       {http.StatusConflict, "Too many topics"},
	schema.CodeVersionMismatch:     {http.StatusPreconditionFailed, "Version mismatch"},
	schema.CodeQuotaExceeded:       {http.StatusRequestEntityTooLarge, "Quota exceeded"},
	schema.CodeTooLarge:            {http.StatusRequestEntityTooLarge, "Too large"},
	schema.CodeTypeNotAllowed:      {http.StatusUnsupportedMediaType, "Type not allowed"},
	schema.CodeInvalid:             {http.StatusUnprocessableEntity, "Invalid request"},
	schema.CodeUnknownTopic:        {http.StatusUnprocessableEntity, "Unknown topic"},
	schema.CodeIdempotencyMismatch: {http.StatusUnprocessableEntity, "Different request"},
	schema.CodeRateLimited:         {http.StatusTooManyRequests, "Too many requests"},
	schema.CodeInternal:            {http.StatusInternalServerError, "Internal error"},
	schema.CodeUnavailable:         {http.StatusServiceUnavailable, "Unavailable"},
}

// unavailableRetryAfter is the Retry-After of a 503 response.
const unavailableRetryAfter = 2 * time.Second

// errInaccessible means that storage cannot read the file of the document, although it serves other
// files. The consumers try again, and then report the document to the operators as a dead letter.
var errInaccessible = schema.Errorf(schema.CodeUnavailable,
	"Storage cannot read the file of this document, although it serves other files. The file is kept "+
		"and the operators can see the failure. Do not upload it again; try again later.")

// inaccessibleRetryAfter is the Retry-After of that response. A damaged file is not repaired within
// seconds.
const inaccessibleRetryAfter = time.Minute

// retryError is an error after which the client may repeat the request unchanged.
type retryError struct {
	cause *schema.Error
	after time.Duration // becomes Retry-After
}

func (e *retryError) Error() string { return e.cause.Error() }
func (e *retryError) Unwrap() error { return e.cause }

// clientError returns the error that is sent to the client for err. It replaces the text of an
// internal error with one that reveals nothing about the server.
func clientError(err error) *schema.Error {
	var ours *schema.Error
	var tooLong *http.MaxBytesError
	var framework *echo.HTTPError
	var old *postgres.OutdatedSchemaError
	var notReady *notReadyError
	switch {
	case errors.As(err, &ours) && ours.Code != schema.CodeInternal &&
		ours.Code != schema.CodeUnavailable:
		return ours
	case errors.As(err, &tooLong):
		return schema.Errorf(schema.CodeTooLarge,
			"The request body is larger than %d bytes. Send a smaller one.", tooLong.Limit).
			With(schema.Facts{Limit: &tooLong.Limit})
	case errors.As(err, &framework):
		return echoError(framework)
	case errors.As(err, &old):
		return schema.Errorf(schema.CodeUnavailable,
			`The database is at version %d and this program needs version %d. `+
				`Run "intray migrate up".`, old.Version, old.Required)
	case errors.Is(err, minio.ErrInaccessible):
		return errInaccessible
	case errors.As(err, &notReady):
		return schema.Errorf(schema.CodeUnavailable, "%s Try again in a few seconds.", notReady.part)
	case errors.Is(err, postgres.ErrAborted):
		return schema.Errorf(schema.CodeUnavailable,
			"The database could not finish this request in time, for example because the same data is "+
				"being changed. Try again in a few seconds.")
	case errors.Is(err, postgres.ErrUnavailable), errors.Is(err, minio.ErrUnavailable),
		errors.Is(err, context.DeadlineExceeded), schema.CodeOf(err) == schema.CodeUnavailable:
		return schema.Errorf(schema.CodeUnavailable,
			"A server that the API depends on does not respond or refuses writes. "+
				"Try again in a few seconds.")
	default:
		return internalError()
	}
}

// echoError returns the error that is sent to the client for an error of echo's router or of the
// generated parameter binding. Their own messages name Go types.
func echoError(err *echo.HTTPError) *schema.Error {
	switch err.Code {
	case http.StatusNotFound:
		return schema.Errorf(schema.CodeNotFound,
			"The API has no such path. /api/openapi.yaml lists its paths.")
	case http.StatusMethodNotAllowed:
		return schema.Errorf(codeMethodNotAllowed,
			"The path does not support this method. The Allow header lists the methods it supports.")
	case http.StatusUnsupportedMediaType:
		return errNotJSON
	case http.StatusBadRequest:
		return bindingError(err)
	default:
		return internalError()
	}
}

// bindingError returns the error that is sent to the client if the generated code cannot convert a
// parameter or the request body.
func bindingError(err *echo.HTTPError) *schema.Error {
	message := fmt.Sprint(err.Message)
	for _, before := range []string{
		"Invalid format for parameter ", "Expected one value for ",
	} {
		if _, after, found := strings.Cut(message, before); found {
			name, _, _ := strings.Cut(after, ":")
			name, _, _ = strings.Cut(name, ",")
			return schema.Errorf(schema.CodeInvalid,
				"The parameter %q is malformed or was sent more than once. "+
					"/api/openapi.yaml describes its format.", name)
		}
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return schema.Errorf(schema.CodeInvalid,
			"The value of the member %q of the request body is out of range.", mismatch.Field)
	}
	return schema.Errorf(schema.CodeInvalid,
		"The request body cannot be read. Send JSON in the format that /api/openapi.yaml describes.")
}

func internalError() *schema.Error {
	return schema.Errorf(schema.CodeInternal,
		"An unexpected error occurred on the server. Report it with the %s of this response.",
		requestIDHeader)
}

// writeProblem responds with the problem document for err, unless a response has already begun.
func writeProblem(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	e := clientError(err)
	h := c.Response().Header()
	body := problemOf(err, h.Get(requestIDHeader))
	var retry *retryError
	switch {
	case errors.As(err, &retry):
		h.Set("Retry-After", seconds(retry.after))
	case e == errInaccessible:
		h.Set("Retry-After", seconds(inaccessibleRetryAfter))
	case e.Code == schema.CodeUnavailable:
		h.Set("Retry-After", seconds(unavailableRetryAfter))
	case e.Code == schema.CodeUnauthenticated:
		h.Set("WWW-Authenticate", "Bearer")
	}
	h.Set("Content-Type", "application/problem+json")
	c.Response().WriteHeader(body.Status)
	// An error here means that the client has disconnected. observe logs that.
	_ = json.NewEncoder(c.Response()).Encode(body)
}

// problemOf returns the problem document for err.
func problemOf(err error, requestID string) Problem {
	e := clientError(err)
	problem, known := problemTypes[e.Code]
	if !known {
		e, problem = internalError(), problemTypes[schema.CodeInternal]
	}
	if e == errHeadersTooLarge {
		problem.status = http.StatusRequestHeaderFieldsTooLarge
	}
	body := Problem{
		Type:      "urn:intray:problem:" + string(e.Code),
		Title:     problem.title,
		Status:    problem.status,
		Detail:    e.Detail,
		Code:      ProblemCode(e.Code),
		RequestID: requestID,
		Pointer:   nilIfEmpty(e.Pointer),
		Size:      e.Size,
		Limit:     e.Limit,
		Left:      e.Left,
	}
	if len(e.AllowedTypes) > 0 {
		body.AllowedTypes = &e.AllowedTypes
	}
	if about, ok := errors.AsType[*documentStateError](err); ok {
		body.Document = &about.document
	}
	return body
}

// seconds returns d in whole seconds, rounded up and at least 1, as used in Retry-After.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}
