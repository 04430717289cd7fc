package postgres

import (
	"github.com/prometheus/client_golang/prometheus"

	"intray/schema"
)

var transitionsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "intray_transitions_total",
	Help: "Committed transitions of documents, by the new status and its reason. " +
		"A transition can keep the status, for example one that sets topics.",
}, []string{"status", "reason"})

// Metrics returns the metrics of this package. The counters of unwanted outcomes exist from the
// start with the value 0, so that the first such outcome is an increase.
func Metrics() []prometheus.Collector {
	for reason, status := range map[schema.Reason]schema.Status{
		schema.ReasonQuotaExceeded:  schema.StatusRejected,
		schema.ReasonSizeMismatch:   schema.StatusRejected,
		schema.ReasonAIUnavailable:  schema.StatusFailed,
		schema.ReasonContentChanged: schema.StatusQuarantined,
	} {
		transitionsTotal.WithLabelValues(string(status), string(reason))
	}
	return []prometheus.Collector{transitionsTotal}
}

// countTransitions counts the documents whose version a committed transaction changed.
func countTransitions(w *pendingWrites) {
	type key struct {
		status schema.Status
		reason schema.Reason
	}
	counts := make(map[key]int)
	for i, d := range w.changed {
		if d.Version != w.versions[i] {
			counts[key{d.Status, d.Reason}]++
		}
	}
	for k, n := range counts {
		transitionsTotal.WithLabelValues(string(k.status), string(k.reason)).Add(float64(n))
	}
}
