package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"intray/infra/telemetry/buildinfo"
)

// MetricsHandler returns a handler of /metrics. It answers with the metrics of the collectors, of the
// Go runtime, of the process and of its build, in Prometheus's text format. A collector that
// fails is left out of the answer. MetricsHandler panics if two collectors have a name in common,
// which is a programming error.
//
// No label holds a user, a document, a key or a raw path: names of series must not
// grow with use.
func MetricsHandler(all ...prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		buildinfo.Metric(),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	registry.MustRegister(all...)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}
