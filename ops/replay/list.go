package replay

import (
	"context"
	"iter"
	"sync"
)

// events is a sequence of events. It ends after an error.
type events = iter.Seq2[Event, error]

// List yields the events of several streams that match the selection, ordered by time.
func (a Archive) List(ctx context.Context, streams []string, s Selection) iter.Seq2[Event, error] {
	var scans []events
	for _, stream := range streams {
		scans = append(scans, a.Scan(ctx, stream, s, false))
	}
	return merge(scans)
}

// Follow yields the events that List yields, and then new events as the streams store them.
// When ctx is canceled, it yields the error of ctx and ends. The selection must have neither
// To nor LastSequence.
func (a Archive) Follow(
	ctx context.Context, streams []string, s Selection,
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var stored, added []events
		for _, stream := range streams {
			state, err := a.Conn.State(ctx, stream)
			if err != nil {
				yield(Event{}, err)
				return
			}
			before, after := s, s
			before.LastSequence = state.LastSequence
			after.FirstSequence = max(s.FirstSequence, state.LastSequence+1)
			if state.LastSequence >= max(1, s.FirstSequence) {
				stored = append(stored, a.Scan(ctx, stream, before, false))
			}
			added = append(added, a.Scan(ctx, stream, after, true))
		}
		for e, err := range merge(stored) {
			if !yield(e, err) || err != nil {
				return
			}
		}
		interleave(ctx, cancel, added, yield)
	}
}

// head holds the next event of a scan, which has not been yielded yet.
type head struct {
	event Event
	next  func() (Event, error, bool)
}

// advance moves to the next event of the scan and reports whether there is one.
func (h *head) advance() (ok bool, err error) {
	h.event, err, ok = h.next()
	return ok, err
}

// merge yields the events of several scans ordered by time. Each scan must be ordered by time.
func merge(scans []events) events {
	return func(yield func(Event, error) bool) {
		var heads []*head
		for _, scan := range scans {
			next, stop := iter.Pull2(scan)
			defer stop()
			h := &head{next: next}
			ok, err := h.advance()
			if err != nil {
				yield(Event{}, err)
				return
			}
			if ok {
				heads = append(heads, h)
			}
		}
		for len(heads) > 0 {
			first := earliest(heads)
			if !yield(heads[first].event, nil) {
				return
			}
			ok, err := heads[first].advance()
			if err != nil {
				yield(Event{}, err)
				return
			}
			if !ok {
				heads = append(heads[:first], heads[first+1:]...)
			}
		}
	}
}

// earliest returns the index of the earliest event, or the lowest index if several events have
// the same time.
func earliest(heads []*head) int {
	first := 0
	for i, h := range heads {
		if h.event.Time.Before(heads[first].event.Time) {
			first = i
		}
	}
	return first
}

// interleave runs the scans concurrently and yields their events as they arrive, until a scan
// fails, ctx is canceled or yield returns false. Before it returns it cancels ctx, which the
// scans must use, and waits for the scans to end.
func interleave(
	ctx context.Context, cancel context.CancelFunc, scans []events, yield func(Event, error) bool,
) {
	type result struct {
		event Event
		err   error
	}
	results := make(chan result)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, scan := range scans {
		running.Go(func() {
			for e, err := range scan {
				select {
				case results <- result{e, err}:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	for {
		select {
		case <-ctx.Done():
			yield(Event{}, ctx.Err())
			return
		case r := <-results:
			if !yield(r.event, r.err) || r.err != nil {
				return
			}
		}
	}
}
