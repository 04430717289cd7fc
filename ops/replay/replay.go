// Package replay reads the events that the streams store, and delivers selected events again
// to one consumer. The events are either those of a range of a stream, or are generated from
// a listing of the bucket.
//
//	Selection ──Select──▶ events ──Prepare──▶ Plan: what a replay would do
//	                                  └─────▶ positions of the events, in PostgreSQL
//	positions without an outcome ──Runner──▶ stream REPLAY ──Handler──▶ confirm or classify
//	                                         outcome of each position ◀────┘
//
// The selection is fixed before the first event is published. If the process that runs a
// replay dies, another one can resume the replay where it stopped. Each selected event gets
// exactly one outcome (applied, unchanged or failed), however often it is delivered.
package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"intray/consumers/runner"
	"intray/infra/postgres"
	"intray/schema"
)

// The targets of replays: the consumers that can handle past events again.
const (
	Confirm  = schema.ConsumerConfirm
	Classify = schema.ConsumerClassify
)

// Message is the content of a message in the REPLAY stream. It identifies one event of one replay,
// and the objects or the document of the event.
type Message struct {
	Replay string `json:"replay"`
	// Position is the sequence of the event in its stream. For a generated event it is the event's
	// number, counted from 1.
	Position uint64 `json:"position"`
	// Bucket and Keys are set for an event of the bucket, Document for an event of a document.
	Bucket   string     `json:"bucket,omitempty"`
	Keys     []string   `json:"keys,omitempty"`
	Document *uuid.UUID `json:"document,omitempty"`
}

// Documents returns the ids of the documents of the event.
func (m Message) Documents() (ids []uuid.UUID) {
	if m.Document != nil {
		ids = append(ids, *m.Document)
	}
	for _, key := range m.Keys {
		if id, ok := schema.DocumentID(key); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// Decode decodes the data of a message in the REPLAY stream. It returns an error that wraps
// schema.ErrUndecodable if the data is not valid.
func Decode(data []byte) (m Message, err error) {
	if err := json.Unmarshal(data, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", schema.ErrUndecodable, err)
	}
	if m.Replay == "" || (len(m.Keys) == 0) == (m.Document == nil) {
		return Message{}, fmt.Errorf("%w: it must name a replay, and either keys or a document",
			schema.ErrUndecodable)
	}
	return m, nil
}

// BucketEvent converts a message to the event type of the confirm consumer. The records have no
// request id, so that confirm never drops them as duplicates and always stats the objects.
func BucketEvent(m Message) []schema.BucketRecord {
	records := make([]schema.BucketRecord, len(m.Keys))
	for i, key := range m.Keys {
		records[i] = schema.BucketRecord{EventName: "s3:ObjectCreated:Put", Bucket: m.Bucket, Key: key}
	}
	return records
}

// DocumentEvent converts a message to the event type of the classify consumer.
func DocumentEvent(m Message) schema.DocumentEvent {
	if m.Document == nil {
		return schema.DocumentEvent{}
	}
	return schema.DocumentEvent{DocumentID: *m.Document, Status: string(schema.StatusUploaded)}
}

// Handler returns a handler for the messages of the REPLAY stream. It converts each message by
// calling event, passes the results to handle, and stores the outcome of each message. maxAttempts
// is the number of failed attempts after which the runner dead-letters a message.
//
// The outcome is applied if handle changed a document of the event. If a batch has several
// messages for one document, only the first of them counts as applied. Outcomes are stored
// before the messages are acknowledged. After a crash in between, the message is handled
// again, and its outcome may then be unchanged although the first delivery changed the
// document.
func Handler[T any](
	db *postgres.DB, event func(Message) T, handle runner.Handler[T], maxAttempts int,
) runner.Handler[Message] {
	return func(ctx context.Context, batch []runner.Message[Message]) []error {
		errs := make([]error, len(batch))
		fail := func(err error) []error {
			for i := range errs {
				errs[i] = err
			}
			return errs
		}
		ids, keys := references(batch)
		before, err := db.DocumentStates(ctx, ids, keys)
		if err != nil {
			return fail(err)
		}
		inner := make([]runner.Message[T], len(batch))
		for i, m := range batch {
			inner[i] = runner.Message[T]{Event: event(m.Event), Sequence: m.Sequence, Attempts: m.Attempts}
		}
		errs = callRecovered(ctx, handle, inner)
		after, err := db.DocumentStates(ctx, ids, keys)
		if err != nil {
			return fail(err)
		}
		var outcomes []postgres.EventOutcome
		for i, m := range batch {
			o := postgres.EventOutcome{
				Replay: m.Event.Replay, Position: m.Event.Position, Outcome: postgres.Unchanged,
			}
			switch {
			case errs[i] == nil && changed(m.Event, before, after):
				o.Outcome = postgres.Applied
			case errs[i] == nil:
			case isFinal(errs[i], len(batch), m.Attempts, maxAttempts):
				o.Outcome = postgres.Failed
			default:
				continue
			}
			outcomes = append(outcomes, o)
		}
		if len(outcomes) == 0 {
			return errs
		}
		if err := db.RecordOutcomes(ctx, outcomes); err != nil {
			return fail(err)
		}
		return errs
	}
}

// callRecovered calls handle and turns a panic into an error for each message of the batch, so
// that an outcome can be stored for them.
func callRecovered[T any](
	ctx context.Context, handle runner.Handler[T], batch []runner.Message[T],
) (errs []error) {
	defer func() {
		if p := recover(); p != nil || len(errs) != len(batch) {
			errs = make([]error, len(batch))
			for i := range errs {
				errs[i] = fmt.Errorf("handler panicked or returned the wrong number of errors: %v", p)
			}
		}
	}()
	return handle(ctx, batch)
}

// isFinal reports whether the runner dead-letters the message after this error. A permanent error
// is always final. Any other error is final only after the last attempt in a batch of one, because
// a message that fails in a larger batch is retried in a batch of its own.
func isFinal(err error, batch, attempts, maxAttempts int) bool {
	if runner.Uncounted(err) {
		return false
	}
	return errors.Is(err, runner.ErrPermanent) || (batch == 1 && attempts+1 >= maxAttempts)
}

// references returns the document ids and the object keys that the messages name.
func references(batch []runner.Message[Message]) (ids []uuid.UUID, keys []string) {
	for _, m := range batch {
		if m.Event.Document != nil {
			ids = append(ids, *m.Event.Document)
		}
		keys = append(keys, m.Event.Keys...)
	}
	return ids, keys
}

// changed reports whether a document of the message changed. It records the change in before,
// so that a change is reported only for the first message of a document.
func changed(m Message, before, after map[string]string) (changed bool) {
	refs := m.Keys
	if m.Document != nil {
		refs = []string{m.Document.String()}
	}
	for _, ref := range refs {
		changed = changed || before[ref] != after[ref]
		before[ref] = after[ref]
	}
	return changed
}
