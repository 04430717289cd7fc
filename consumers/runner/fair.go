package runner

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"intray/infra/nats"
)

// InLanes makes the runner serve lanes in turn instead of the stream's order, and
// returns it. Call it before Run. Each worker then has one message at a time,
// whatever Config.Batch says.
//
// JetStream delivers in order, so the runner takes all that there is, keeps a few
// messages and gives the others back with a delay: the one message of a user is
// found behind another's thousands. What was given back counts as unacknowledged,
// so the consumer's MaxAckPending bounds how far it can look.
func (r *Runner[T]) InLanes(of func(ctx context.Context, event T) Lane) *Runner[T] {
	r.laneOf = of
	return r
}

// pullInLanes is how many messages are looked at at once.
const pullInLanes = 256

// runInLanes consumes until ctx ends; what waits then is given back at once.
func (r *Runner[T]) runInLanes(ctx context.Context) {
	l := newLanes()
	var all sync.WaitGroup
	for range r.config.Workers {
		all.Go(func() { r.workInLanes(ctx, l) })
	}
	all.Go(func() { r.fill(ctx, l) })
	all.Go(func() { keepWaiting(ctx, l) })
	all.Wait()
	for _, m := range l.all() {
		_ = m.Nak() // where it does not arrive, its AckWait runs out
	}
}

// workInLanes handles one message at a time.
func (r *Runner[T]) workInLanes(ctx context.Context, l *lanes) {
	for {
		m := l.next(ctx)
		if m == nil {
			return
		}
		err := r.process(ctx, []jetstream.Msg{m.raw}, l.ackWaitNow(), m.gaveBack)
		var resume func()
		if err != nil {
			resume = l.pause()
		}
		l.done(m, time.Now())
		if resume != nil {
			r.waitOut(ctx, err)
			resume()
			continue
		}
		r.health.good()
	}
}

// fill pulls until ctx ends.
func (r *Runner[T]) fill(ctx context.Context, l *lanes) {
	var wait backoff
	var consumer jetstream.Consumer
	for ctx.Err() == nil {
		if l.isPaused() {
			wait.sleep(ctx)
			continue
		}
		messages, err := r.pull(ctx, &consumer, pullInLanes)
		if err != nil {
			consumer = nil // it may have been deleted, with or without its stream
			if ctx.Err() == nil {
				r.health.bad("cannot pull", err)
			}
			wait.sleep(ctx)
			continue
		}
		wait.reset()
		l.setAckWait(consumer.CachedInfo().Config.AckWait)
		for _, m := range messages {
			if back, delay := l.add(r.waiting(ctx, m), time.Now()); back != nil {
				_ = back.raw.NakWithDelay(delay)
			}
		}
	}
}

// waiting finds a message's lane. What cannot be read has none; a worker buries it.
func (r *Runner[T]) waiting(ctx context.Context, m jetstream.Msg) *waiting {
	w := &waiting{raw: m}
	if meta, err := m.Metadata(); err == nil {
		w.sequence = meta.Sequence.Stream
	}
	if event, err := r.decode(m.Data()); err == nil {
		w.lane = r.laneOf(ctx, event)
	}
	return w
}

// keepWaiting tells the server that the messages that wait are not lost. Those in
// hand are told of by process.
func keepWaiting(ctx context.Context, l *lanes) {
	tick := time.NewTicker(nats.AckWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.forget(now)
			for _, m := range l.all() {
				_ = m.InProgress()
			}
		}
	}
}
