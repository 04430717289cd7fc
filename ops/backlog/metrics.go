package backlog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"intray/infra/nats"
	"intray/infra/postgres"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("intray_"+name, help, labels, nil)
}

// Every replica of the consumers exports the same values, so queries take their maximum.
var (
	consumerPending = describe("consumer_pending",
		"Messages of a stream that have not been delivered to a durable consumer yet.",
		"stream", "consumer")
	consumerAckPending = describe("consumer_ack_pending",
		"Messages that have been delivered to a durable consumer but not acknowledged yet.",
		"stream", "consumer")
	consumerRedelivered = describe("consumer_redelivered",
		"Unacknowledged messages that have been delivered more than once, including messages that"+
			" classify returned to the stream until their user's turn.", "stream", "consumer")
	streamBytes    = describe("stream_bytes", "Size of a stream in bytes.", "stream")
	streamMaxBytes = describe("stream_max_bytes", "Maximum size of a stream in bytes.", "stream")
	queued         = describe("backlog",
		"Rows that are queued in the database, by kind: pending, unclassified, unpublished,"+
			" deletions, failing_deletions, dead_letters. 10000 stands for 10000 or more.", "kind")
	oldestSeconds = describe("backlog_oldest_seconds",
		"Age in seconds of the oldest queued row of a kind; 0 if there is none.", "kind")
	sweeperActive = describe("sweeper_active",
		"1 while a replica runs the sweeper and answers, else 0.")
	reconcileAge = describe("reconcile_age_seconds",
		"Time in seconds since the last reconciliation finished, or since the installation.")
	reconcileFindings = describe("reconcile_findings",
		"Differences between bucket and database that the last reconciliation found, by kind.",
		"kind")
	reconcileRemaining = describe("reconcile_remaining",
		"Differences between bucket and database that the last reconciliation did not repair.")
	dependencyUp = describe("dependency_up",
		"1 if the consumers can use the dependency, else 0. PostgreSQL must accept writes.",
		"dependency")
)

const (
	// readTimeout is the timeout of one measurement.
	readTimeout = 2 * time.Second
	// cacheTTL is how long scrapes receive the same measurement, so that frequent scrapes do not load
	// the database.
	cacheTTL = 5 * time.Second
)

// Metrics is a prometheus.Collector that measures the backlog when it is scraped.
type Metrics struct {
	db      *postgres.DB
	conn    *nats.Conn
	storage func(context.Context) error
	log     *slog.Logger

	mu   sync.Mutex
	at   time.Time
	last []prometheus.Metric
}

// NewMetrics returns a Metrics. db must be connected as the database role worker. storage returns
// an error if MinIO cannot be reached.
func NewMetrics(
	db *postgres.DB, conn *nats.Conn, storage func(context.Context) error, log *slog.Logger,
) *Metrics {
	return &Metrics{db: db, conn: conn, storage: storage, log: log}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		consumerPending, consumerAckPending, consumerRedelivered, streamBytes, streamMaxBytes,
		queued, oldestSeconds, sweeperActive, reconcileAge, reconcileFindings, reconcileRemaining,
		dependencyUp,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector. It leaves out the metrics of a dependency that
// does not respond; intray_dependency_up reports that it is down.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.at) > cacheTTL {
		m.last = m.read()
		m.at = time.Now()
	}
	for _, metric := range m.last {
		to <- metric
	}
}

// measurement collects the metrics of one measurement.
type measurement []prometheus.Metric

func (r *measurement) add(d *prometheus.Desc, value float64, labels ...string) {
	*r = append(*r, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
}

// read measures all dependencies concurrently. If one fails, the metrics of the others are
// still returned.
func (m *Metrics) read() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	var (
		database                               postgres.Backlog
		events                                 Events
		storageErr, natsErr, dataErr, writeErr error
		reads                                  sync.WaitGroup
	)
	reads.Go(func() { storageErr = m.storage(ctx) })
	reads.Go(func() { events, natsErr = ReadEvents(ctx, m.conn) })
	reads.Go(func() { database, dataErr = m.db.Backlog(ctx) })
	reads.Go(func() { writeErr = m.db.Writable(ctx, 0) })
	reads.Wait()

	var r measurement
	for dependency, err := range map[string]error{
		"postgres": errors.Join(dataErr, writeErr), "nats": natsErr, "minio": storageErr,
	} {
		r.add(dependencyUp, boolValue(err == nil), dependency)
		if err != nil {
			m.log.Debug("failed to measure the backlog", "dependency", dependency, "error", err)
		}
	}
	if natsErr == nil {
		r.addEvents(events)
	}
	if dataErr == nil {
		r.addDatabase(database)
	}
	last, err := m.db.LastReconciliation(ctx)
	if err != nil {
		m.log.Debug("failed to read the last reconciliation", "error", err)
	} else {
		r.addReconciliation(last)
	}
	return r
}

func (r *measurement) addEvents(e Events) {
	for _, c := range e.Consumers {
		r.add(consumerPending, float64(c.Pending), c.Stream, c.Name)
		r.add(consumerAckPending, float64(c.AckPending), c.Stream, c.Name)
		r.add(consumerRedelivered, float64(c.Redelivered), c.Stream, c.Name)
	}
	for _, s := range e.Streams {
		r.add(streamBytes, float64(s.Bytes), s.Name)
		r.add(streamMaxBytes, float64(s.MaxBytes), s.Name)
	}
}

func (r *measurement) addDatabase(b postgres.Backlog) {
	for kind, n := range map[string]int64{
		"pending": b.Pending, "unclassified": b.Unclassified, "unpublished": b.Unpublished,
		"deletions": b.Deletions, "failing_deletions": b.FailingDeletions,
		"dead_letters": b.DeadLetters,
	} {
		r.add(queued, float64(n), kind)
	}
	for kind, at := range map[string]*time.Time{
		"pending": b.OldestPending, "unclassified": b.OldestUnclassified,
		"unpublished": b.OldestUnpublished, "deletions": b.OldestDeletion,
	} {
		r.add(oldestSeconds, Age(at, b.Now).Seconds(), kind)
	}
	r.add(sweeperActive, boolValue(b.SweeperActive))
	r.add(reconcileAge, b.ReconcileSeconds)
}

// addReconciliation adds the findings of the last reconciliation. last is nil if none has
// run yet.
func (r *measurement) addReconciliation(last *postgres.Reconciliation) {
	if last == nil {
		r.add(reconcileRemaining, 0)
		return
	}
	r.add(reconcileRemaining, float64(last.Remaining))
	for kind, n := range last.Differences {
		r.add(reconcileFindings, float64(n), kind)
	}
}

// boolValue returns 1 if ok is true, else 0.
func boolValue(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}
