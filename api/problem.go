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

// codeMethodNotAllowed is of HTTP alone; nothing else can meet it.
const codeMethodNotAllowed schema.Code = "method_not_allowed"

// kinds is the one table of what each code means in HTTP.
var kinds = map[schema.Code]struct {
	status int
	title  string
}{
	schema.CodeUnauthenticated: {http.StatusUnauthorized, "Not authenticated"},
	schema.CodeForbidden:       {http.StatusForbidden, "Forbidden"},
	schema.CodeNotFound:        {http.StatusNotFound, "Not found"},
	codeMethodNotAllowed:       {http.StatusMethodNotAllowed, "Method not allowed"},
	schema.CodeObjectMissing:   {http.StatusConflict, "No file is there"},
	schema.CodeWrongStatus:     {http.StatusConflict, "Wrong status"},
	schema.CodeNotDownloadable: {http.StatusConflict, "Not downloadable"},
	schema.CodeNameTaken:       {http.StatusConflict, "Name is taken"},
	schema.CodeTooManyPending:  {http.StatusConflict, "Too many pending documents"},
	schema.CodeQuotaExceeded:   {http.StatusRequestEntityTooLarge, "Quota exceeded"},
	schema.CodeTooLarge:        {http.StatusRequestEntityTooLarge, "Too large"},
	schema.CodeTypeNotAllowed:  {http.StatusUnsupportedMediaType, "Type not allowed"},
	schema.CodeInvalid:         {http.StatusUnprocessableEntity, "Invalid request"},
	schema.CodeUnknownTopic:    {http.StatusUnprocessableEntity, "Unknown topic"},
	schema.CodeRateLimited:     {http.StatusTooManyRequests, "Too many requests"},
	schema.CodeInternal:        {http.StatusInternalServerError, "Internal error"},
	schema.CodeUnavailable:     {http.StatusServiceUnavailable, "Unavailable"},
}

// retryUnavailable is how long a client is asked to wait while a part is away.
const retryUnavailable = 2 * time.Second

// retryError is a refusal that passes with time.
type retryError struct {
	cause *schema.Error
	after time.Duration
}

func (e *retryError) Error() string { return e.cause.Error() }
func (e *retryError) Unwrap() error { return e.cause }

// clientError returns what the client is told about err. What is not meant for it
// becomes a sentence that gives nothing away.
func clientError(err error) *schema.Error {
	var ours *schema.Error
	var tooLong *http.MaxBytesError
	var framework *echo.HTTPError
	var old *postgres.OutdatedSchemaError
	switch {
	case errors.As(err, &ours) && ours.Code != schema.CodeInternal && ours.Code != schema.CodeUnavailable:
		return ours
	case errors.As(err, &tooLong):
		return schema.Errorf(schema.CodeTooLarge, "The request body is over %d bytes. Send less.", tooLong.Limit)
	case errors.As(err, &framework):
		return echoError(framework)
	case errors.As(err, &old):
		return schema.Errorf(schema.CodeUnavailable,
			`The database is at version %d and this program needs version %d. Run "intray migrate up".`, old.Version, old.Required)
	case errors.Is(err, postgres.ErrUnavailable), errors.Is(err, minio.ErrUnavailable),
		errors.Is(err, context.DeadlineExceeded), schema.CodeOf(err) == schema.CodeUnavailable:
		return schema.Errorf(schema.CodeUnavailable,
			"A part of the system does not answer at the moment. Try again in a few seconds.")
	default:
		return ourFault()
	}
}

// echoError is clientError for what the router and the generated binding refuse. Their own
// words name Go's types.
func echoError(err *echo.HTTPError) *schema.Error {
	switch err.Code {
	case http.StatusNotFound:
		return schema.Errorf(schema.CodeNotFound, "There is nothing at this path. See /api/openapi.yaml for what there is.")
	case http.StatusMethodNotAllowed:
		return schema.Errorf(codeMethodNotAllowed, "This path does not have this method. The header Allow names those it has.")
	case http.StatusUnsupportedMediaType:
		return notJSON
	case http.StatusBadRequest:
		message := fmt.Sprint(err.Message)
		for _, before := range []string{"Invalid format for parameter ", "Expected one value for "} {
			if _, after, found := strings.Cut(message, before); found {
				name, _, _ := strings.Cut(after, ":")
				name, _, _ = strings.Cut(name, ",")
				return schema.Errorf(schema.CodeInvalid, "The parameter %q must be given once, in the form that the contract gives it.", name)
			}
		}
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) {
			return schema.Errorf(schema.CodeInvalid, "The member %q of the request body has a value that is out of range.", mismatch.Field)
		}
		return schema.Errorf(schema.CodeInvalid, "The request body cannot be read. Send valid JSON as the contract gives it.")
	default:
		return ourFault()
	}
}

func ourFault() *schema.Error {
	return schema.Errorf(schema.CodeInternal, "Something went wrong on the server. Report the %s of this answer.", requestIDHeader)
}

// writeProblem answers err with a problem, unless an answer has begun.
func writeProblem(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	e := clientError(err)
	kind, known := kinds[e.Code]
	if !known {
		e, kind = ourFault(), kinds[schema.CodeInternal]
	}
	h := c.Response().Header()
	var retry *retryError
	switch {
	case errors.As(err, &retry):
		h.Set("Retry-After", seconds(retry.after))
	case e.Code == schema.CodeUnavailable:
		h.Set("Retry-After", seconds(retryUnavailable))
	case e.Code == schema.CodeUnauthenticated:
		h.Set("WWW-Authenticate", "Bearer")
	}
	if e == errHeadersTooLarge {
		kind.status = http.StatusRequestHeaderFieldsTooLarge
	}
	h.Set("Content-Type", "application/problem+json")
	c.Response().WriteHeader(kind.status)
	// The client may be gone, which the request's log line tells.
	_ = json.NewEncoder(c.Response()).Encode(Problem{
		Type: "urn:intray:problem:" + string(e.Code), Title: kind.title, Status: kind.status,
		Detail: e.Detail, Code: ProblemCode(e.Code),
	})
}

// seconds is d in whole seconds, rounded up, as Retry-After has it.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}
