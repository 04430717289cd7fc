package replay

import (
	"context"
	"iter"
	"strings"

	"intray/schema"
)

// sourceOf returns the stream that holds a target's events, and their kind.
func sourceOf(target string) (stream string, kind string) {
	if target == Confirm {
		return schema.StreamBucket, KindCreated
	}
	return schema.StreamDocuments, string(schema.StatusUploaded)
}

// Choose yields the events that the selection chooses for a target, OnlyFailed and
// FromBucket included. Events that the target cannot handle are left out.
func (a Archive) Choose(ctx context.Context, target string, s Selection) iter.Seq2[Event, error] {
	stream, kind := sourceOf(target)
	var events iter.Seq2[Event, error]
	if s.FromBucket {
		s.Kinds = nil
		events = a.objects(ctx, s)
	} else {
		if len(s.Kinds) == 0 {
			s.Kinds = []string{kind}
		}
		events = a.Scan(ctx, stream, s, false)
	}
	events = a.handled(target, events)
	if s.OnlyFailed {
		events = a.failed(ctx, target, s, events)
	}
	return events
}

// handled yields the events that the target can handle.
func (a Archive) handled(target string, events iter.Seq2[Event, error]) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for e, err := range events {
			if err != nil {
				yield(Event{}, err)
				return
			}
			_, ok := e.message(target, "")
			if !ok || (target == Confirm && e.Bucket != a.BucketName) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// failed yields the events that the target did not manage.
func (a Archive) failed(
	ctx context.Context, target string, s Selection, events iter.Seq2[Event, error],
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		batch := make([]Event, 0, batchSize)
		flush := func() bool {
			dead, err := a.deadSequences(ctx, target, s, batch)
			if err != nil {
				yield(Event{}, err)
				return false
			}
			for _, e := range batch {
				if (dead[e.Sequence] || e.failedFor(target)) && !yield(e, nil) {
					return false
				}
			}
			batch = batch[:0]
			return true
		}
		for e, err := range events {
			if err != nil {
				yield(Event{}, err)
				return
			}
			if batch = append(batch, e); len(batch) == batchSize && !flush() {
				return
			}
		}
		flush()
	}
}

// deadSequences returns the sequences of the events that are dead letters of the
// target. Events made from the bucket have no sequence in a stream.
func (a Archive) deadSequences(
	ctx context.Context, target string, s Selection, events []Event,
) (map[uint64]bool, error) {
	if s.FromBucket || len(events) == 0 {
		return nil, nil
	}
	stream, _ := sourceOf(target)
	sequences := make([]uint64, len(events))
	for i, e := range events {
		sequences[i] = e.Sequence
	}
	return a.DB.DeadLetterSequences(ctx, stream, target, sequences)
}

// failedFor reports whether the event's document is in a status from which the
// target did not bring it on.
func (e Event) failedFor(target string) bool {
	status, _, _ := strings.Cut(e.Status, " ")
	switch schema.Status(status) {
	case schema.StatusPending, schema.StatusExpired:
		return target == Confirm
	case schema.StatusFailed:
		return target == Classify
	}
	return false
}
