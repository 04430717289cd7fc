package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"intray/infra/telemetry"
)

// aboutDocument is the document that a request is about: the one that it made, or that
// its path names.
func aboutDocument(c echo.Context, route string, who *caller) (uuid.UUID, bool) {
	if who.document != uuid.Nil {
		return who.document, true
	}
	if !strings.HasPrefix(route, "/api/documents/:id") {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(c.Param("id"))
	return id, err == nil
}

// traceStep adds a request to its document's trace, which one that makes the document
// begins. Looking at a document, which clients do again and again, is none.
func traceStep(c echo.Context, route string, document uuid.UUID, who *caller, began time.Time) {
	r := c.Request()
	if !telemetry.Tracing() || r.Method == http.MethodGet && route == "/api/documents/:id" {
		return
	}
	name := r.Method + " " + route
	if !who.made {
		telemetry.Step(document, name, began, time.Now(), nil, attribute.String("http.route", route))
		return
	}
	from := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
	telemetry.Begun(document, name, began, from)
}
