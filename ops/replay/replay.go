// Package replay reads stored events, and has one consumer handle some of them again:
// those of a stretch of a stream, or events made from a listing of the bucket.
//
//	Selection ──Scan──▶ Events ──Plan──▶ what would be done
//	                               └───▶ positions chosen, in PostgreSQL (Prepare)
//	undecided positions ──Runner──▶ stream REPLAY ──Handler──▶ confirm or classify
//	                                      outcome of each position ◀──┘
//
// The selection is fixed before the first event is published. A replay whose process
// died is resumed where it was, and its sums agree: each chosen event ends as applied,
// unchanged or failed, however often it was delivered.
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

// The targets: the consumers that can handle events again.
const (
	Confirm  = schema.ConsumerConfirm
	Classify = schema.ConsumerClassify
)

// Message is what the stream REPLAY holds for one event: which event of which
// replay it is, and what the event is about.
type Message struct {
	Replay string `json:"replay"`
	// Position is the event's sequence in its stream, or its number among the made.
	Position uint64 `json:"position"`
	// Bucket and Keys are of an event of the bucket, Document is of a document's.
	Bucket   string     `json:"bucket,omitempty"`
	Keys     []string   `json:"keys,omitempty"`
	Document *uuid.UUID `json:"document,omitempty"`
}

// Documents returns the documents that the message is about.
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

// Decode reads a message of the stream REPLAY. It fails with schema.ErrUndecodable.
func Decode(data []byte) (m Message, err error) {
	if err := json.Unmarshal(data, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", schema.ErrUndecodable, err)
	}
	if m.Replay == "" || (len(m.Keys) == 0) == (m.Document == nil) {
		return Message{}, fmt.Errorf("%w: no replay, or neither keys nor a document",
			schema.ErrUndecodable)
	}
	return m, nil
}

// BucketEvent returns the message as confirm takes it. It names no request, so that
// confirm never takes it for a duplicate, and stats the object.
func BucketEvent(m Message) []schema.BucketRecord {
	records := make([]schema.BucketRecord, len(m.Keys))
	for i, key := range m.Keys {
		records[i] = schema.BucketRecord{EventName: "s3:ObjectCreated:Put", Bucket: m.Bucket, Key: key}
	}
	return records
}

// DocumentEvent returns the message as classify takes it.
func DocumentEvent(m Message) schema.DocumentEvent {
	if m.Document == nil {
		return schema.DocumentEvent{}
	}
	return schema.DocumentEvent{DocumentID: *m.Document, Status: string(schema.StatusUploaded)}
}

// Handler returns a handler of replayed messages that has handle decide them, after
// event has turned them into what handle takes, and stores the outcome of each.
// maxAttempts is the runner's: after so many failed attempts a message becomes a dead
// letter.
//
// Applied means that the consumer changed a document of the event; it counts for the
// first of the batch's messages about that document. Outcomes are stored before the
// messages are acked. After a crash in between a message is handled once more, and
// what it had applied may count as unchanged.
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
		ids, keys := about(batch)
		before, err := db.DocumentStates(ctx, ids, keys)
		if err != nil {
			return fail(err)
		}
		inner := make([]runner.Message[T], len(batch))
		for i, m := range batch {
			inner[i] = runner.Message[T]{Event: event(m.Event), Sequence: m.Sequence, Attempts: m.Attempts}
		}
		errs = call(ctx, handle, inner)
		after, err := db.DocumentStates(ctx, ids, keys)
		if err != nil {
			return fail(err)
		}
		var decided []postgres.EventOutcome
		for i, m := range batch {
			d := postgres.EventOutcome{
				Replay: m.Event.Replay, Position: m.Event.Position, Outcome: postgres.Unchanged,
			}
			switch {
			case errs[i] == nil && changed(m.Event, before, after):
				d.Outcome = postgres.Applied
			case errs[i] == nil:
			case final(errs[i], len(batch), m.Attempts, maxAttempts):
				d.Outcome = postgres.Failed
			default:
				continue
			}
			decided = append(decided, d)
		}
		if len(decided) == 0 {
			return errs
		}
		if err := db.RecordOutcomes(ctx, decided); err != nil {
			return fail(err)
		}
		return errs
	}
}

// call turns a panic into an error, so that its outcome is noted too.
func call[T any](
	ctx context.Context, handle runner.Handler[T], batch []runner.Message[T],
) (errs []error) {
	defer func() {
		if p := recover(); p != nil || len(errs) != len(batch) {
			errs = make([]error, len(batch))
			for i := range errs {
				errs[i] = fmt.Errorf("handler panicked or gave no outcome: %v", p)
			}
		}
	}()
	return handle(ctx, batch)
}

// final reports whether the runner dead-letters the message after this failure. A
// failure in a batch of several is retried alone.
func final(err error, batch, attempts, maxAttempts int) bool {
	if runner.Outage(err) || runner.Postponed(err) {
		return false
	}
	return errors.Is(err, runner.ErrPermanent) || (batch == 1 && attempts+1 >= maxAttempts)
}

// about returns the documents and the keys that the messages name.
func about(batch []runner.Message[Message]) (ids []uuid.UUID, keys []string) {
	for _, m := range batch {
		if m.Event.Document != nil {
			ids = append(ids, *m.Event.Document)
		}
		keys = append(keys, m.Event.Keys...)
	}
	return ids, keys
}

// changed reports whether a document of the message changed. A change counts for the
// first message about the document.
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
