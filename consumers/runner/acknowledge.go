package runner

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// outageDelay is the delay before messages affected by an outage are redelivered. It can be short,
// because the runner does not pull before the outage has ended.
const outageDelay = time.Second

// maxLockDelay is the maximum delay before a message is redelivered whose rows other transactions
// had locked.
const maxLockDelay = 10 * time.Second

// acknowledge acks, naks or dead-letters the message according to its error. If an outage kept the
// message from being handled, it returns that error.
//
// A lost ack is harmless: the message is redelivered and handling it again changes nothing.
func (r *Runner[T]) acknowledge(ctx context.Context, f *inFlight[T]) error {
	sequence := f.message.Sequence
	if f.err == nil {
		f.outcome = outcomeDone
		r.postponements.forget(sequence)
		r.logAckError(f, f.raw.Ack())
		return nil
	}
	if Outage(f.err) {
		return r.awaitOutage(f, f.err)
	}

	var retry *retryError
	errors.As(f.err, &retry)
	switch {
	case Postponed(f.err):
		if r.park(ctx, f, retry.wait) {
			f.outcome = outcomePostponed
			r.postponements.forget(sequence)
			r.logAckError(f, f.raw.Ack())
			return nil
		}
		r.postpone(ctx, f, retry.wait)
		return nil
	case errors.Is(f.err, postgres.ErrLocked):
		r.postpone(ctx, f, Delay(int(f.meta.NumDelivered), r.config.MinDelay, maxLockDelay))
		return nil
	}

	count, err := r.db.CountAttempt(ctx, r.config.Stream, r.config.Consumer, f.id())
	if Outage(err) {
		return r.awaitOutage(f, err)
	}
	if err != nil { // the previous number is better than none
		r.log.Error("cannot count attempt", "sequence", sequence, "error", err)
		count = f.message.Attempts + 1
	}
	f.outcome = outcomeRetried
	if errors.Is(f.err, ErrPermanent) || count >= r.config.MaxAttempts {
		return r.deadLetter(ctx, f, count)
	}
	wait := Delay(count, r.config.MinDelay, r.config.MaxDelay)
	if retry != nil {
		wait = retry.wait
	}
	r.loggerFor(f).Warn("message failed and will be retried",
		"sequence", sequence, "attempt", count, "delay", wait, "error", f.err)
	r.recordAttempt(ctx, f, count, wait)
	r.logAckError(f, f.raw.NakWithDelay(wait))
	return nil
}

// postpone returns a message to the stream until wait has passed.
func (r *Runner[T]) postpone(ctx context.Context, f *inFlight[T], wait time.Duration) {
	f.outcome = outcomePostponed
	r.log.Debug("message postponed", "sequence", f.message.Sequence, "delay", wait, "reason", f.err)
	r.recordAttempt(ctx, f, 0, wait)
	r.logAckError(f, f.raw.NakWithDelay(wait))
}

// park records that a message is postponed and will not be redelivered, if too many other postponed
// messages are unacknowledged. It reports whether the message may be acknowledged. A message that
// has failed before is never parked, because its failed attempts are counted by its sequence.
func (r *Runner[T]) park(ctx context.Context, f *inFlight[T], wait time.Duration) bool {
	documents := documentsOf(f.message.Event)
	if len(documents) == 0 || f.message.Attempts > 0 ||
		r.postponements.keep(f.message.Sequence, time.Now(), wait) {
		return false
	}
	err := r.db.RecordAttempt(ctx, documents, postgres.NewAttempt{
		Stream: r.config.Stream, Consumer: r.config.Consumer,
		Reason: f.err.Error(), Wait: wait, Parked: true,
	})
	if err != nil {
		r.log.Debug("cannot park message", "sequence", f.message.Sequence, "error", err)
	}
	return err == nil
}

// awaitOutage returns a message to the stream until the outage has ended, and returns the outage.
func (r *Runner[T]) awaitOutage(f *inFlight[T], outage error) error {
	f.outcome = outcomeOutage
	r.logAckError(f, f.raw.NakWithDelay(outageDelay))
	return outage
}

// recordAttempt stores the failed attempt for each document of the message, so that operators can
// see why a document is delayed. An error is harmless, because the attempt is also logged.
func (r *Runner[T]) recordAttempt(
	ctx context.Context, f *inFlight[T], attempt int, wait time.Duration,
) {
	documents := documentsOf(f.message.Event)
	if len(documents) == 0 ||
		(attempt == 0 && !r.postponements.due(f.message.Sequence, time.Now(), wait)) {
		return
	}
	err := r.db.RecordAttempt(ctx, documents, postgres.NewAttempt{
		Stream: r.config.Stream, Consumer: r.config.Consumer,
		Number: attempt, Reason: f.err.Error(), Wait: wait,
	})
	if err != nil {
		r.log.Debug("cannot record attempt", "sequence", f.message.Sequence, "error", err)
	}
}

// loggerFor returns a logger that includes the id of the message's first document, if it has any.
func (r *Runner[T]) loggerFor(f *inFlight[T]) *slog.Logger {
	if documents := documentsOf(f.message.Event); len(documents) > 0 {
		return r.log.With("document_id", documents[0])
	}
	return r.log
}

// documentsOf returns the ids of the documents that an event refers to.
func documentsOf(event any) (ids []uuid.UUID) {
	switch event := event.(type) {
	case schema.DocumentEvent:
		if event.DocumentID != uuid.Nil { // nil if the event could not be decoded
			ids = append(ids, event.DocumentID)
		}
	case interface{ Documents() []uuid.UUID }:
		return event.Documents()
	case []schema.BucketRecord:
		for _, r := range event {
			if id, ok := schema.DocumentID(r.Key); ok {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// logAckError logs a failure to send an acknowledgment.
func (r *Runner[T]) logAckError(f *inFlight[T], err error) {
	if err != nil {
		r.log.Debug("acknowledgment failed, message will be redelivered",
			"sequence", f.message.Sequence, "error", err)
	}
}
