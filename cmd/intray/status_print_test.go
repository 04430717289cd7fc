package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"intray/infra/postgres"
	"intray/ops/backlog"
	"intray/ops/replay"
	"intray/ops/status"
)

func TestStatusGolden(t *testing.T) {
	for name, change := range map[string]func(*status.Status){
		"status_healthy":     func(*status.Status) {},
		"status_problems":    withProblems,
		"status_unreachable": withoutNATSAndGateway,
		"status_no_database": withoutDatabase,
	} {
		t.Run(name, func(t *testing.T) {
			s := healthyStatus()
			change(&s)
			s.Judge()
			golden(t, name, func(w io.Writer) error { return printStatus(w, s) }, s)
		})
	}
}

// noon is the time at which the statuses and stories of the golden files were recorded.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *time.Time {
	t := noon.Add(-d)
	return &t
}

func healthyStatus() status.Status {
	return status.Status{
		At: noon, Problems: []string{}, Replays: []replay.Report{},
		Components: []status.Component{
			{Name: "postgres", Up: true}, {Name: "nats", Up: true}, {Name: "minio", Up: true},
			{Name: "api", Up: true}, {Name: "gateway", Up: true}, {Name: "consumers", Up: true},
		},
		Backlog: &status.Backlog{
			Pending: 2, OldestPending: 61.5, OldestPendingID: "0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b",
			SweeperActive: true, ReconciledAt: ago(5 * time.Hour), ReconcileAge: 5 * 60 * 60,
		},
		Leaders: []status.Leader{
			{Role: "sweep", Active: true, Holder: "consumers-1:7", Since: ago(2 * time.Hour)},
			{Role: "reconcile"},
		},
		Consumers: []backlog.Consumer{
			{Stream: "BUCKET", Name: "confirm", Pulls: 3},
			{Stream: "DOCUMENTS", Name: "classify", Pending: 12, AckPending: 4, Redelivered: 1, Pulls: 1},
		},
		Streams: []backlog.Stream{
			{Name: "BUCKET", Messages: 4000, Bytes: 3_210_000, MaxBytes: 1 << 30},
			{Name: "DOCUMENTS", Messages: 6000, Bytes: 1_500_000, MaxBytes: 1 << 30},
		},
		Queue: &status.Queue{},
		Recent: &status.Recent{Minutes: 5, Counts: map[string]uint64{
			"uploaded": 50, "classified": 48, "failed": 1, "rejected": 2,
		}},
	}
}

func withProblems(s *status.Status) {
	s.Backlog = &status.Backlog{
		Pending: 40, OldestPending: 7300, OldestPendingID: "0193a5b0-7d21-7c4e-8f0a-1c2d3e4f5a6b",
		Unclassified: 300, OldestUnclassified: 4000, Unpublished: 7, OldestUnpublished: 301.2,
		Deletions: 9, FailingDeletions: 2, OldestDeletion: 86400, DeadLetters: 3,
		FailedAttempts: 12, Drift: 5,
		LastFailure: "ask provider ollama:\n\tdial tcp 127.0.0.1:11434: \x1b[31mconnection refused\n" +
			strings.Repeat("ä", 300), ReconcileAge: 27 * 60 * 60,
	}
	s.Leaders[0].Active = false
	s.Consumers[0] = backlog.Consumer{Stream: "BUCKET", Name: "confirm", Pending: 1500}
	s.Streams[0].Bytes = 1_020_000_000
	s.Queue = &status.Queue{Files: 8, Oldest: 125, SetAside: 1}
	s.Replays = []replay.Report{
		replay.NewReport(postgres.Replay{
			Name: "confirm-20260102-110000-000", Target: "confirm", Status: postgres.ReplayRunning,
			Actor: "ops@host", Reason: "the queue was lost",
			Selection: json.RawMessage(`{"from":"2026-01-02T09:00:00Z"}`),
			Matched:   100, Applied: 30, Unchanged: 20, Published: 60, Position: 60,
			CreatedAt: *ago(time.Hour), StartedAt: ago(59 * time.Minute),
			LastOutcomeAt: ago(30 * time.Minute),
		}),
		replay.NewReport(postgres.Replay{
			Name: "slow", Target: "classify", Status: postgres.ReplayPaused,
			Actor: "ops@host", Reason: "a new model", Selection: json.RawMessage(`{}`), Rate: 5,
			Matched: 9, Failed: 1, CreatedAt: *ago(time.Hour),
		}),
	}
}

func withoutNATSAndGateway(s *status.Status) {
	s.Components[1] = status.Component{Name: "nats", Error: "ping NATS: unavailable: nats: timeout"}
	s.Components[4] = status.Component{
		Name:  "gateway",
		Error: "Get \"http://127.0.0.1:9001/healthz\":\x1b[31m context deadline exceeded",
	}
	s.Consumers, s.Streams, s.Recent = []backlog.Consumer{}, []backlog.Stream{}, nil
	s.Backlog.ReconciledAt = nil
}

// withoutDatabase is the result of a check for which only the database is configured, which
// cannot be reached.
func withoutDatabase(s *status.Status) {
	*s = status.Status{
		At: noon, Problems: []string{},
		Components: []status.Component{{Name: "postgres", Error: "connection refused"}},
		Consumers:  []backlog.Consumer{}, Streams: []backlog.Stream{}, Replays: []replay.Report{},
		Leaders: []status.Leader{},
	}
}
