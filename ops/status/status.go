// Package status checks once how a running system is, and judges what it found.
//
// A Checker asks each part concurrently and returns a Status; Judge compares it with
// the bounds. The alert rules in infra/prometheus are generated from the same bounds
// (see bounds.go), so that `intray status` and the alerts agree.
package status

import (
	"time"

	"intray/ops/backlog"
	"intray/ops/replay"
)

// Status is what one check found, in the form that `intray status --json` prints.
type Status struct {
	At time.Time `json:"at"`
	// Healthy reports whether each component answers and there are no problems.
	Healthy    bool               `json:"healthy"`
	Problems   []string           `json:"problems"` // of components that answer
	Components []Component        `json:"parts"`
	Backlog    *Backlog           `json:"backlog"` // nil: PostgreSQL is unreachable
	Consumers  []backlog.Consumer `json:"consumers"`
	Streams    []backlog.Stream   `json:"streams"`
	Queue      *Queue             `json:"minio_queue"` // nil: not on this machine
	Recent     *Recent            `json:"recent"`      // nil: NATS is unreachable
	Replays    []replay.Report    `json:"replays"`     // those that have not ended
}

// Component reports whether one component of the system answers.
type Component struct {
	Name  string `json:"name"`
	Up    bool   `json:"up"`
	Error string `json:"error,omitempty"`
}

// Backlog is what is queued in the database. Ages are 0 where nothing is queued.
type Backlog struct {
	Pending            int64   `json:"pending"`
	OldestPending      Seconds `json:"oldest_pending_seconds"`
	OldestPendingID    string  `json:"oldest_pending_id,omitempty"`
	Unclassified       int64   `json:"unclassified"`
	OldestUnclassified Seconds `json:"oldest_unclassified_seconds"`
	// Unpublished changes are committed, and their events are not published yet.
	Unpublished       int64   `json:"unpublished"`
	OldestUnpublished Seconds `json:"oldest_unpublished_seconds"`
	Deletions         int64   `json:"deletions"`
	FailingDeletions  int64   `json:"failing_deletions"`
	OldestDeletion    Seconds `json:"oldest_deletion_seconds"`
	DeadLetters       int64   `json:"dead_letters"`
	// FailedAttempts counts those of the last ten minutes for documents that are still
	// queued; LastFailure is why the newest failed.
	FailedAttempts int64  `json:"failed_attempts"`
	LastFailure    string `json:"last_failure,omitempty"`
	SweeperActive  bool   `json:"sweeper_active"`
	// Drift counts the differences that the last reconciliation left to a person.
	Drift        int64      `json:"drift_left"`
	ReconciledAt *time.Time `json:"reconciled_at"` // nil: not yet
}

// Queue is the event queue of MinIO: the events that it has not sent to NATS yet.
type Queue struct {
	Files    int     `json:"files"`
	Oldest   Seconds `json:"oldest_seconds"`
	SetAside int     `json:"aside"` // files that MinIO could not have sent
}

// Recent counts the documents that reached each status in the last Minutes.
type Recent struct {
	Minutes float64           `json:"minutes"`
	Counts  map[string]uint64 `json:"counts"`
}

// Seconds is an age in seconds.
type Seconds float64

// String is the age in whole seconds, such as "1h2m3s".
func (s Seconds) String() string { return (time.Duration(s) * time.Second).String() }

// exceeds reports whether the age is more than a bound.
func (s Seconds) exceeds(bound time.Duration) bool { return float64(s) > bound.Seconds() }

// Unreachable returns the names of the components that do not answer.
func (s Status) Unreachable() []string {
	var names []string
	for _, p := range s.Components {
		if !p.Up {
			names = append(names, p.Name)
		}
	}
	return names
}
