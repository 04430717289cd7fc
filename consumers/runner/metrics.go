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

// The metrics of the consumers. Counts are added once for a batch: confirm decides thousands of
// messages a second.
var (
	eventsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_events_total",
		Help: "Messages by what became of them: " +
			"done, retried, postponed, outage (a dependency was away), dead.",
	}, []string{"stream", "consumer", "kind", "outcome"})
	redeliveriesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_redeliveries_total",
		Help: "Messages that were delivered before, " +
			"without those that this replica gave back until their user's turn.",
	}, []string{"stream", "consumer"})
	batchMessages = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "intray_batch_messages",
		Help:    "Messages handled at once.",
		Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
	}, []string{"stream", "consumer"})
	batchSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "intray_batch_seconds",
		Help:    "How long a batch took from its delivery to its acknowledgment.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
	}, []string{"stream", "consumer"})
	confirmSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "intray_confirm_seconds",
		Help: "From the time that MinIO gives an upload's event to its document's being uploaded, " +
			"by events only.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900},
	})
	classifySeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "intray_classify_seconds",
		Help:    "Calls of an AI provider by outcome: ok, unavailable, refused, invalid, error.",
		Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
	}, []string{"provider", "outcome"})
	sweeperActionsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intray_sweeper_actions_total",
		Help: "What the sweeper had to do: confirmed, expired, announced, unclassified, deleted, purged.",
	}, []string{"kind"})
)

// Metrics returns the metrics of the consumers. Each kind of find exists from the start, as 0, so that
// the first one is an increase.
func Metrics() []prometheus.Collector {
	for _, kind := range []string{"confirmed", "expired", "republished", "unclassified", "deleted", "purged"} {
		sweeperActionsTotal.WithLabelValues(kind)
	}
	return []prometheus.Collector{
		eventsTotal, redeliveriesTotal, batchMessages, batchSeconds, confirmSeconds, classifySeconds, sweeperActionsTotal,
	}
}

// Confirmed measures an upload that was confirmed because of an event of the time at. It ignores an
// event without a time, or from a clock that is ahead.
func ObserveConfirm(at, now time.Time) {
	if took := now.Sub(at); !at.IsZero() && took >= 0 {
		confirmSeconds.Observe(took.Seconds())
	}
}

// AICalled measures a call of a configured AI provider.
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

// Classified adds to a document's trace how long its event waited, and how its classification ended.
// A postponed message adds nothing.
func TraceClassify(e schema.DocumentEvent, began time.Time, err error) {
	if !telemetry.Tracing() || Postponed(err) {
		return
	}
	telemetry.Step(e.DocumentID, e.Subject(), e.At, began, nil)
	telemetry.Step(e.DocumentID, schema.ConsumerClassify, began, time.Now(), err)
}

// Swept counts finds of the sweeper.
func CountSweeperActions(kind string, n int) {
	if n > 0 {
		sweeperActionsTotal.WithLabelValues(kind).Add(float64(n))
	}
}

// The outcomes of a message.
const (
	outcomeDone      = "done"
	outcomeRetried   = "retried"
	outcomePostponed = "postponed"
	outcomeOutage    = "outage"
	outcomeDead      = "dead"
)

// count measures a batch. gaveBack means that its messages were delivered again because the runner
// gave them back, which is not counted as redelivery.
func (r *Runner[T]) count(batch []*inFlight[T], took time.Duration, gaveBack bool) {
	stream, consumer := r.config.Stream, r.config.Consumer
	type key struct{ kind, outcome string }
	counts := make(map[key]int)
	again := 0
	for _, f := range batch {
		counts[key{kindOf(f.raw.Subject()), f.outcome}]++
		if f.meta.NumDelivered > 1 && !gaveBack {
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

// kindOf returns a subject without what would grow the number of labels: the name of a replay, and
// subjects that nobody of ours publishes.
func kindOf(subject string) string {
	switch subject {
	case schema.SubjectCreatedDirect, schema.SubjectCreatedDurable, schema.SubjectRemovedDurable,
		schema.SubjectDocumentUpload:
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
