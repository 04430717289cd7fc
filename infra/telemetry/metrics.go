package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics answers /metrics with what the collectors measure, and with what Go and
// the process say of themselves, in Prometheus's text format. A collector that
// fails is left out, and the others are answered. It panics if two collectors have
// a name in common, which is a mistake of the program's.
//
// No label holds a user, a document, a key or a raw path: names of series must not
// grow with use.
func Metrics(all ...prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(all...)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}
