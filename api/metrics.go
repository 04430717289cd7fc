package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"intray/infra/postgres"
	"intray/infra/telemetry"
	"intray/schema"
)

var (
	requestsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_api_requests_total",
		Help: "Requests by the route's pattern and status; 499 where the client was gone.",
	}, []string{"method", "route", "status"})
	requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "intray_api_request_seconds",
		Help:    "How long requests took, those aside that wait for a change or are streams.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
	}, []string{"method", "route"})
	refusalsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_api_refusals_total",
		Help: "Answers that are problems, by their code: quota_exceeded are the upload URLs that were refused early.",
	}, []string{"code"})
)

// newMetrics shows what the API and its fallback measure. Refusals for want of space
// are there from the start, as 0: the first one is an increase.
func newMetrics() http.Handler {
	for _, code := range []schema.Code{schema.CodeQuotaExceeded, schema.CodeTooManyPending} {
		refusalsTotal.WithLabelValues(string(code))
	}
	return telemetry.Metrics(slices.Concat([]prometheus.Collector{requestsTotal, requestSeconds, refusalsTotal}, postgres.Metrics())...)
}

// noRoute stands for the paths at which nothing is: each value of a label makes a
// series, and clients may make up as many paths as they like.
const noRoute = "none"

// measure counts a request that was answered. Its route is a pattern, or noRoute.
func measure(c echo.Context, route string, status int, err error, took time.Duration) {
	method := c.Request().Method
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	requestsTotal.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	if route != eventsPath && preferredWait(c.Request().Header) == 0 {
		requestSeconds.WithLabelValues(method, route).Observe(took.Seconds())
	}
	if err != nil && status != statusClientGone {
		refusalsTotal.WithLabelValues(string(clientError(err).Code)).Inc()
	}
}

// metricsAnswer is the answer of GetMetrics, in the text format.
type metricsAnswer struct {
	ctx     context.Context
	handler http.Handler
}

// VisitGetMetricsResponse implements GetMetricsResponseObject.
func (a metricsAnswer) VisitGetMetricsResponse(w http.ResponseWriter) error {
	r, err := http.NewRequestWithContext(a.ctx, http.MethodGet, "/metrics", http.NoBody)
	if err != nil {
		return err
	}
	a.handler.ServeHTTP(w, r)
	return nil
}

// GetMetrics gives what the process measures.
func (s *server) GetMetrics(ctx context.Context, _ GetMetricsRequestObject) (GetMetricsResponseObject, error) {
	return metricsAnswer{ctx, s.metrics}, nil
}
