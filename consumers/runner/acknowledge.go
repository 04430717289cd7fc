package runner

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"intray/infra/postgres"
	"intray/schema"
)

// outageDelay is when a message comes back that an outage kept from being
// decided. Nobody pulls before the outage ends, so it may be short.
const outageDelay = time.Second

// settle acknowledges the message, gives it back or buries it, and returns the
// outage that was in the way, if there was one.
//
// An acknowledgment that does not reach the server is no matter: the message is
// delivered again, and its handler finds its work done.
func (r *Runner[T]) settle(ctx context.Context, h *inHand[T]) error {
	sequence := h.message.Sequence
	if h.err == nil {
		h.outcome = outcomeDone
		r.tries.forget(sequence)
		r.told(h, h.raw.Ack())
		return nil
	}
	if Outage(h.err) {
		h.outcome = outcomeOutage
		r.told(h, h.raw.NakWithDelay(outageDelay))
		return h.err
	}

	var retry *retryError
	errors.As(h.err, &retry)
	if Postponed(h.err) {
		h.outcome = outcomePostponed
		r.log.Debug("message is postponed", "sequence", sequence, "delay", retry.wait, "cause", h.err)
		r.note(ctx, h, 0, retry.wait)
		r.told(h, h.raw.NakWithDelay(retry.wait))
		return nil
	}

	h.outcome = outcomeRetried
	count := r.tries.add(sequence)
	if errors.Is(h.err, ErrPermanent) || count >= r.config.MaxTries {
		return r.bury(ctx, h, count)
	}
	wait := Delay(count, r.config.MinDelay, r.config.MaxDelay)
	if retry != nil {
		wait = retry.wait
	}
	r.logOf(h).Warn("message failed and is tried again",
		"sequence", sequence, "try", count, "delay", wait, "error", h.err)
	r.note(ctx, h, count, wait)
	r.told(h, h.raw.NakWithDelay(wait))
	return nil
}

// bury keeps the message as a dead letter, then ends its delivery: in this order,
// so that a crash between the two buries it twice, which the table takes for
// once, rather than loses it.
func (r *Runner[T]) bury(ctx context.Context, h *inHand[T], count int) error {
	now := time.Now().UTC()
	err := r.db.PutDeadLetter(ctx, postgres.DeadLetter{
		Stream: h.meta.Stream, Sequence: h.meta.Sequence.Stream, Consumer: h.meta.Consumer,
		Subject: h.raw.Subject(), Headers: h.raw.Headers(), Data: h.raw.Data(),
		Reason: h.err.Error(), Attempts: count, FirstAt: h.meta.Timestamp.UTC(), DeadAt: now,
	})
	if err != nil {
		r.log.Error("dead letter cannot be kept; its message is tried again",
			"sequence", h.message.Sequence, "error", err, "reason", h.err)
		r.told(h, h.raw.NakWithDelay(Delay(count, r.config.MinDelay, r.config.MaxDelay)))
		if Outage(err) {
			return err
		}
		return nil
	}
	h.outcome = outcomeDead
	r.tries.forget(h.message.Sequence)
	r.logOf(h).Error("message became a dead letter",
		"stream", h.meta.Stream, "sequence", h.message.Sequence, "tries", count, "error", h.err)
	r.told(h, h.raw.TermWithReason(protocolText(h.err.Error())))
	return nil
}

// note keeps what happened to the message's documents, for whoever asks what one
// waits for. It is no matter where it cannot be kept: the log has it too.
func (r *Runner[T]) note(ctx context.Context, h *inHand[T], try int, wait time.Duration) {
	documents := documentsOf(h.message.Event)
	if len(documents) == 0 || (try == 0 && !r.tries.note(h.message.Sequence, time.Now())) {
		return
	}
	now := time.Now()
	err := r.db.RecordAttempt(ctx, documents, postgres.Attempt{
		Stream: r.config.Stream, Consumer: r.config.Consumer, At: now, Number: try, Reason: h.err.Error(), NextAt: now.Add(wait),
	})
	if err != nil {
		r.log.Debug("a try cannot be noted", "sequence", h.message.Sequence, "error", err)
	}
}

// logOf is the log of a message, with the document that it is about.
func (r *Runner[T]) logOf(h *inHand[T]) *slog.Logger {
	if documents := documentsOf(h.message.Event); len(documents) > 0 {
		return r.log.With("document_id", documents[0])
	}
	return r.log
}

// documentsOf are the documents that an event is about.
func documentsOf(event any) (ids []uuid.UUID) {
	switch event := event.(type) {
	case schema.DocumentEvent:
		if event.DocumentID != uuid.Nil { // what could not be read names none
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

func (r *Runner[T]) told(h *inHand[T], err error) {
	if err != nil {
		r.log.Debug("acknowledgment failed; the message will come again",
			"sequence", h.message.Sequence, "error", err)
	}
}

// protocolText makes s fit for a line of the NATS protocol. The dead letter has
// the whole of it.
func protocolText(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, s)
	const most = 200
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
