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

// Timeout bounds one check: a part that has not answered by then is unreachable.
const Timeout = 5 * time.Second

const (
	// recent is the stretch of time whose events Recent counts.
	recent = 5 * time.Minute
	// listedReplays is how many of the newest replays are searched for those that have
	// not ended.
	listedReplays = 20
	// recheckDelay is how long a consumer that looks stalled is given to pull again.
	recheckDelay = 300 * time.Millisecond
)

// Checker is what a check asks. Parts that are not given are not checked; the
// database must be.
type Checker struct {
	DB    *postgres.DB
	Conn  *nats.Conn   // its user is the operator
	MinIO minio.Config // with a key, the bucket is listed too
	// Servers are our own servers and how they are asked for their health.
	Servers []Probe
	// DataDir is the data folder of "intray up", where MinIO's event queue is.
	DataDir string
}

// Probe is how one part is checked. Check fails if the part does not answer, or
// answers that it is not healthy.
type Probe struct {
	Name  string
	Check func(context.Context) error
}

// Check asks every part concurrently, for at most Timeout, and judges what it found.
func (c Checker) Check(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	s := Status{
		At: time.Now().UTC(), Problems: []string{}, Consumers: []backlog.Consumer{},
		Streams: []backlog.Stream{}, Replays: []replay.Report{},
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

// probes returns the probe of each part. Each fills in other fields of s, so that
// they may run concurrently.
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

// checkStorage fails if MinIO does not serve or, where a key is given, the bucket
// cannot be listed with it.
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

func (s *Status) age(t *time.Time) Seconds { return Seconds(backlog.Age(t, s.At).Seconds()) }

// readDatabase fills in Backlog and Replays.
func (s *Status) readDatabase(ctx context.Context, db *postgres.DB) error {
	b, err := db.Backlog(ctx)
	if err != nil {
		return err
	}
	s.Backlog = &Backlog{
		Pending: b.Pending, OldestPending: s.age(b.OldestPending),
		Unclassified: b.Unclassified, OldestUnclassified: s.age(b.OldestUnclassified),
		Unpublished: b.Unpublished, OldestUnpublished: s.age(b.OldestUnpublished),
		Deletions: b.Deletions, FailingDeletions: b.FailingDeletions,
		OldestDeletion: s.age(b.OldestDeletion), DeadLetters: b.DeadLetters,
		FailedAttempts: b.FailedAttempts, SweeperActive: b.SweeperActive,
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
	replays, err := db.Replays(ctx, listedReplays)
	for _, r := range replays {
		if r.EndedAt == nil && r.Status != postgres.ReplayDone {
			s.Replays = append(s.Replays, replay.ReportOf(r))
		}
	}
	return err
}

// readEvents fills in Consumers, Streams and Recent.
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
	counts, countErr := backlog.Since(ctx, conn, s.At.Add(-recent))
	if countErr == nil {
		s.Recent = &Recent{Minutes: recent.Minutes(), Counts: counts}
	}
	return errors.Join(err, countErr)
}

// readQueue fills in Queue, or reports that it cannot be read.
func (s *Status) readQueue(dir string) {
	q, err := local.CountQueue(dir)
	if err != nil {
		s.problem("the event queue of MinIO cannot be looked at: %v", err)
		return
	}
	s.Queue = &Queue{Files: q.Files, SetAside: q.SetAside}
	if !q.Oldest.IsZero() {
		s.Queue.Oldest = s.age(&q.Oldest)
	}
}
