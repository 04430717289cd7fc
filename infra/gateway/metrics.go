package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"

	"intray/infra/telemetry"
	"intray/schema"
)

var (
	requestsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_gateway_requests_total",
		Help: "Requests by method and status; 0 where the connection ended before the answer.",
	}, []string{"method", "status"})
	bytesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_gateway_bytes_total",
		Help: "Bytes of files and answers: in from clients, out to them.",
	}, []string{"direction"})
	bytesIn, bytesOut = bytesTotal.WithLabelValues("in"), bytesTotal.WithLabelValues("out")
)

// Metrics are what this package measures. They are for a listener of their own:
// the gateway itself answers browsers, and nobody else.
func Metrics() []prometheus.Collector { return []prometheus.Collector{requestsTotal, bytesTotal} }

// count counts a request. A method that nobody needs is one with all others: each
// value makes a series.
func count(method string, status int) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions:
	default:
		method = "other"
	}
	requestsTotal.WithLabelValues(method, strconv.Itoa(status)).Inc()
}

// trace adds a transfer to its document's trace. Only a status of MinIO's own shows
// that the URL was good: the others are anybody's.
func trace(r *http.Request, status int, began time.Time) {
	if !telemetry.Tracing() || status/100 != 2 || r.Method == http.MethodOptions {
		return
	}
	if id, ok := schema.DocumentID(r.URL.Path[strings.LastIndex(r.URL.Path, "/"+schema.ObjectPrefix)+1:]); ok {
		telemetry.Step(id, r.Method+" object", began, time.Now(), nil, attribute.Int64("bytes", max(0, r.ContentLength)))
	}
}
