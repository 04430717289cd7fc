package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"intray/cmd/internal/cli"
	"intray/infra/local"
	"intray/infra/minio"
	"intray/infra/postgres"
	"intray/ops/backlog"
)

// status is what one look found, as --json tells it.
type status struct {
	At       time.Time        `json:"at"`
	Fine     bool             `json:"fine"`
	Problems []string         `json:"problems"` // of parts that answer
	Parts    []partStatus     `json:"parts"`
	Backlog  *backlogStatus   `json:"backlog"` // null: PostgreSQL is away
	Lag      []consumerStatus `json:"consumers"`
	Streams  []streamStatus   `json:"streams"`
	Queue    *queueStatus     `json:"minio_queue"` // null: not on this machine
	Recent   *recentStatus    `json:"recent"`      // null: NATS is away
	Replays  []replayJSON     `json:"replays"`     // that have not ended
}

type partStatus struct {
	Name  string `json:"name"`
	Up    bool   `json:"up"`
	Error string `json:"error,omitempty"`
}

// Ages are in seconds, 0 where nothing waits.
type backlogStatus struct {
	Pending            int64   `json:"pending"`
	OldestPending      float64 `json:"oldest_pending_seconds"`
	OldestPendingID    string  `json:"oldest_pending_id,omitempty"`
	Unclassified       int64   `json:"unclassified"`
	OldestUnclassified float64 `json:"oldest_unclassified_seconds"`
	Unannounced        int64   `json:"unannounced"`
	OldestUnannounced  float64 `json:"oldest_unannounced_seconds"`
	Deletions          int64   `json:"deletions"`
	FailingDeletions   int64   `json:"failing_deletions"`
	OldestDeletion     float64 `json:"oldest_deletion_seconds"`
	DeadLetters        int64   `json:"dead_letters"`
	// FailedTries of the last ten minutes are at documents that still wait.
	FailedTries int64  `json:"failed_tries"`
	FailedTry   string `json:"failed_try,omitempty"`
	Swept       bool   `json:"swept"`
	// Drift is what the last reconciliation left to a person.
	Drift      int64      `json:"drift_left"`
	Reconciled *time.Time `json:"reconciled_at"` // null: not yet
}

type consumerStatus struct {
	Stream      string `json:"stream"`
	Consumer    string `json:"consumer"`
	Waiting     uint64 `json:"waiting"`
	InHand      uint64 `json:"in_hand"`
	Redelivered uint64 `json:"redelivered"`
	Pulls       int    `json:"pulls"`
}

type streamStatus struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	MaxBytes uint64 `json:"max_bytes"`
}

type queueStatus struct {
	Files  int     `json:"files"`
	Oldest float64 `json:"oldest_seconds"`
	Aside  int     `json:"aside"`
}

// recentStatus counts the documents that came to a status.
type recentStatus struct {
	Minutes float64           `json:"minutes"`
	Counts  map[string]uint64 `json:"counts"`
}

const (
	lookTimeout   = 5 * time.Second
	recentMinutes = 5
	listedReplays = 20
	secondLook    = 300 * time.Millisecond
	// failingTries is how many failed tries are more than bad luck: a provider is left alone after as many in a row.
	failingTries = 3
)

// localHealth are the addresses of the parts that up runs.
func localHealth(dir string) ([]address, error) {
	stack, err := local.ReadStack(dir)
	if err != nil {
		return nil, err
	}
	port, err := local.KeptPort(dir, "consume")
	if err != nil {
		return nil, err
	}
	consumers := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return []address{{"api", stack.API}, {"gateway", stack.Gateway}, {"consumers", consumers}}, nil
}

// storage asks MinIO whether it serves and, where a key is known, whether the bucket is there for it.
func (l *looker) storage(ctx context.Context) error {
	at := l.system.MinIO
	if err := minio.Ready(ctx, at.Endpoint, at.Secure); err != nil || at.Key.Access == "" {
		return err
	}
	objects, err := minio.NewObjects(at)
	if err != nil {
		return err
	}
	defer objects.Close()
	_, err = objects.Page(ctx, "documents/", "", 1)
	return err
}

// look asks every part, side by side.
func (l *looker) look(ctx context.Context) status {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	s := status{At: time.Now().UTC(), Problems: []string{}, Lag: []consumerStatus{}, Streams: []streamStatus{}, Replays: []replayJSON{}}
	var checks []func() error
	ask := func(name string, check func() error) {
		s.Parts = append(s.Parts, partStatus{Name: name})
		checks = append(checks, check)
	}
	ask("postgres", func() error { return l.database(ctx, &s) })
	if l.conn != nil {
		ask("nats", func() error { return l.events(ctx, &s) })
	}
	if l.system.MinIO.Endpoint != "" {
		ask("minio", func() error { return l.storage(ctx) })
	}
	for _, a := range l.health {
		if a.url != "" {
			ask(a.name, func() error { return cli.Healthy(ctx, a.url+"/healthz") })
		}
	}
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() {
			err := check()
			s.Parts[i].Up = err == nil
			if err != nil {
				s.Parts[i].Error = err.Error()
			}
		})
	}
	all.Wait()
	if l.dir != "" {
		if q, err := local.LookAtQueue(l.dir); err != nil {
			s.wrong("the event queue of MinIO cannot be looked at: %v", err)
		} else {
			s.Queue = &queueStatus{Files: q.Files, Aside: q.Aside}
			if !q.Oldest.IsZero() {
				s.Queue.Oldest = s.age(&q.Oldest)
			}
		}
	}
	s.judge()
	return s
}

func (s *status) age(t *time.Time) float64 { return backlog.Age(t, s.At).Seconds() }

// database reads what PostgreSQL knows.
func (l *looker) database(ctx context.Context, s *status) error {
	b, err := l.db.Backlog(ctx)
	if err != nil {
		return err
	}
	s.Backlog = &backlogStatus{
		Pending: b.Pending, OldestPending: s.age(b.OldestPending),
		Unclassified: b.Unclassified, OldestUnclassified: s.age(b.OldestUnclassified),
		Unannounced: b.Unpublished, OldestUnannounced: s.age(b.OldestUnpublished),
		Deletions: b.Deletions, FailingDeletions: b.FailingDeletions, OldestDeletion: s.age(b.OldestDeletion),
		DeadLetters: b.DeadLetters, FailedTries: b.FailedAttempts, Swept: b.Swept,
	}
	if b.FailedAttempt != nil {
		s.Backlog.FailedTry = *b.FailedAttempt
	}
	if b.OldestPendingID.Valid {
		s.Backlog.OldestPendingID = b.OldestPendingID.UUID.String()
	}
	last, err := l.db.Reconciliation(ctx)
	if err != nil {
		return err
	}
	if last != nil {
		at := last.At.UTC()
		s.Backlog.Drift, s.Backlog.Reconciled = last.Left, &at
	}
	replays, err := l.db.Replays(ctx, listedReplays)
	for _, r := range replays {
		if r.EndedAt == nil && r.Status != postgres.ReplayDone {
			s.Replays = append(s.Replays, replayAsJSON(r))
		}
	}
	return err
}

// events reads what JetStream holds.
func (l *looker) events(ctx context.Context, s *status) error {
	if err := l.conn.Ping(ctx); err != nil {
		return err
	}
	e, err := backlog.Look(ctx, l.conn)
	if err == nil && slices.ContainsFunc(e.Consumers, left) {
		// Between two pulls it looks so too.
		select {
		case <-ctx.Done():
		case <-time.After(secondLook):
		}
		e, err = backlog.Look(ctx, l.conn)
	}
	for _, c := range e.Consumers {
		s.Lag = append(s.Lag, consumerStatus{c.Stream, c.Name, c.Waiting, c.InHand, c.Redelivered, c.Pulls})
	}
	for _, m := range e.Streams {
		s.Streams = append(s.Streams, streamStatus{m.Name, m.Messages, m.Bytes, m.MaxBytes})
	}
	counts, countErr := backlog.Since(ctx, l.conn, s.At.Add(-recentMinutes*time.Minute))
	if countErr == nil {
		s.Recent = &recentStatus{recentMinutes, counts}
	}
	return errors.Join(err, countErr)
}

// left says that messages wait and nobody takes them.
func left(c backlog.Consumer) bool { return c.Waiting > 0 && c.InHand == 0 && c.Pulls == 0 }

func (s *status) wrong(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// judge finds what is wrong, by the bounds of infra/prometheus/alerts.yaml as far as
// one look can tell.
func (s *status) judge() {
	if b := s.Backlog; b != nil {
		for _, w := range []struct {
			age, most float64
			what      string
		}{
			{b.OldestPending, 7200, "a document is pending for %s"},
			{b.OldestUnclassified, 3600, "a document waits for its classification for %s"},
			{b.OldestUnannounced, 300, "a change is told by no event for %s"},
			{b.OldestDeletion, 3600, "an object that was given up is still there after %s"},
		} {
			if w.age > w.most {
				s.wrong(w.what, seconds(w.age))
			}
		}
		if b.DeadLetters > 0 {
			s.wrong("%d dead letters: see \"intray deadletters list\"", b.DeadLetters)
		}
		if b.FailedTries >= failingTries {
			s.wrong("%d tries failed in ten minutes at documents that still wait, the last because: %s", b.FailedTries, cli.Shorten(b.FailedTry, 200))
		}
		if b.Drift > 0 {
			s.wrong("bucket and database differ in %d places that are left to you: see \"intray reconcile\"", b.Drift)
		}
		if b.FailingDeletions > 0 {
			s.wrong("%d object deletions fail and are tried again", b.FailingDeletions)
		}
		if !b.Swept {
			s.wrong("no replica sweeps")
		}
	}
	for _, c := range s.Lag {
		if left(backlog.Consumer{Waiting: c.Waiting, InHand: c.InHand, Pulls: c.Pulls}) {
			s.wrong("%d messages of %s wait, and nobody takes them for %s", c.Waiting, c.Stream, c.Consumer)
		}
	}
	for _, m := range s.Streams {
		if m.MaxBytes > 0 && m.Bytes > m.MaxBytes/10*9 {
			s.wrong("the stream %s is %d %% full", m.Name, m.Bytes*100/m.MaxBytes)
		}
	}
	if s.Queue != nil && s.Queue.Oldest > 60 {
		s.wrong("MinIO has had events to tell for %s", seconds(s.Queue.Oldest))
	}
	for _, r := range s.Replays {
		if r.interrupted() {
			s.wrong("the replay %[1]s is interrupted: \"intray events replay resume %[1]s\" takes it up again", cli.Printable(r.Name))
		}
	}
	s.Fine = s.verdict() == nil
}

// seconds is an age for people.
func seconds(s float64) string {
	return (time.Duration(s) * time.Second).String()
}
