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
	lagWaiting = describe("consumer_waiting", "Messages that a durable consumer was not given yet.", "stream", "consumer")
	lagInHand  = describe("consumer_in_hand", "Messages that a durable consumer has not acknowledged.", "stream", "consumer")
	lagAgain   = describe("consumer_redelivered", "Messages in hand that were delivered before, also those that classify gave back until their user's turn.", "stream", "consumer")
	streamSize = describe("stream_bytes", "What a stream holds, in bytes.", "stream")
	streamMost = describe("stream_max_bytes", "What a stream may hold, in bytes.", "stream")
	waits      = describe("backlog", "What waits in the database: pending, unclassified, unannounced, deletions, failing_deletions, dead_letters.", "kind")
	oldest     = describe("backlog_oldest_seconds", "The age of the oldest that waits; 0 where nothing does.", "kind")
	swept      = describe("swept", "1 while a replica sweeps.")
	driftFound = describe("drift_findings", "Differences between bucket and database that the last reconciliation found, by kind.", "kind")
	driftLeft  = describe("drift_left", "Differences that the last reconciliation left to an operator.")
	reachable  = describe("reachable", "1 while the part answers the consumers.", "part")
)

// lookFor bounds a look; lookEvery is how old one may be that is shown again, so
// that reading the metrics often costs the database nothing.
const lookFor, lookEvery = 2 * time.Second, 5 * time.Second

// Metrics measures the backlog when it is asked.
type Metrics struct {
	db      *postgres.DB
	conn    *nats.Conn
	storage func(context.Context) error
	log     *slog.Logger

	mu   sync.Mutex
	at   time.Time
	last []prometheus.Metric
}

// NewMetrics returns the collector of what waits. The database's role is the worker;
// storage says whether MinIO answers.
func NewMetrics(db *postgres.DB, conn *nats.Conn, storage func(context.Context) error, log *slog.Logger) *Metrics {
	return &Metrics{db: db, conn: conn, storage: storage, log: log}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagWaiting, lagInHand, lagAgain, streamSize, streamMost, waits, oldest, swept, driftFound, driftLeft, reachable} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What does not answer is left out, and
// intray_reachable says so.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.at) > lookEvery {
		m.last = m.look()
		m.at = time.Now()
	}
	for _, metric := range m.last {
		to <- metric
	}
}

func (m *Metrics) look() (all []prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), lookFor)
	defer cancel()
	add := func(d *prometheus.Desc, value float64, labels ...string) {
		all = append(all, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
	}
	var storageErr error
	var asked sync.WaitGroup
	asked.Go(func() { storageErr = m.storage(ctx) })
	b, e, dbErr, natsErr := Read(ctx, m.db, m.conn)
	asked.Wait()
	for part, err := range map[string]error{"postgres": dbErr, "nats": natsErr, "minio": storageErr} {
		add(reachable, truth(err == nil), part)
		if err != nil {
			m.log.Debug("the backlog cannot be measured", "component", part, "error", err)
		}
	}
	if natsErr == nil {
		for _, c := range e.Consumers {
			add(lagWaiting, float64(c.Waiting), c.Stream, c.Name)
			add(lagInHand, float64(c.InHand), c.Stream, c.Name)
			add(lagAgain, float64(c.Redelivered), c.Stream, c.Name)
		}
		for _, s := range e.Streams {
			add(streamSize, float64(s.Bytes), s.Name)
			add(streamMost, float64(s.MaxBytes), s.Name)
		}
	}
	if dbErr == nil {
		now := time.Now()
		for kind, n := range map[string]int64{
			"pending": b.Pending, "unclassified": b.Unclassified, "unannounced": b.Unpublished, "deletions": b.Deletions,
			"failing_deletions": b.FailingDeletions, "dead_letters": b.DeadLetters,
		} {
			add(waits, float64(n), kind)
		}
		for kind, at := range map[string]*time.Time{
			"pending": b.OldestPending, "unclassified": b.OldestUnclassified, "unannounced": b.OldestUnpublished, "deletions": b.OldestDeletion,
		} {
			add(oldest, Age(at, now).Seconds(), kind)
		}
		add(swept, truth(b.Swept))
	}
	if r, err := m.db.Reconciliation(ctx); err != nil {
		m.log.Debug("the last reconciliation cannot be read", "error", err)
	} else if r == nil {
		add(driftLeft, 0)
	} else {
		add(driftLeft, float64(r.Left))
		for kind, n := range r.Found {
			add(driftFound, float64(n), kind)
		}
	}
	return all
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
