package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"intray/infra/telemetry/buildinfo"
)

// MetricsHandler returns a handler for /metrics. In Prometheus's text format, it serves the metrics
// of the collectors, of the Go runtime, of the process and of its build. If a collector fails, the
// response contains the metrics of the others. MetricsHandler panics if two collectors have a
// metric with the same name, which is a programming error.
//
// Labels must not contain users, documents, object keys or request paths, because the number of
// time series must not grow with use.
func MetricsHandler(all ...prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		buildinfo.Metric(),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	registry.MustRegister(all...)
	options := promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}
	return promhttp.HandlerFor(registry, options)
}
