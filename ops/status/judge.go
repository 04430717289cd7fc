package status

import (
	"fmt"
	"time"

	"intray/infra/postgres"
)

// Judge appends a sentence to Problems for each limit that is exceeded, and sets Healthy. The
// sentences may contain text from the database that was not written by Intray, such as the
// error of an AI provider.
func (s *Status) Judge() {
	if s.Backlog != nil {
		s.judgeAges(*s.Backlog)
		s.judgeBacklog(*s.Backlog)
		s.judgeSweeper(*s.Backlog)
	}
	s.judgeStreams()
	if s.Queue != nil && s.Queue.Oldest.exceeds(MaxQueueAge) {
		s.problem("an event has been waiting in MinIO's queue for %s", s.Queue.Oldest)
	}
	for _, r := range s.Replays {
		if r.Interrupted() {
			s.problem(`replay %[1]s was interrupted: run "intray events replay resume %[1]s"`, r.Name)
		}
	}
	s.Healthy = len(s.Problems) == 0 && len(s.Down()) == 0
}

func (s *Status) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// judgeAges reports backlogs whose oldest entry is too old.
func (s *Status) judgeAges(b Backlog) {
	for _, kind := range []struct {
		oldest Seconds
		limit  time.Duration
		format string
	}{
		{b.OldestPending, MaxPendingAge, "a document has been pending for %s"},
		{b.OldestUnclassified, MaxUnclassifiedAge, "a document has waited to be classified for %s"},
		{b.OldestUnpublished, MaxUnpublishedAge, "a change has been unpublished for %s"},
		{b.OldestDeletion, MaxDeletionAge, "an object deletion has been pending for %s"},
	} {
		if kind.oldest.exceeds(kind.limit) {
			s.problem(kind.format, kind.oldest)
		}
	}
}

// judgeBacklog reports problems that do not depend on an age.
func (s *Status) judgeBacklog(b Backlog) {
	if b.DeadLetters > MaxDeadLetters {
		s.problem(`there are dead letters (%d): see "intray deadletters list"`, b.DeadLetters)
	}
	if b.FailedAttempts > MaxFailedAttempts {
		s.problem("%d attempts failed in the last 10 minutes for documents that are still queued, "+
			"the last one with: %s", b.FailedAttempts, b.LastFailure)
	}
	if b.Drift > MaxDrift {
		s.problem(`differences between bucket and database were not repaired (%d): `+
			`see "intray reconcile"`, b.Drift)
	}
	if b.FailingDeletions > 0 {
		s.problem("object deletions fail and are retried (%d objects)", b.FailingDeletions)
	}
	if b.ReconcileAge.exceeds(MaxReconcileAge) {
		s.problem("bucket and database have not been reconciled for %s", b.ReconcileAge)
	}
}

// judgeSweeper reports that no replica sweeps.
func (s *Status) judgeSweeper(b Backlog) {
	if b.SweeperActive {
		return
	}
	for _, l := range s.Leaders {
		if l.Role == postgres.SweepLease && l.Holder != "" {
			s.problem("the sweeper is not running on any replica: %s does not answer", l.Holder)
			return
		}
	}
	s.problem("the sweeper is not running on any replica")
}

// judgeStreams reports stalled consumers and streams that are nearly full.
func (s *Status) judgeStreams() {
	for _, c := range s.Consumers {
		if c.Stalled() {
			s.problem("consumer %s of stream %s is stalled with %d pending messages",
				c.Name, c.Stream, c.Pending)
		}
	}
	for _, m := range s.Streams {
		if m.MaxBytes > 0 && float64(m.Bytes) > MaxStreamFill*float64(m.MaxBytes) {
			s.problem("stream %s is %d%% full", m.Name, m.Bytes*100/m.MaxBytes)
		}
	}
}
