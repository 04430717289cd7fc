package gateway

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
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
