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
		Help: "Requests by method and status. " +
			"The status is 0 if the connection ended before the response.",
	}, []string{"method", "status"})
	bytesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_gateway_bytes_total",
		Help: "Bytes of request and response bodies: in from clients, out to clients.",
	}, []string{"direction"})
	bytesIn, bytesOut = bytesTotal.WithLabelValues("in"), bytesTotal.WithLabelValues("out")
)

// Metrics returns the metrics of this package. They must be served on a private listener, because
// the gateway's own listener is public.
func Metrics() []prometheus.Collector { return []prometheus.Collector{requestsTotal, bytesTotal} }

// count counts a request. All unsupported methods share one label value, because each value creates
// a time series and clients can send any method.
func count(method string, status int) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodOptions:
	default:
		method = "other"
	}
	requestsTotal.WithLabelValues(method, strconv.Itoa(status)).Inc()
}

// trace adds a successful transfer to the trace of its document. Other transfers are left out,
// because only a success shows that the URL was valid: anyone can send an invalid one.
func trace(r *http.Request, status int, began time.Time) {
	if !telemetry.Tracing() || status/100 != 2 || r.Method == http.MethodOptions {
		return
	}
	key := r.URL.Path[strings.LastIndex(r.URL.Path, "/"+schema.ObjectPrefix)+1:]
	if id, ok := schema.DocumentID(key); ok {
		telemetry.Step(id, r.Method+" object", began, time.Now(), nil,
			attribute.Int64("bytes", max(0, r.ContentLength)))
	}
}
