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
	lagWaiting = describe("consumer_waiting",
		"Messages that a durable consumer was not given yet.", "stream", "consumer")
	lagInHand = describe("consumer_in_hand",
		"Messages that a durable consumer has not acknowledged.", "stream", "consumer")
	lagAgain = describe("consumer_redelivered",
		"Messages in hand that were delivered before, also those that classify gave back"+
			" until their user's turn.", "stream", "consumer")
	streamSize = describe("stream_bytes", "What a stream holds, in bytes.", "stream")
	streamMost = describe("stream_max_bytes", "What a stream may hold, in bytes.", "stream")
	waits      = describe("backlog",
		"What waits in the database: pending, unclassified, unannounced, deletions,"+
			" failing_deletions, dead_letters.", "kind")
	oldest = describe("backlog_oldest_seconds",
		"The age of the oldest that waits; 0 where nothing does.", "kind")
	swept      = describe("swept", "1 while a replica sweeps.")
	driftFound = describe("drift_findings",
		"Differences between bucket and database that the last reconciliation found, by kind.",
		"kind")
	driftLeft = describe("drift_left",
		"Differences that the last reconciliation left to an operator.")
	reachable = describe("reachable", "1 while the part answers the consumers.", "part")
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
		lagWaiting, lagInHand, lagAgain, streamSize, streamMost, waits, oldest, swept, driftFound,
		driftLeft, reachable,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What does not answer is left out, and
// intray_reachable reports it.
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
	for part, err := range map[string]error{
		"postgres": dataErr, "nats": natsErr, "minio": storageErr,
	} {
		r.add(reachable, truth(err == nil), part)
		if err != nil {
			m.log.Debug("the backlog cannot be measured", "component", part, "error", err)
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
		r.add(lagWaiting, float64(c.Waiting), c.Stream, c.Name)
		r.add(lagInHand, float64(c.InHand), c.Stream, c.Name)
		r.add(lagAgain, float64(c.Redelivered), c.Stream, c.Name)
	}
	for _, s := range e.Streams {
		r.add(streamSize, float64(s.Bytes), s.Name)
		r.add(streamMost, float64(s.MaxBytes), s.Name)
	}
}

func (r *reading) addDatabase(b postgres.Backlog, now time.Time) {
	for kind, n := range map[string]int64{
		"pending": b.Pending, "unclassified": b.Unclassified, "unannounced": b.Unpublished,
		"deletions": b.Deletions, "failing_deletions": b.FailingDeletions,
		"dead_letters": b.DeadLetters,
	} {
		r.add(waits, float64(n), kind)
	}
	for kind, at := range map[string]*time.Time{
		"pending": b.OldestPending, "unclassified": b.OldestUnclassified,
		"unannounced": b.OldestUnpublished, "deletions": b.OldestDeletion,
	} {
		r.add(oldest, Age(at, now).Seconds(), kind)
	}
	r.add(swept, truth(b.SweeperActive))
}

// addReconciliation adds what the last reconciliation found; last is nil if there
// was none yet.
func (r *reading) addReconciliation(last *postgres.Reconciliation) {
	if last == nil {
		r.add(driftLeft, 0)
		return
	}
	r.add(driftLeft, float64(last.Remaining))
	for kind, n := range last.Differences {
		r.add(driftFound, float64(n), kind)
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
