package runner

import (
	"context"
	"strings"
	"time"

	"intray/infra/postgres"
)

// deadLetter keeps the message as a dead letter and then terminates its delivery. After a crash
// between the two it is kept again, which changes nothing; the other order could lose it.
func (r *Runner[T]) deadLetter(ctx context.Context, f *inFlight[T], attempts int) error {
	now := time.Now().UTC()
	err := r.db.AddDeadLetter(ctx, postgres.DeadLetter{
		Stream: f.meta.Stream, Sequence: f.meta.Sequence.Stream, Consumer: f.meta.Consumer,
		Subject: f.raw.Subject(), Headers: f.raw.Headers(), Data: f.raw.Data(),
		Reason: f.err.Error(), Attempts: attempts, FirstAt: f.meta.Timestamp.UTC(), DeadAt: now,
	})
	if err != nil {
		r.log.Error("dead letter cannot be kept; its message is tried again",
			"sequence", f.message.Sequence, "error", err, "reason", f.err)
		r.sent(f, f.raw.NakWithDelay(Delay(attempts, r.config.MinDelay, r.config.MaxDelay)))
		if Outage(err) {
			return err
		}
		return nil
	}
	f.outcome = outcomeDead
	r.attempts.forget(f.message.Sequence)
	r.logOf(f).Error("message became a dead letter",
		"stream", f.meta.Stream, "sequence", f.message.Sequence, "tries", attempts, "error", f.err)
	r.sent(f, f.raw.TermWithReason(protocolText(f.err.Error())))
	return nil
}

// protocolText makes s fit for a line of the NATS protocol. The dead letter has all of it.
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
