package postgres

import (
	"github.com/prometheus/client_golang/prometheus"

	"intray/schema"
)

var transitionsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "intray_transitions_total",
	Help: "Documents by the status that a committed transition gave them, and its reason. Some keep their status: new topics are one.",
}, []string{"status", "reason"})

// Metrics are what this package measures. How documents end that nobody wants to end
// so is there from the start, as 0: the first one is an increase.
func Metrics() []prometheus.Collector {
	for reason, status := range map[schema.Reason]schema.Status{
		schema.ReasonQuotaExceeded: schema.StatusRejected, schema.ReasonSizeMismatch: schema.StatusRejected,
		schema.ReasonAIUnavailable: schema.StatusFailed, schema.ReasonContentChanged: schema.StatusQuarantined,
	} {
		transitionsTotal.WithLabelValues(string(status), string(reason))
	}
	return []prometheus.Collector{transitionsTotal}
}

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
