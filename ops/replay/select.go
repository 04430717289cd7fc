package replay

import (
	"context"
	"iter"
	"strings"

	"intray/schema"
)

// sourceOf returns the stream that holds the events of a target, and the kind of event that
// triggers the target.
func sourceOf(target string) (stream, kind string) {
	if target == Confirm {
		return schema.StreamBucket, KindCreated
	}
	return schema.StreamDocuments, string(schema.StatusUploaded)
}

// Select yields the events that match the selection and that the target can handle. Unlike
// Scan, it honors OnlyFailed and FromBucket. If the selection has no kinds, Select yields
// events of the kind that triggers the target.
func (a Archive) Select(ctx context.Context, target string, s Selection) iter.Seq2[Event, error] {
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
	events = a.onlySupported(target, events)
	if s.OnlyFailed {
		events = a.onlyFailed(ctx, target, s, events)
	}
	return events
}

// onlySupported yields the events that the target can handle.
func (a Archive) onlySupported(
	target string, events iter.Seq2[Event, error],
) iter.Seq2[Event, error] {
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

// onlyFailed yields the events that the target failed to handle: those that became dead letters,
// and those of documents whose status shows that the target has not processed them.
func (a Archive) onlyFailed(
	ctx context.Context, target string, s Selection, events iter.Seq2[Event, error],
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		batch := make([]Event, 0, batchSize)
		flush := func() bool {
			deadLetters, err := a.deadLetterSequences(ctx, target, s, batch)
			if err != nil {
				yield(Event{}, err)
				return false
			}
			for _, e := range batch {
				if (deadLetters[e.Sequence] || e.failedFor(target)) && !yield(e, nil) {
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

// deadLetterSequences returns the sequences of those of events that became dead letters of the
// target. It returns none for events generated from the bucket, which have no sequence in a stream.
func (a Archive) deadLetterSequences(
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

// failedFor reports whether the status of the event's document shows that the target has not
// processed it: pending or expired for confirm, failed for classify.
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
