package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"intray/infra/telemetry"
)

// traceStep adds a request to its document's trace, which the request that creates the
// document begins. Reading a document, which clients do again and again, is no step.
func traceStep(c echo.Context, route string, about subject, began time.Time) {
	r := c.Request()
	if !telemetry.Tracing() || r.Method == http.MethodGet && route == "/api/documents/:id" {
		return
	}
	name := r.Method + " " + route
	if !about.created {
		attribute := attribute.String("http.route", route)
		telemetry.Step(about.document, name, began, time.Now(), nil, attribute)
		return
	}
	headers := propagation.HeaderCarrier(r.Header)
	from := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(r.Context(), headers))
	telemetry.FirstStep(about.document, name, began, from)
}
