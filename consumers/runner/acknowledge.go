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

// outageDelay is when a message that an outage kept from being decided is redelivered. Nothing is
// pulled before the outage ends, so it may be short.
const outageDelay = time.Second

// acknowledge acknowledges the message, gives it back or dead-letters it, and returns the outage that
// kept it from being decided, if there was one.
//
// A lost ack is harmless: the message is redelivered and handling it again changes nothing.
func (r *Runner[T]) acknowledge(ctx context.Context, f *inFlight[T]) error {
	sequence := f.message.Sequence
	if f.err == nil {
		f.outcome = outcomeDone
		r.attempts.forget(sequence)
		r.sent(f, f.raw.Ack())
		return nil
	}
	if Outage(f.err) {
		f.outcome = outcomeOutage
		r.sent(f, f.raw.NakWithDelay(outageDelay))
		return f.err
	}

	var retry *retryError
	errors.As(f.err, &retry)
	if Postponed(f.err) {
		f.outcome = outcomePostponed
		r.log.Debug("message is postponed", "sequence", sequence, "delay", retry.wait, "cause", f.err)
		r.record(ctx, f, 0, retry.wait)
		r.sent(f, f.raw.NakWithDelay(retry.wait))
		return nil
	}

	f.outcome = outcomeRetried
	count := r.attempts.add(sequence)
	if errors.Is(f.err, ErrPermanent) || count >= r.config.MaxAttempts {
		return r.deadLetter(ctx, f, count)
	}
	wait := Delay(count, r.config.MinDelay, r.config.MaxDelay)
	if retry != nil {
		wait = retry.wait
	}
	r.logOf(f).Warn("message failed and is tried again",
		"sequence", sequence, "try", count, "delay", wait, "error", f.err)
	r.record(ctx, f, count, wait)
	r.sent(f, f.raw.NakWithDelay(wait))
	return nil
}

// record keeps the attempt for the message's documents, so that an operator can see what a document
// waits for. A failure to keep it is harmless: the log has it too.
func (r *Runner[T]) record(ctx context.Context, f *inFlight[T], attempt int, wait time.Duration) {
	documents := documentsOf(f.message.Event)
	now := time.Now()
	if len(documents) == 0 || (attempt == 0 && !r.attempts.recordPostponed(f.message.Sequence, now)) {
		return
	}
	err := r.db.RecordAttempt(ctx, documents, postgres.Attempt{
		Stream: r.config.Stream, Consumer: r.config.Consumer,
		At: now, Number: attempt, Reason: f.err.Error(), NextAt: now.Add(wait),
	})
	if err != nil {
		r.log.Debug("an attempt cannot be recorded", "sequence", f.message.Sequence, "error", err)
	}
}

// logOf is the log of a message, with the document that it is about.
func (r *Runner[T]) logOf(f *inFlight[T]) *slog.Logger {
	if documents := documentsOf(f.message.Event); len(documents) > 0 {
		return r.log.With("document_id", documents[0])
	}
	return r.log
}

// documentsOf returns the documents that an event is about.
func documentsOf(event any) (ids []uuid.UUID) {
	switch event := event.(type) {
	case schema.DocumentEvent:
		if event.DocumentID != uuid.Nil { // an undecodable event names none
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

// sent logs that an acknowledgment could not be sent.
func (r *Runner[T]) sent(f *inFlight[T], err error) {
	if err != nil {
		r.log.Debug("acknowledgment failed; the message will come again",
			"sequence", f.message.Sequence, "error", err)
	}
}
