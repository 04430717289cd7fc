package postgres

import (
	"github.com/prometheus/client_golang/prometheus"

	"intray/schema"
)

var transitionsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "intray_transitions_total",
	Help: "Documents by the status that a committed transition gave them, and its reason. Some keep their status: new topics are one.",
}, []string{"status", "reason"})

// Metrics are what this package measures.
func Metrics() []prometheus.Collector { return []prometheus.Collector{transitionsTotal} }

// countTransitions counts documents that a committed transaction changed.
func countTransitions(changed []*schema.Document) {
	type key struct {
		status schema.Status
		reason schema.Reason
	}
	counts := make(map[key]int)
	for _, d := range changed {
		counts[key{d.Status, d.Reason}]++
	}
	for k, n := range counts {
		transitionsTotal.WithLabelValues(string(k.status), string(k.reason)).Add(float64(n))
	}
}
