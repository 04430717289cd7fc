// Package status checks the state of a running system and reports problems.
//
// A Checker checks all components concurrently and returns a Status. Judge compares the Status
// with the limits in limits.go. The alert rules in infra/prometheus are generated from the same
// limits, so that "intray status" and the alerts agree.
package status

import (
	"time"

	"intray/ops/backlog"
	"intray/ops/replay"
)

// Status is the result of one check, in the form in which "intray status --json" prints it.
type Status struct {
	At time.Time `json:"at"`
	// Healthy reports whether all components are up and there are no problems.
	Healthy bool `json:"healthy"`
	// Problems are sentences, one for each problem other than a component that is down.
	Problems   []string    `json:"problems"`
	Components []Component `json:"parts"`
	// Backlog is nil if PostgreSQL cannot be reached. Leaders then has no elements.
	Backlog *Backlog `json:"backlog"`
	// Leaders are the sweeping and the reconciling replica.
	Leaders   []Leader           `json:"leaders"`
	Consumers []backlog.Consumer `json:"consumers"`
	Streams   []backlog.Stream   `json:"streams"`
	// Queue is nil if MinIO does not run on this machine.
	Queue *Queue `json:"minio_queue"`
	// Recent is nil if NATS cannot be reached.
	Recent *Recent `json:"recent"`
	// Replays are the replays that have not ended.
	Replays []replay.Report `json:"replays"`
}

// Component is the state of one component of the system.
type Component struct {
	Name string `json:"name"`
	// Up reports whether the component responded and is healthy. If not, Error is the reason.
	Up    bool   `json:"up"`
	Error string `json:"error,omitempty"`
}

// Leader is the replica that does some work alone.
type Leader struct {
	Role string `json:"role"`
	// Active reports whether a replica has the role now. If not, Holder is the last one if it has
	// stopped without giving up the role, because it was killed or does not answer, and else empty.
	Active bool   `json:"active"`
	Holder string `json:"holder"`
	// Since is when Holder got the role.
	Since *time.Time `json:"since"`
}

// Backlog is the work that is queued in the database. An age is 0 if nothing is queued. Counts are
// exact up to postgres.BacklogLimit, which stands for itself or more.
type Backlog struct {
	Pending            int64   `json:"pending"`
	OldestPending      Seconds `json:"oldest_pending_seconds"`
	OldestPendingID    string  `json:"oldest_pending_id,omitempty"`
	Unclassified       int64   `json:"unclassified"`
	OldestUnclassified Seconds `json:"oldest_unclassified_seconds"`
	// Unpublished counts the committed changes whose events have not been published yet.
	Unpublished       int64   `json:"unpublished"`
	OldestUnpublished Seconds `json:"oldest_unpublished_seconds"`
	Deletions         int64   `json:"deletions"`
	FailingDeletions  int64   `json:"failing_deletions"`
	OldestDeletion    Seconds `json:"oldest_deletion_seconds"`
	DeadLetters       int64   `json:"dead_letters"`
	// FailedAttempts counts the attempts that failed in the last 10 minutes for documents that
	// are still queued. LastFailure is the error of the newest one.
	FailedAttempts int64  `json:"failed_attempts"`
	LastFailure    string `json:"last_failure,omitempty"`
	SweeperActive  bool   `json:"sweeper_active"`
	// Drift counts the differences that the last reconciliation did not repair.
	Drift int64 `json:"drift_left"`
	// ReconciledAt is nil if no reconciliation has run yet.
	ReconciledAt *time.Time `json:"reconciled_at"`
	// ReconcileAge is the time since then, or since the installation.
	ReconcileAge Seconds `json:"reconcile_age_seconds"`
}

// Queue is MinIO's event queue. It holds the events that MinIO has not sent to NATS yet.
type Queue struct {
	Files  int     `json:"files"`
	Oldest Seconds `json:"oldest_seconds"`
	// SetAside counts the damaged event files that were moved out of the queue.
	SetAside int `json:"aside"`
}

// Recent counts the documents that reached each status in the last minutes.
type Recent struct {
	Minutes float64           `json:"minutes"`
	Counts  map[string]uint64 `json:"counts"`
}

// Seconds is an age in seconds.
type Seconds float64

// String formats the age in whole seconds, such as "1h2m3s".
func (s Seconds) String() string { return (time.Duration(s) * time.Second).String() }

// exceeds reports whether the age is above the limit.
func (s Seconds) exceeds(limit time.Duration) bool { return float64(s) > limit.Seconds() }

// Down returns the names of the components that are not up.
func (s Status) Down() []string {
	var names []string
	for _, p := range s.Components {
		if !p.Up {
			names = append(names, p.Name)
		}
	}
	return names
}
