package sweep

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/infra/postgres"
	"intray/schema"
)

// Attempts to check the object of a pending document fail if MinIO cannot read this object,
// although it serves others. The numbers are those of the runner for an event of the upload.
const (
	// maxChecks is the number of failed attempts after which the document becomes a dead letter.
	maxChecks = 8
	// minCheckDelay and maxCheckDelay limit the delay before the next attempt, which doubles with each
	// failed attempt.
	minCheckDelay, maxCheckDelay = time.Second, 5 * time.Minute
	// deadCheckDelay is the delay after the document has become a dead letter that an operator then
	// dropped or retried.
	deadCheckDelay = time.Hour
)

// unchecked checks the pending documents whose object could not be checked before and whose next
// attempt is due. Those that have a dead letter are left to the operators.
func (s *Sweeper) unchecked(ctx context.Context, now time.Time) error {
	for more := true; more && ctx.Err() == nil; {
		due, dueAfter, err := s.db.UncheckedUploads(ctx, now, confirmBatch)
		if err != nil {
			return err
		}
		// None of them is due afterwards: its next attempt is later, or its object has been checked. Only
		// those that are locked stay due, until the next round.
		if err := s.confirmOrExpire(ctx, due, now); err != nil {
			return err
		}
		more = dueAfter && !slices.ContainsFunc(due, func(u postgres.UncheckedUpload) bool {
			return s.locked[u.ID]
		})
	}
	return ctx.Err()
}

// countAttempt records a failed attempt to check the object of a pending document. The document
// keeps its status and its object, and never expires. After maxChecks attempts it becomes a dead
// letter, with an event as MinIO would have sent it, so that retrying the dead letter confirms the
// document once its object can be read again.
func (s *Sweeper) countAttempt(
	ctx context.Context, u postgres.UncheckedUpload, cause error, now time.Time,
) error {
	n := u.Attempts + 1
	next := now.Add(runner.Delay(n, minCheckDelay, maxCheckDelay))
	if u.Dead {
		next = now.Add(deadCheckDelay)
	}
	s.log.Warn("object of a pending document cannot be checked; the sweeper will retry",
		"document_id", u.ID, "attempts", n, "next_attempt", next, "error", cause)
	if err := s.db.RecordUncheckedUpload(ctx, u.ID, n, cause.Error(), next); err != nil {
		return err
	}
	attempt := postgres.NewAttempt{
		Stream: schema.StreamBucket, Consumer: "sweep", Number: n, Reason: cause.Error(),
		Wait: next.Sub(now),
	}
	if err := s.db.RecordAttempt(ctx, []uuid.UUID{u.ID}, attempt); err != nil {
		return err
	}
	if n < maxChecks || u.Dead {
		return nil
	}
	err := s.db.AddDeadLetter(ctx, postgres.DeadLetter{
		Stream: schema.StreamBucket, Consumer: schema.ConsumerConfirm,
		Subject:   schema.SubjectCreatedDurable,
		Data:      schema.EncodeCreated(s.objects.Bucket(), u.ObjectKey, u.URLIssuedAt),
		Documents: []uuid.UUID{u.ID}, Reason: cause.Error(), Attempts: n,
		FirstAt: u.URLIssuedAt,
	})
	if err == nil {
		s.log.Error("upload dead-lettered", "document_id", u.ID, "attempts", n, "error", cause)
	}
	return err
}
