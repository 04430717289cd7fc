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

var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)

// statusClientGone is logged where nobody was left to answer; nginx's number.
const statusClientGone = 499

// observe gives each request an id, answers its error with a problem, and logs
// one line for it: the route's pattern, never the query string or a header. What
// a problem must not say, such as the cause of a 500, is in that line. routes are the
// patterns that there are, by the time a request comes.
func observe(log *slog.Logger, routes map[string]bool) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			began := time.Now()
			id := c.Request().Header.Get(requestIDHeader)
			if !requestIDForm.MatchString(id) {
				id = uuid.NewString()
			}
			c.Response().Header().Set(requestIDHeader, id)

			r := c.Request()
			err := recovered(next, c)
			if err != nil {
				c.Error(err)
			}

			status, level := c.Response().Status, slog.LevelInfo
			route, took := c.Path(), time.Since(began)
			if !routes[route] {
				route = noRoute
			}
			attrs := []slog.Attr{
				slog.String("request_id", id), slog.String("method", r.Method), slog.String("route", route),
				slog.Duration("duration", took),
			}
			who := callerOf(c.Request().Context()) // contract has set it
			if who.id != uuid.Nil {
				attrs = append(attrs, slog.String("user_id", who.id.String()))
			}
			switch {
			case r.Context().Err() != nil:
				status = statusClientGone
			case status >= http.StatusInternalServerError:
				level = slog.LevelError
				attrs = append(attrs, slog.Any("error", err))
			}
			if about, ok := subjectOf(c, route, err); ok {
				attrs = append(attrs, slog.String("document_id", about.document.String()))
				if c.Response().Status < http.StatusBadRequest {
					traceStep(c, route, about, began)
				}
			}
			measure(c, route, status, err, took)
			log.LogAttrs(r.Context(), level, "request", append(attrs, slog.Int("status", status))...)
			return nil
		}
	}
}

// recovered turns a panic into an error. http.ErrAbortHandler goes on: it is how
// a handler cuts the connection.
func recovered(next echo.HandlerFunc, c echo.Context) (err error) {
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

// errHeadersTooLarge is answered 431.
var errHeadersTooLarge = schema.Errorf(
	schema.CodeTooLarge,
	"The request's address and headers are over %d bytes. Send less.",
	maxHeaders,
)

// bounds returns a middleware that limits a request's headers, its body and the time
// that it may take.
func bounds(timeouts Timeouts) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if headerSize(c.Request()) > maxHeaders {
				return errHeadersTooLarge
			}
			timeout := timeouts.of(c)
			if timeout > timeouts.Request {
				// net/http sets its own deadlines again for the next request.
				controller := http.NewResponseController(c.Response())
				at := time.Now().Add(timeout + answerTime)
				// A writer without deadlines, as in some tests, waits all the same.
				_, _ = controller.SetReadDeadline(at), controller.SetWriteDeadline(at)
			}
			ctx, cancel := context.WithTimeout(c.Request().Context(), timeout)
			defer cancel()
			r := c.Request().WithContext(ctx)
			if r.Body != nil {
				r.Body = http.MaxBytesReader(c.Response(), r.Body, maxBody)
			}
			c.SetRequest(r)
			return next(c)
		}
	}
}

// headerSize is what a request's first line and headers have in bytes.
func headerSize(r *http.Request) int {
	size := len(r.RequestURI)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// answerTime is what an answer has beyond the work for it to reach the client.
const answerTime = 10 * time.Second

// of returns the timeout of the work for a request. One that waits for a change has
// that time more, and a stream goes on until its token ends. net/http takes a
// connection whose read deadline passes meanwhile for one that the client closed.
func (t Timeouts) of(c echo.Context) time.Duration {
	r := c.Request()
	if r.Method != http.MethodGet {
		return t.Request
	}
	if c.Path() == eventsPath {
		if end, ok := tokenEnd(r.Header); ok {
			return max(time.Until(end), time.Second) // enough to refuse one that has ended
		}
	}
	return t.Request + min(preferredWait(r.Header), t.Wait)
}
