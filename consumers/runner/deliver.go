package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// inFlight is one message from its delivery to its acknowledgment.
type inFlight[T any] struct {
	raw     jetstream.Msg
	meta    *jetstream.MsgMetadata
	message Message[T]
	err     error
	outcome string // set by acknowledge
}

// deliver decodes, handles and acknowledges messages. It returns the outage that kept some of them
// from being decided, if there was one.
//
// After ctx has ended it continues for up to Config.DrainTimeout. Three times in each AckWait it
// extends the messages' time for an ack. gaveBack means that these messages are delivered again
// because the runner itself gave them back until their turn.
func (r *Runner[T]) deliver(ctx context.Context, d delivery, gaveBack bool) error {
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(r.config.DrainTimeout, cancel)
		context.AfterFunc(work, func() { timer.Stop() })
	})
	defer stop()
	defer keepInProgress(d)()

	began := time.Now()
	batch := make([]*inFlight[T], 0, len(d.messages))
	decoded := make([]*inFlight[T], 0, len(d.messages))
	for _, m := range d.messages {
		meta, err := m.Metadata()
		if err != nil { // not a JetStream message: not ours, and nothing to acknowledge
			r.log.Error("message without metadata", "subject", m.Subject(), "error", err)
			continue
		}
		f := &inFlight[T]{raw: m, meta: meta}
		f.message.Sequence = meta.Sequence.Stream
		f.message.Attempts = r.attempts.failed(meta.Sequence.Stream)
		if f.message.Event, err = r.decode(m.Data()); err != nil {
			f.err = Permanent(err)
		} else {
			decoded = append(decoded, f)
		}
		batch = append(batch, f)
	}
	r.decide(work, decoded)

	var outage error
	for _, f := range batch {
		if err := r.acknowledge(work, f); err != nil {
			outage = err
		}
	}
	r.count(batch, time.Since(began), gaveBack)
	return outage
}

// keepInProgress extends the messages' time for an ack again and again, until the returned function
// is called.
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
					// It fails for a message that was acknowledged meanwhile, or while the
					// server is down. The worst case is one more delivery.
					_ = m.InProgress()
				}
			}
		}
	}()
	return func() { ticker.Stop(); close(ended); <-stopped }
}

// decide sets each message's error. Messages that fail in a batch are handled again in two halves,
// and so on: one that fails by itself ends up alone.
func (r *Runner[T]) decide(ctx context.Context, batch []*inFlight[T]) {
	if len(batch) == 0 {
		return
	}
	messages := make([]Message[T], len(batch))
	for i, f := range batch {
		messages[i] = f.message
	}
	errs := r.call(ctx, messages)
	var again []*inFlight[T]
	for i, f := range batch {
		f.err = errs[i]
		if f.err != nil && len(batch) > 1 && !Outage(f.err) && !errors.Is(f.err, ErrPermanent) {
			again = append(again, f)
		}
	}
	half := (len(again) + 1) / 2
	r.decide(ctx, again[:half])
	r.decide(ctx, again[half:])
}

// call runs the handler. A panic fails the batch and nothing else, so a message that makes a handler
// panic becomes a dead letter too.
func (r *Runner[T]) call(ctx context.Context, messages []Message[T]) (errs []error) {
	defer func() {
		p := recover()
		if p != nil {
			r.log.Error("handler panicked", "panic", p, "stack", string(debug.Stack()))
		}
		if len(errs) != len(messages) {
			errs = make([]error, len(messages))
			for i := range errs {
				errs[i] = fmt.Errorf("handler panicked or gave no outcome: %v", p)
			}
		}
	}()
	return r.handle(ctx, messages)
}
