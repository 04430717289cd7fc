package status_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"intray/infra/postgres"
	"intray/ops/backlog"
	"intray/ops/replay"
	"intray/ops/status"
)

func TestJudge(t *testing.T) {
	seconds := func(d time.Duration) status.Seconds { return status.Seconds(d.Seconds()) }
	const mostBytes = 1000
	const failed = "3 tries failed in ten minutes at documents that still wait, the last because: "
	full := uint64(status.MaxStreamFill * mostBytes)
	for name, c := range map[string]struct {
		change func(*status.Status)
		want   []string // Problems
	}{
		"nothing is wrong": {func(*status.Status) {}, nil},
		"PostgreSQL is unreachable": {func(s *status.Status) {
			s.Backlog, s.Components = nil, []status.Component{{Name: "postgres"}}
		}, nil},
		"ages at their bounds": {func(s *status.Status) {
			s.Backlog.OldestPending = seconds(status.MaxPendingAge)
			s.Backlog.OldestUnclassified = seconds(status.MaxUnclassifiedAge)
			s.Backlog.OldestUnpublished = seconds(status.MaxUnpublishedAge)
			s.Backlog.OldestDeletion = seconds(status.MaxDeletionAge)
			s.Queue.Oldest = seconds(status.MaxQueueAge)
		}, nil},
		"ages beyond their bounds": {func(s *status.Status) {
			s.Backlog.OldestPending = seconds(status.MaxPendingAge + time.Second)
			s.Backlog.OldestUnclassified = seconds(status.MaxUnclassifiedAge + time.Second)
			s.Backlog.OldestUnpublished = seconds(status.MaxUnpublishedAge + time.Second)
			s.Backlog.OldestDeletion = seconds(status.MaxDeletionAge + time.Second)
			s.Queue.Oldest = seconds(status.MaxQueueAge + time.Second)
		}, []string{
			"a document is pending for 2h0m1s",
			"a document waits for its classification for 1h0m1s",
			"a change is told by no event for 5m1s",
			"an object that was given up is still there after 1h0m1s",
			"MinIO has had events to tell for 1m1s",
		}},
		"a dead letter": {func(s *status.Status) { s.Backlog.DeadLetters = 1 }, []string{
			`1 dead letters: see "intray deadletters list"`,
		}},
		"as many failed attempts as happen": {func(s *status.Status) {
			s.Backlog.FailedAttempts, s.Backlog.LastFailure = status.MaxFailedAttempts, "slow"
		}, nil},
		"more failed attempts": {func(s *status.Status) {
			s.Backlog.FailedAttempts = status.MaxFailedAttempts + 1
			s.Backlog.LastFailure = "no\n\tanswer \x1b[31m"
		}, []string{
			failed + "no answer \uFFFD[31m",
		}},
		"a long reason": {func(s *status.Status) {
			s.Backlog.FailedAttempts, s.Backlog.LastFailure = 3, strings.Repeat("ä", 201)
		}, []string{
			failed + strings.Repeat("ä", 199) + "…",
		}},
		"drift": {func(s *status.Status) { s.Backlog.Drift = 2 }, []string{
			`bucket and database differ in 2 places that are left to you: see "intray reconcile"`,
		}},
		"failing deletions": {func(s *status.Status) { s.Backlog.FailingDeletions = 4 }, []string{
			"4 object deletions fail and are tried again",
		}},
		"no sweeper": {func(s *status.Status) { s.Backlog.SweeperActive = false }, []string{
			"no replica sweeps",
		}},
		"a stalled consumer": {func(s *status.Status) {
			s.Consumers = []backlog.Consumer{
				{Stream: "BUCKET", Name: "confirm", Pending: 7},
				{Stream: "BUCKET", Name: "remove", Pending: 7, Pulls: 1},
				{Stream: "DOCUMENTS", Name: "classify", Pending: 7, AckPending: 1},
			}
		}, []string{"7 messages of BUCKET wait, and nobody takes them for confirm"}},
		"streams that fill up": {func(s *status.Status) {
			s.Streams = []backlog.Stream{
				{Name: "BUCKET", Bytes: full, MaxBytes: mostBytes},
				{Name: "DOCUMENTS", Bytes: full + 1, MaxBytes: mostBytes},
				{Name: "REPLAY", Bytes: full + 1},
			}
		}, []string{"the stream DOCUMENTS is 90 % full"}},
		"replays": {func(s *status.Status) {
			s.Replays = []replay.Report{
				{Name: "paused", Status: postgres.ReplayPaused},
				{Name: "attended", Status: postgres.ReplayRunning, Attended: true},
				{Name: "died", Status: postgres.ReplayRunning},
			}
		}, []string{
			`the replay died is interrupted: "intray events replay resume died" takes it up again`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := status.Status{
				Components: []status.Component{{Name: "postgres", Up: true}},
				Backlog:    &status.Backlog{SweeperActive: true}, Queue: &status.Queue{},
			}
			c.change(&s)
			s.Judge()
			if !slices.Equal(s.Problems, c.want) {
				t.Errorf("got problems\n%s\nwant\n%s",
					strings.Join(s.Problems, "\n"), strings.Join(c.want, "\n"))
			}
			if want := len(c.want) == 0 && s.Components[0].Up; s.Healthy != want {
				t.Errorf("got healthy %v, want %v", s.Healthy, want)
			}
		})
	}
}
