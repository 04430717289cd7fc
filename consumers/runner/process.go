package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// inHand is one message from its delivery to its acknowledgment.
type inHand[T any] struct {
	raw     jetstream.Msg
	meta    *jetstream.MsgMetadata
	message Message[T]
	err     error
	outcome string // set by settle
}

// process decodes, handles and settles what was pulled. It returns the outage
// that kept some of it from being decided, if there was one.
//
// It goes on when ctx ends, for Config.DrainTimeout at most. Three times in each
// ackWait, which is when the server would deliver again, it says that it does.
// gaveBack says that the runner itself had them delivered again.
func (r *Runner[T]) process(ctx context.Context, raw []jetstream.Msg, ackWait time.Duration, gaveBack bool) error {
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(r.config.DrainTimeout, cancel)
		context.AfterFunc(work, func() { timer.Stop() })
	})
	defer stop()
	defer keepInHand(raw, ackWait/3)()

	began := time.Now()
	batch := make([]*inHand[T], 0, len(raw))
	decoded := make([]*inHand[T], 0, len(raw))
	for _, m := range raw {
		meta, err := m.Metadata()
		if err != nil { // no JetStream message: nothing of ours, and nothing to acknowledge
			r.log.Error("message without metadata", "subject", m.Subject(), "error", err)
			continue
		}
		h := &inHand[T]{raw: m, meta: meta}
		h.message.Sequence = meta.Sequence.Stream
		h.message.Tries = r.tries.of(meta.Sequence.Stream)
		if h.message.Event, err = r.decode(m.Data()); err != nil {
			h.err = Permanent(err)
		} else {
			decoded = append(decoded, h)
		}
		batch = append(batch, h)
	}
	r.decide(work, decoded)

	var outage error
	for _, h := range batch {
		if err := r.settle(work, h); err != nil {
			outage = err
		}
	}
	r.count(batch, time.Since(began), gaveBack)
	return outage
}

// keepInHand tells the server at each interval that work on the messages goes on,
// until the returned function is called.
func keepInHand(raw []jetstream.Msg, interval time.Duration) (done func()) {
	ticker := time.NewTicker(interval)
	ended := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				for _, m := range raw {
					// A message that was acknowledged meanwhile, or a server that
					// is away, is no matter: the worst is one more delivery.
					_ = m.InProgress()
				}
			}
		}
	}()
	return func() { ticker.Stop(); close(ended); <-stopped }
}

// decide sets each message's error. Messages that fail beside others are tried
// in two halves, and so on: one that fails by itself ends up alone.
func (r *Runner[T]) decide(ctx context.Context, batch []*inHand[T]) {
	if len(batch) == 0 {
		return
	}
	messages := make([]Message[T], len(batch))
	for i, h := range batch {
		messages[i] = h.message
	}
	errs := r.call(ctx, messages)
	var again []*inHand[T]
	for i, h := range batch {
		h.err = errs[i]
		if h.err != nil && len(batch) > 1 && !Outage(h.err) && !errors.Is(h.err, ErrPermanent) {
			again = append(again, h)
		}
	}
	half := (len(again) + 1) / 2
	r.decide(ctx, again[:half])
	r.decide(ctx, again[half:])
}

// call runs the handler. A panic fails the whole batch and nothing more, so that
// a message that a handler cannot bear ends as a dead letter too.
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
