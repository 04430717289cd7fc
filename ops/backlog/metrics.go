package backlog

import (
	"context"
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

// Every replica measures the same: queries take the maximum.
var (
	consumerPending = describe("consumer_pending",
		"Messages of a stream that were not delivered to a durable consumer yet.",
		"stream", "consumer")
	consumerAckPending = describe("consumer_ack_pending",
		"Messages that were delivered to a durable consumer and are not acknowledged yet.",
		"stream", "consumer")
	consumerRedelivered = describe("consumer_redelivered",
		"Unacknowledged messages that were delivered more than once. Messages that classify returned"+
			" to the stream until their user's turn are included.", "stream", "consumer")
	streamBytes    = describe("stream_bytes", "Size of a stream in bytes.", "stream")
	streamMaxBytes = describe("stream_max_bytes", "Maximum size of a stream in bytes.", "stream")
	queued         = describe("backlog",
		"Rows that are queued in the database, by kind: pending, unclassified, unpublished,"+
			" deletions, failing_deletions, dead_letters.", "kind")
	oldestSeconds = describe("backlog_oldest_seconds",
		"Age in seconds of the oldest queued row of a kind; 0 if there is none.", "kind")
	sweeperActive     = describe("sweeper_active", "1 while a replica runs the sweeper, else 0.")
	reconcileFindings = describe("reconcile_findings",
		"Differences between bucket and database that the last reconciliation found, by kind.",
		"kind")
	reconcileRemaining = describe("reconcile_remaining",
		"Differences between bucket and database that the last reconciliation did not repair.")
	dependencyUp = describe("dependency_up",
		"1 if the consumers can reach the dependency, else 0.", "dependency")
)

const (
	// readTimeout bounds one reading of the backlog.
	readTimeout = 2 * time.Second
	// cacheFor is how long a reading is shown again, so that frequent scrapes cost the
	// database nothing.
	cacheFor = 5 * time.Second
)

// Metrics is a prometheus.Collector that reads the backlog when it is scraped.
type Metrics struct {
	db      *postgres.DB
	conn    *nats.Conn
	storage func(context.Context) error
	log     *slog.Logger

	mu   sync.Mutex
	at   time.Time
	last []prometheus.Metric
}

// NewMetrics returns a Metrics. The database's role is the worker; storage fails if
// MinIO does not answer.
func NewMetrics(
	db *postgres.DB, conn *nats.Conn, storage func(context.Context) error, log *slog.Logger,
) *Metrics {
	return &Metrics{db: db, conn: conn, storage: storage, log: log}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		consumerPending, consumerAckPending, consumerRedelivered, streamBytes, streamMaxBytes,
		queued, oldestSeconds, sweeperActive, reconcileFindings, reconcileRemaining, dependencyUp,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What does not answer is left out, and
// intray_dependency_up reports it.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.at) > cacheFor {
		m.last = m.read()
		m.at = time.Now()
	}
	for _, metric := range m.last {
		to <- metric
	}
}

// reading collects the metrics of one reading.
type reading []prometheus.Metric

func (r *reading) add(d *prometheus.Desc, value float64, labels ...string) {
	*r = append(*r, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
}

// read reads every part concurrently. Each fails by itself: what the others gave
// stands.
func (m *Metrics) read() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	var (
		database                     postgres.Backlog
		events                       Events
		storageErr, natsErr, dataErr error
		reads                        sync.WaitGroup
	)
	reads.Go(func() { storageErr = m.storage(ctx) })
	reads.Go(func() { events, natsErr = ReadEvents(ctx, m.conn) })
	reads.Go(func() { database, dataErr = m.db.Backlog(ctx) })
	reads.Wait()

	var r reading
	for dependency, err := range map[string]error{
		"postgres": dataErr, "nats": natsErr, "minio": storageErr,
	} {
		r.add(dependencyUp, truth(err == nil), dependency)
		if err != nil {
			m.log.Debug("the backlog cannot be measured", "dependency", dependency, "error", err)
		}
	}
	if natsErr == nil {
		r.addEvents(events)
	}
	if dataErr == nil {
		r.addDatabase(database, time.Now())
	}
	last, err := m.db.LastReconciliation(ctx)
	if err != nil {
		m.log.Debug("the last reconciliation cannot be read", "error", err)
	} else {
		r.addReconciliation(last)
	}
	return r
}

func (r *reading) addEvents(e Events) {
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

func (r *reading) addDatabase(b postgres.Backlog, now time.Time) {
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
		r.add(oldestSeconds, Age(at, now).Seconds(), kind)
	}
	r.add(sweeperActive, truth(b.SweeperActive))
}

// addReconciliation adds what the last reconciliation found; last is nil if there
// was none yet.
func (r *reading) addReconciliation(last *postgres.Reconciliation) {
	if last == nil {
		r.add(reconcileRemaining, 0)
		return
	}
	r.add(reconcileRemaining, float64(last.Remaining))
	for kind, n := range last.Differences {
		r.add(reconcileFindings, float64(n), kind)
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
