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

// traceStep adds a request as a span to the trace of its document. The request that creates the
// document begins the trace. Requests that read a document are not added, because clients repeat
// them often.
func traceStep(c echo.Context, route string, document requestDocument, began time.Time) {
	r := c.Request()
	if !telemetry.Tracing() || r.Method == http.MethodGet && route == "/api/documents/:id" {
		return
	}
	name := r.Method + " " + route
	if !document.created {
		attribute := attribute.String("http.route", route)
		telemetry.Step(document.id, name, began, time.Now(), nil, attribute)
		return
	}
	headers := propagation.HeaderCarrier(r.Header)
	from := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(r.Context(), headers))
	telemetry.FirstStep(document.id, name, began, from)
}
