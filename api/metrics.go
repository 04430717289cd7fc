package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"intray/schema"
)

var (
	requestsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_api_requests_total",
		Help: "Requests by method, route pattern and status. " +
			"The status is 499 if the client disconnected before the response.",
	}, []string{"method", "route", "status"})
	requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "intray_api_request_seconds",
		Help: "Duration of requests in seconds, " +
			"without event streams and requests that wait for a change.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
	}, []string{"method", "route"})
	refusalsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_api_refusals_total",
		Help: "Error responses by problem code. " +
			"quota_exceeded counts the upload URLs that were refused because of the quota.",
	}, []string{"code"})
)

// Metrics returns the collectors of the API. The counters of refused uploads exist from the start
// with the value 0, so that the first refusal shows as an increase.
func Metrics() []prometheus.Collector {
	for _, code := range []schema.Code{schema.CodeQuotaExceeded, schema.CodeTooManyPending} {
		refusalsTotal.WithLabelValues(string(code))
	}
	return []prometheus.Collector{requestsTotal, requestSeconds, refusalsTotal}
}

// noRoute is the route label of requests whose path is unknown. The path itself must not be a
// label, because each value of a label creates a time series and clients can send any path.
const noRoute = "none"

// recordMetrics counts a request after its response. route is a route pattern or noRoute.
func recordMetrics(c echo.Context, route string, status int, err error, took time.Duration) {
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
	if err != nil && status != statusClientClosedRequest {
		refusalsTotal.WithLabelValues(string(clientError(err).Code)).Inc()
	}
}
