package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"intray/schema"
)

const requestIDHeader = "X-Request-Id"

var requestIDFormat = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)

// statusClientClosedRequest is the status that is logged if the client disconnected before the
// response. nginx uses the same number.
const statusClientClosedRequest = 499

// observe returns a middleware that assigns an id to each request, responds to an error with a
// problem document, records metrics, and logs one line per request, at level debug if it is a poll
// (isPoll). The line contains the route pattern, but no query string and no headers. It also
// contains details that must not be sent to the client, such as the cause of a 500. routes are the
// known route patterns; the map may be filled after the call, but before the first request.
func observe(log *slog.Logger, routes map[string]bool) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			began := time.Now()
			id := c.Request().Header.Get(requestIDHeader)
			if !requestIDFormat.MatchString(id) {
				id = uuid.NewString()
			}
			c.Response().Header().Set(requestIDHeader, id)

			r := c.Request()
			err := callRecovering(next, c)
			if err != nil {
				c.Error(err)
			}

			status, level := c.Response().Status, slog.LevelInfo
			route, took := c.Path(), time.Since(began)
			if !routes[route] {
				route = noRoute
			}
			attrs := []slog.Attr{
				slog.String("request_id", id),
				slog.String("method", r.Method),
				slog.String("route", route),
				slog.Duration("duration", took),
			}
			// The context is read from c because the contract middleware replaced the request.
			who := callerOf(c.Request().Context())
			if who.id != uuid.Nil {
				attrs = append(attrs, slog.String("user_id", who.id.String()))
			}
			switch {
			case r.Context().Err() != nil:
				status = statusClientClosedRequest
			case status >= http.StatusInternalServerError:
				level = slog.LevelError
				attrs = append(attrs, slog.Any("error", err))
			case isPoll(route, status):
				level = slog.LevelDebug
			}
			if document, ok := requestDocumentOf(c, route, err); ok {
				attrs = append(attrs, slog.String("document_id", document.id.String()))
				if c.Response().Status < http.StatusBadRequest {
					traceStep(c, route, document, began)
				}
			}
			recordMetrics(c, route, status, err, took)
			attrs = append(attrs, slog.Int("status", status))
			log.LogAttrs(r.Context(), level, "request", attrs...)
			return nil
		}
	}
}

// isPoll reports whether a request found nothing new: a health check that succeeded, or a repeated
// request whose result is unchanged. Their lines would outnumber all others.
func isPoll(route string, status int) bool {
	return status == http.StatusNotModified ||
		status == http.StatusOK && (route == "/healthz" || route == "/readyz")
}

// callRecovering calls next and returns a panic as an error. It does not recover from
// http.ErrAbortHandler, because a handler panics with it to close the connection.
func callRecovering(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return next(c)
}

// errHeadersTooLarge is the only CodeTooLarge error with status 431.
var errHeadersTooLarge = schema.Errorf(schema.CodeTooLarge,
	"The request line and headers are larger than %d bytes. Shorten them.", maxHeaders)

// requestLimits is a middleware that limits the size of a request's headers and body and the time
// that the request may take.
func (s *server) requestLimits(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if headerSize(c.Request()) > maxHeaders {
			return errHeadersTooLarge
		}
		timeout := s.timeout(c)
		if timeout > s.config.Timeouts.Request {
			// Extend the connection's deadlines for this request. net/http sets them again for the next
			// request. They matter even while the client sends nothing: when the read deadline passes,
			// net/http treats the connection as closed. An error is harmless: the writer does not support
			// deadlines, as in some tests.
			controller := http.NewResponseController(c.Response())
			at := time.Now().Add(timeout + responseTimeout)
			_, _ = controller.SetReadDeadline(at), controller.SetWriteDeadline(at)
		}
		ctx, cancel := context.WithTimeout(c.Request().Context(), timeout)
		defer cancel()
		r := c.Request().WithContext(ctx)
		if r.Body != nil {
			limit := int64(maxBody)
			if c.Path() == createUploadURLsPath {
				limit = maxUploadsBody
			}
			r.Body = http.MaxBytesReader(c.Response(), r.Body, limit)
		}
		c.SetRequest(r)
		return next(c)
	}
}

// headerSize returns the size of a request's line and headers in bytes.
func headerSize(r *http.Request) int {
	size := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// responseTimeout is how long sending the response may take after the processing timeout.
const responseTimeout = 10 * time.Second

// timeout returns the processing timeout of a request. If the request waits for a change, the
// timeout includes the wait. For an event stream it is the time until the token expires.
func (s *server) timeout(c echo.Context) time.Duration {
	r, timeouts := c.Request(), s.config.Timeouts
	if r.Method != http.MethodGet {
		return timeouts.Request
	}
	if c.Path() == eventsPath {
		if ttl, ok := s.tokenTTL(r.Header); ok {
			// Even a request with an expired token must have enough time to be refused.
			return max(ttl, time.Second)
		}
	}
	return timeouts.Request + min(preferredWait(r.Header), timeouts.Wait)
}
