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
	full := uint64(status.MaxStreamFill * mostBytes)
	for name, c := range map[string]struct {
		change func(*status.Status)
		want   []string // Problems
	}{
		"nothing is wrong": {func(*status.Status) {}, nil},
		"PostgreSQL is unreachable": {func(s *status.Status) {
			s.Backlog, s.Components = nil, []status.Component{{Name: "postgres"}}
		}, nil},
		"ages at the limits": {func(s *status.Status) {
			s.Backlog.OldestPending = seconds(status.MaxPendingAge)
			s.Backlog.OldestUnclassified = seconds(status.MaxUnclassifiedAge)
			s.Backlog.OldestUnpublished = seconds(status.MaxUnpublishedAge)
			s.Backlog.OldestDeletion = seconds(status.MaxDeletionAge)
			s.Queue.Oldest = seconds(status.MaxQueueAge)
		}, nil},
		"ages above the limits": {func(s *status.Status) {
			s.Backlog.OldestPending = seconds(status.MaxPendingAge + time.Second)
			s.Backlog.OldestUnclassified = seconds(status.MaxUnclassifiedAge + time.Second)
			s.Backlog.OldestUnpublished = seconds(status.MaxUnpublishedAge + time.Second)
			s.Backlog.OldestDeletion = seconds(status.MaxDeletionAge + time.Second)
			s.Queue.Oldest = seconds(status.MaxQueueAge + time.Second)
		}, []string{
			"a document has been pending for 2h0m1s",
			"a document has waited to be classified for 1h0m1s",
			"a change has been unpublished for 5m1s",
			"an object deletion has been pending for 1h0m1s",
			"an event has been waiting in MinIO's queue for 1m1s",
		}},
		"a dead letter": {func(s *status.Status) { s.Backlog.DeadLetters = 1 }, []string{
			`there are dead letters (1): see "intray deadletters list"`,
		}},
		"failed attempts at the limit": {func(s *status.Status) {
			s.Backlog.FailedAttempts, s.Backlog.LastFailure = status.MaxFailedAttempts, "slow"
		}, nil},
		"failed attempts above the limit": {func(s *status.Status) {
			s.Backlog.FailedAttempts = status.MaxFailedAttempts + 1
			s.Backlog.LastFailure = "slow"
		}, []string{
			"3 attempts failed in the last 10 minutes for documents that are still queued, " +
				"the last one with: slow",
		}},
		"drift": {func(s *status.Status) { s.Backlog.Drift = 2 }, []string{
			`differences between bucket and database were not repaired (2): ` +
				`see "intray reconcile"`,
		}},
		"failing deletions": {func(s *status.Status) { s.Backlog.FailingDeletions = 4 }, []string{
			"object deletions fail and are retried (4 objects)",
		}},
		"no sweeper": {func(s *status.Status) { s.Backlog.SweeperActive = false }, []string{
			"the sweeper is not running on any replica",
		}},
		"a sweeper that does not answer": {func(s *status.Status) {
			s.Backlog.SweeperActive = false
			s.Leaders = []status.Leader{{Role: "reconcile"}, {Role: "sweep", Holder: "host:7"}}
		}, []string{"the sweeper is not running on any replica: host:7 does not answer"}},
		"a reconciliation at the limit": {func(s *status.Status) {
			s.Backlog.ReconcileAge = seconds(status.MaxReconcileAge)
		}, nil},
		"an overdue reconciliation": {func(s *status.Status) {
			s.Backlog.ReconcileAge = seconds(status.MaxReconcileAge + time.Second)
		}, []string{"bucket and database have not been reconciled for 26h0m1s"}},
		"a stalled consumer": {func(s *status.Status) {
			s.Consumers = []backlog.Consumer{
				{Stream: "BUCKET", Name: "confirm", Pending: 7},
				{Stream: "BUCKET", Name: "remove", Pending: 7, Pulls: 1},
				{Stream: "DOCUMENTS", Name: "classify", Pending: 7, AckPending: 1},
			}
		}, []string{"consumer confirm of stream BUCKET is stalled with 7 pending messages"}},
		"a stream that is nearly full": {func(s *status.Status) {
			s.Streams = []backlog.Stream{
				{Name: "BUCKET", Bytes: full, MaxBytes: mostBytes},
				{Name: "DOCUMENTS", Bytes: full + 1, MaxBytes: mostBytes},
				{Name: "REPLAY", Bytes: full + 1},
			}
		}, []string{"stream DOCUMENTS is 90% full"}},
		"an interrupted replay": {func(s *status.Status) {
			s.Replays = []replay.Report{
				{Name: "paused", Status: postgres.ReplayPaused},
				{Name: "running", Status: postgres.ReplayRunning, HasPublisher: true},
				{Name: "interrupted", Status: postgres.ReplayRunning},
			}
		}, []string{
			`replay interrupted was interrupted: run "intray events replay resume interrupted"`,
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
