package runner

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"intray/infra/ai"
	"intray/infra/telemetry"
	"intray/schema"
)

// The metrics of the consumers. Counters are updated once per batch, because confirm handles
// thousands of messages per second.
var (
	eventsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_events_total",
		Help: "Messages handled, by outcome: done, retried, postponed, " +
			"outage (a dependency was unavailable), dead (dead-lettered).",
	}, []string{"stream", "consumer", "kind", "outcome"})
	redeliveriesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_redeliveries_total",
		Help: "Redelivered messages, except those that this replica returned to the stream " +
			"to wait for their turn.",
	}, []string{"stream", "consumer"})
	batchMessages = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "intray_batch_messages",
		Help:    "Messages per batch.",
		Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
	}, []string{"stream", "consumer"})
	batchSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "intray_batch_seconds",
		Help:    "Time from the delivery of a batch to its acknowledgment.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
	}, []string{"stream", "consumer"})
	confirmSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "intray_confirm_seconds",
		Help: "Time from MinIO's event for an upload until its document is uploaded, " +
			"for uploads confirmed because of an event.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900},
	})
	classifySeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "intray_classify_seconds",
		Help:    "Time per call to an AI provider, by outcome: ok, unavailable, refused, invalid, error.",
		Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
	}, []string{"provider", "outcome"})
	sweeperActionsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_sweeper_actions_total",
		Help: "Actions of the sweeper, by kind: confirmed, expired, " +
			"republished (events that were still unpublished), " +
			"unclassified (events published again for documents still unclassified), " +
			"deleted (objects), purged (rows).",
	}, []string{"kind"})
)

// Metrics returns the metrics of the consumers. It creates the counter of each kind of sweeper
// action, so that they start at 0 and the first action shows as an increase.
func Metrics() []prometheus.Collector {
	for _, kind := range []string{
		"confirmed", "expired", "republished", "unclassified", "deleted", "purged",
	} {
		sweeperActionsTotal.WithLabelValues(kind)
	}
	return []prometheus.Collector{
		eventsTotal, redeliveriesTotal, batchMessages, batchSeconds,
		confirmSeconds, classifySeconds, sweeperActionsTotal,
	}
}

// ObserveConfirm records the time between an upload's event and its confirmation. It ignores an
// event that has no time or is later than now, which means that the clocks differ.
func ObserveConfirm(at, now time.Time) {
	if took := now.Sub(at); !at.IsZero() && took >= 0 {
		confirmSeconds.Observe(took.Seconds())
	}
}

// ObserveAICall records the duration and the outcome of a call to an AI provider.
func ObserveAICall(provider string, took time.Duration, err error) {
	outcome := "ok"
	switch {
	case err == nil:
	case errors.Is(err, ai.ErrUnavailable):
		outcome = "unavailable"
	case errors.Is(err, ai.ErrRefused):
		outcome = "refused"
	case errors.Is(err, ai.ErrInvalidAnswer):
		outcome = "invalid"
	default:
		outcome = "error"
	}
	classifySeconds.WithLabelValues(provider, outcome).Observe(took.Seconds())
}

// TraceClassify adds two steps to a document's trace: the wait between its event and began, and the
// classification between began and now, which ended with err. It ignores postponed messages.
func TraceClassify(e schema.DocumentEvent, began time.Time, err error) {
	if !telemetry.Tracing() || Postponed(err) {
		return
	}
	telemetry.Step(e.DocumentID, e.Subject(), e.At, began, nil)
	telemetry.Step(e.DocumentID, schema.ConsumerClassify, began, time.Now(), err)
}

// CountSweeperActions adds n to the sweeper's actions of a kind.
func CountSweeperActions(kind string, n int) {
	if n > 0 {
		sweeperActionsTotal.WithLabelValues(kind).Add(float64(n))
	}
}

// Outcomes of a message, as values of the label outcome.
const (
	outcomeDone      = "done"
	outcomeRetried   = "retried"
	outcomePostponed = "postponed"
	outcomeOutage    = "outage"
	outcomeDead      = "dead"
)

// observeBatch updates the metrics after a batch. returned holds the sequences of the messages that
// were redelivered because the runner had returned them to the stream, which does not count as a
// redelivery.
func (r *Runner[T]) observeBatch(
	batch []*inFlight[T], took time.Duration, returned map[uint64]bool,
) {
	stream, consumer := r.config.Stream, r.config.Consumer
	type key struct{ kind, outcome string }
	counts := make(map[key]int)
	again := 0
	for _, f := range batch {
		counts[key{kindOf(f.raw.Subject()), f.outcome}]++
		if f.meta.NumDelivered > 1 && !returned[f.message.Sequence] {
			again++
		}
	}
	for k, n := range counts {
		eventsTotal.WithLabelValues(stream, consumer, k.kind, k.outcome).Add(float64(n))
	}
	redeliveriesTotal.WithLabelValues(stream, consumer).Add(float64(again))
	batchMessages.WithLabelValues(stream, consumer).Observe(float64(len(batch)))
	batchSeconds.WithLabelValues(stream, consumer).Observe(took.Seconds())
}

// kindOf returns the value of the label kind for a subject. To limit the number of values, it omits
// the name of a replay and returns "other" for subjects that Intray does not use.
func kindOf(subject string) string {
	switch subject {
	case schema.SubjectCreatedDirect, schema.SubjectCreatedDurable, schema.SubjectRemovedDurable,
		schema.SubjectDocumentUploaded:
		return subject
	}
	for _, consumer := range []string{schema.ConsumerConfirm, schema.ConsumerClassify} {
		prefix := "replay." + consumer
		if strings.HasPrefix(subject, prefix+".") {
			return prefix
		}
	}
	return "other"
}
