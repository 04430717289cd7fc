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

// Metrics returns the collectors of the API. The counters of uploads that were refused for
// lack of space exist from the start, as 0, so that the first refusal is an increase.
func Metrics() []prometheus.Collector {
	for _, code := range []schema.Code{schema.CodeQuotaExceeded, schema.CodeTooManyPending} {
		refusalsTotal.WithLabelValues(string(code))
	}
	return []prometheus.Collector{requestsTotal, requestSeconds, refusalsTotal}
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
