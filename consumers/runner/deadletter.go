package runner

import (
	"context"
	"strings"

	"intray/infra/postgres"
)

// deadLetter stores the message as a dead letter and then terminates its delivery. After a crash
// between the two, the message is redelivered and stored again under the same key. In the opposite
// order a crash could lose the message.
func (r *Runner[T]) deadLetter(ctx context.Context, f *inFlight[T], attempts int) error {
	err := r.db.AddDeadLetter(ctx, postgres.DeadLetter{
		Stream: f.meta.Stream, Sequence: f.meta.Sequence.Stream, Consumer: f.meta.Consumer,
		Subject: f.raw.Subject(), Headers: f.raw.Headers(), Data: f.raw.Data(),
		Documents: documentsOf(f.message.Event), Reason: f.err.Error(), Attempts: attempts,
		FirstAt: f.meta.Timestamp.UTC(),
	})
	if err != nil {
		r.log.Error("cannot store dead letter; the message will be retried",
			"sequence", f.message.Sequence, "error", err, "reason", f.err)
		r.logAckError(f, f.raw.NakWithDelay(Delay(attempts, r.config.MinDelay, r.config.MaxDelay)))
		if Outage(err) {
			return err
		}
		return nil
	}
	f.outcome = outcomeDead
	r.postponements.forget(f.message.Sequence)
	r.loggerFor(f).Error("message dead-lettered", "stream", f.meta.Stream,
		"sequence", f.message.Sequence, "attempts", attempts, "error", f.err)
	r.logAckError(f, f.raw.TermWithReason(protocolText(f.err.Error())))
	return nil
}

// protocolText makes s fit into one line of the NATS protocol, truncated to 200 bytes. The stored
// dead letter has the full text.
func protocolText(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, s)
	const maxLength = 200
	if len(s) > maxLength {
		s = strings.ToValidUTF8(s[:maxLength], "")
	}
	return s
}
