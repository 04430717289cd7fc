package status

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"intray/infra/local"
	"intray/infra/minio"
	"intray/infra/nats"
	"intray/infra/postgres"
	"intray/ops/backlog"
	"intray/ops/replay"
	"intray/schema"
)

// Timeout is the timeout of one check. A component that has not responded by then counts as
// down.
const Timeout = 5 * time.Second

const (
	// recentWindow is the time window of Recent.
	recentWindow = 5 * time.Minute
	// listedReplays is how many of the newest replays are searched for replays that have not
	// ended.
	listedReplays = 20
	// recheckDelay is the time after which a consumer that seems to be stalled is checked
	// again.
	recheckDelay = 300 * time.Millisecond
)

// Checker checks the components of a system. DB is required; components whose fields are not
// set are not checked.
type Checker struct {
	DB *postgres.DB
	// Conn is connected as the operator.
	Conn *nats.Conn
	// MinIO is checked with its health endpoint. If a key is set, the bucket is also listed.
	MinIO minio.Config
	// Servers are the health checks of our own servers.
	Servers []Probe
	// DataDir is the data folder of "intray up", which contains MinIO's event queue.
	DataDir string
}

// Probe checks one component. Check fails if the component does not respond or is not healthy.
type Probe struct {
	Name  string
	Check func(context.Context) error
}

// Check checks all components concurrently, for at most Timeout, and judges the result.
func (c Checker) Check(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	s := Status{
		At: time.Now().UTC(), Problems: []string{}, Consumers: []backlog.Consumer{},
		Streams: []backlog.Stream{}, Replays: []replay.Report{}, Leaders: []Leader{},
	}
	probes := c.probes(&s)
	s.Components = make([]Component, len(probes))
	var running sync.WaitGroup
	for i, p := range probes {
		running.Go(func() {
			s.Components[i] = Component{Name: p.Name, Up: true}
			if err := p.Check(ctx); err != nil {
				s.Components[i].Up, s.Components[i].Error = false, err.Error()
			}
		})
	}
	running.Wait()
	if c.DataDir != "" {
		s.readQueue(c.DataDir)
	}
	s.Judge()
	return s
}

// probes returns the probes of all components. Each probe sets different fields of s, so that
// they can run concurrently.
func (c Checker) probes(s *Status) []Probe {
	database := func(ctx context.Context) error { return s.readDatabase(ctx, c.DB) }
	events := func(ctx context.Context) error { return s.readEvents(ctx, c.Conn) }
	all := []Probe{{"postgres", database}}
	if c.Conn != nil {
		all = append(all, Probe{"nats", events})
	}
	if c.MinIO.Endpoint != "" {
		all = append(all, Probe{"minio", c.checkStorage})
	}
	return append(all, c.Servers...)
}

// checkStorage fails if MinIO is not healthy. If a key is set, it also fails if the bucket
// cannot be listed with that key.
func (c Checker) checkStorage(ctx context.Context) error {
	err := minio.Ready(ctx, c.MinIO.Endpoint, c.MinIO.Secure)
	if err != nil || c.MinIO.Key.Access == "" {
		return err
	}
	objects, err := minio.NewObjects(c.MinIO)
	if err != nil {
		return err
	}
	defer objects.Close()
	_, err = objects.Page(ctx, schema.ObjectPrefix, "", 1)
	return err
}

func age(t *time.Time, now time.Time) Seconds { return Seconds(backlog.Age(t, now).Seconds()) }

// readDatabase sets Backlog, Leaders and Replays. It fails if PostgreSQL cannot be read or refuses
// writes.
func (s *Status) readDatabase(ctx context.Context, db *postgres.DB) error {
	b, err := db.Backlog(ctx)
	if err != nil {
		return err
	}
	s.Backlog = &Backlog{
		Pending: b.Pending, OldestPending: age(b.OldestPending, b.Now),
		Unclassified: b.Unclassified, OldestUnclassified: age(b.OldestUnclassified, b.Now),
		Unpublished: b.Unpublished, OldestUnpublished: age(b.OldestUnpublished, b.Now),
		Deletions: b.Deletions, FailingDeletions: b.FailingDeletions,
		OldestDeletion: age(b.OldestDeletion, b.Now), DeadLetters: b.DeadLetters,
		FailedAttempts: b.FailedAttempts, SweeperActive: b.SweeperActive,
		ReconcileAge: Seconds(b.ReconcileSeconds),
	}
	if b.LastFailure != nil {
		s.Backlog.LastFailure = *b.LastFailure
	}
	if b.OldestPendingID.Valid {
		s.Backlog.OldestPendingID = b.OldestPendingID.UUID.String()
	}
	last, err := db.LastReconciliation(ctx)
	if err != nil {
		return err
	}
	if last != nil {
		at := last.FinishedAt.UTC()
		s.Backlog.Drift, s.Backlog.ReconciledAt = last.Remaining, &at
	}
	for _, role := range []string{postgres.SweepLease, postgres.ReconcileLease} {
		l, err := db.Lease(ctx, role)
		if err != nil {
			return err
		}
		leader := Leader{Role: role, Active: l.Active, Holder: l.Holder}
		if l.Holder != "" {
			since := l.AcquiredAt.UTC()
			leader.Since = &since
		}
		s.Leaders = append(s.Leaders, leader)
	}
	replays, err := db.Replays(ctx, listedReplays)
	for _, r := range replays {
		if r.EndedAt == nil && r.Status != postgres.ReplayDone {
			s.Replays = append(s.Replays, replay.NewReport(r))
		}
	}
	if err != nil {
		return err
	}
	return db.Writable(ctx, 0)
}

// readEvents sets Consumers, Streams and Recent.
func (s *Status) readEvents(ctx context.Context, conn *nats.Conn) error {
	if err := conn.Ping(ctx); err != nil {
		return err
	}
	e, err := backlog.ReadEvents(ctx, conn)
	if err == nil && slices.ContainsFunc(e.Consumers, backlog.Consumer.Stalled) {
		select {
		case <-ctx.Done():
		case <-time.After(recheckDelay):
		}
		e, err = backlog.ReadEvents(ctx, conn)
	}
	s.Consumers = append(s.Consumers, e.Consumers...)
	s.Streams = append(s.Streams, e.Streams...)
	counts, countErr := backlog.Since(ctx, conn, s.At.Add(-recentWindow))
	if countErr == nil {
		s.Recent = &Recent{Minutes: recentWindow.Minutes(), Counts: counts}
	}
	return errors.Join(err, countErr)
}

// readQueue sets Queue, or adds a problem if the queue cannot be read.
func (s *Status) readQueue(dir string) {
	q, err := local.CountQueue(dir)
	if err != nil {
		s.problem("MinIO's event queue cannot be read: %v", err)
		return
	}
	s.Queue = &Queue{Files: q.Files, SetAside: q.SetAside}
	if !q.Oldest.IsZero() {
		s.Queue.Oldest = age(&q.Oldest, s.At)
	}
}
