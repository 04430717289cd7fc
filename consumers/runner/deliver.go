package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/minio"
	"intray/infra/postgres"
)

// inFlight is a message between its delivery and its acknowledgment.
type inFlight[T any] struct {
	raw     jetstream.Msg
	meta    *jetstream.MsgMetadata
	message Message[T]
	err     error
	outcome string // set by acknowledge
}

// deliver decodes, handles and acknowledges messages. If an outage kept any of them from being
// handled, it returns that error.
//
// After ctx is canceled it continues for up to Config.DrainTimeout. While it runs, it extends the
// ack deadline of the messages three times per AckWait.
func (r *Runner[T]) deliver(ctx context.Context, d delivery) error {
	work, cancel := r.drainable(ctx)
	defer cancel()
	defer keepInProgress(d)()

	began := time.Now()
	batch := make([]*inFlight[T], 0, len(d.messages))
	decoded := make([]*inFlight[T], 0, len(d.messages))
	for _, m := range d.messages {
		meta, err := m.Metadata()
		if err != nil { // not a JetStream message, so there is nothing to acknowledge
			r.log.Error("message without JetStream metadata", "subject", m.Subject(), "error", err)
			continue
		}
		f := &inFlight[T]{raw: m, meta: meta}
		f.message.Sequence = meta.Sequence.Stream
		if f.message.Event, err = r.decode(m.Data()); err != nil {
			f.err = Permanent(err)
		} else {
			decoded = append(decoded, f)
		}
		batch = append(batch, f)
	}
	read, cancel := context.WithTimeout(work, r.config.Timeout)
	defer cancel()
	if err := r.readAttempts(read, batch); err != nil {
		for _, f := range batch {
			f.err = err
		}
	} else {
		r.process(work, decoded)
	}

	// A handler that used up its time has failed, and that must be recorded as well.
	drain, cancel := r.drainable(ctx)
	defer cancel()
	record, cancel := context.WithTimeout(drain, r.config.Timeout)
	defer cancel()
	r.checkDependencies(record, batch)
	r.forgetAttempts(record, batch)
	var outage, locked error
	postponed := 0
	for _, f := range batch {
		if err := r.acknowledge(record, f); err != nil {
			outage = err
		}
		if errors.Is(f.err, postgres.ErrLocked) {
			locked = f.err
			postponed++
		}
	}
	if locked != nil {
		r.log.Warn("messages postponed because other transactions hold locks",
			"messages", postponed, "error", locked)
	}
	r.observeBatch(batch, time.Since(began), d.returned)
	return outage
}

// drainable returns a context that continues for up to Config.DrainTimeout after ctx is canceled.
func (r *Runner[T]) drainable(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(r.config.DrainTimeout, cancel)
		context.AfterFunc(work, func() { timer.Stop() })
	})
	return work, func() { stop(); cancel() }
}

// keepInProgress periodically extends the ack deadline of the messages, until stop is called.
func keepInProgress(d delivery) (stop func()) {
	ticker := time.NewTicker(d.ackWait / 3)
	ended := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				for _, m := range d.messages {
					// This fails for a message that has been acknowledged already, and while the server is down.
					// In the worst case the message is redelivered.
					_ = m.InProgress()
				}
			}
		}
	}()
	return func() { ticker.Stop(); close(ended); <-stopped }
}

// process handles a batch and sets each message's error. Messages that fail in a batch are handled
// again in two halves, recursively, so a message that causes its own failure ends up alone.
// Postponed messages are not, because handling them has not begun, nor are those whose own object
// or locked rows are known to have caused the failure.
func (r *Runner[T]) process(ctx context.Context, batch []*inFlight[T]) {
	if len(batch) == 0 {
		return
	}
	messages := make([]Message[T], len(batch))
	for i, f := range batch {
		messages[i] = f.message
	}
	errs := r.callHandler(ctx, messages)
	var again []*inFlight[T]
	for i, f := range batch {
		f.err = errs[i]
		if f.err != nil && len(batch) > 1 && !Outage(f.err) && !Postponed(f.err) &&
			!errors.Is(f.err, ErrPermanent) && !errors.Is(f.err, minio.ErrInaccessible) &&
			!errors.As(f.err, new(*postgres.LockedError)) {
			again = append(again, f)
		}
	}
	half := (len(again) + 1) / 2
	r.process(ctx, again[:half])
	r.process(ctx, again[half:])
}

// callHandler calls the handler, with a context that ends after Config.Timeout. A panic only fails
// the batch, so a message that makes the handler panic is eventually dead-lettered.
func (r *Runner[T]) callHandler(ctx context.Context, messages []Message[T]) (errs []error) {
	limited, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	defer func() {
		var failure error
		if p := recover(); p != nil {
			r.log.Error("handler panicked", "panic", p, "stack", string(debug.Stack()))
			failure = fmt.Errorf("handler panicked: %v", p)
		} else if len(errs) != len(messages) {
			failure = fmt.Errorf("handler returned %d errors for %d messages", len(errs), len(messages))
		}
		if failure != nil {
			errs = make([]error, len(messages))
			for i := range errs {
				errs[i] = failure
			}
		}
		if errors.Is(limited.Err(), context.DeadlineExceeded) {
			r.judgeTimeout(ctx, errs)
		}
	}()
	return r.handle(limited, messages)
}

// judgeTimeout replaces the outages among the errors of a handler that has used up its time, unless
// a dependency is unavailable. Whatever the handler was waiting for when its context ended looks
// like an outage, and the same batch would otherwise come back again and again.
func (r *Runner[T]) judgeTimeout(ctx context.Context, errs []error) {
	if !slices.ContainsFunc(errs, Outage) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if r.config.Probe(ctx) != nil {
		return
	}
	for i, err := range errs {
		if Outage(err) {
			errs[i] = &timeoutError{cause: err, timeout: r.config.Timeout}
		}
	}
}
