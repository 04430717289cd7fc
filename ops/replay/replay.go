// Package replay has one consumer handle events again: those of a stretch of a
// stream, or events that never were and are made from a listing of the bucket.
//
//	Selection ──Scan──▶ Events ──Plan──▶ what would be done
//	                               └───▶ positions chosen, in PostgreSQL (Prepare)
//	positions not decided ──Runner──▶ stream REPLAY ──Handler──▶ confirm or classify
//	                                        outcome of each position ◀──┘
//
// The selection is frozen before the first event is published, so a replay that
// died goes on where it was, and its sums agree: each event chosen is applied,
// unchanged or failed in the end, however often it was delivered.
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

// The targets: the consumers that can be had to handle events again.
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

// Documents are those that the message is about.
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
		return Message{}, fmt.Errorf("%w: no replay, or neither keys nor a document", schema.ErrUndecodable)
	}
	return m, nil
}

// BucketEvent is the message as confirm hears it. It names no request, so confirm
// takes it for none that it has heard before, and looks.
func BucketEvent(m Message) []schema.BucketRecord {
	records := make([]schema.BucketRecord, len(m.Keys))
	for i, key := range m.Keys {
		records[i] = schema.BucketRecord{EventName: "s3:ObjectCreated:Put", Bucket: m.Bucket, Key: key}
	}
	return records
}

// DocumentEvent is the message as classify hears it.
func DocumentEvent(m Message) schema.DocumentEvent {
	if m.Document == nil {
		return schema.DocumentEvent{}
	}
	return schema.DocumentEvent{DocumentID: *m.Document, Status: string(schema.StatusUploaded)}
}

// Handler has handle decide replayed messages, as event shows them to it, and
// notes what each came to. maxTries is the runner's: after so many failed tries a
// message is given up.
//
// Applied means that a document of the event is not what it was before, in what the
// consumer decides, for the first of the batch's messages about it.
// Outcomes are noted before the messages are acknowledged. After a crash in
// between a message is handled once more, and what it had applied may count as
// unchanged.
func Handler[T any](db *postgres.DB, event func(Message) T, handle runner.Handler[T], maxTries int) runner.Handler[Message] {
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
			inner[i] = runner.Message[T]{Event: event(m.Event), Sequence: m.Sequence, Tries: m.Tries}
		}
		errs = call(ctx, handle, inner)
		after, err := db.DocumentStates(ctx, ids, keys)
		if err != nil {
			return fail(err)
		}
		var decided []postgres.Decided
		for i, m := range batch {
			d := postgres.Decided{Replay: m.Event.Replay, Position: m.Event.Position, Outcome: postgres.Unchanged}
			switch {
			case errs[i] == nil && changed(m.Event, before, after):
				d.Outcome = postgres.Applied
			case errs[i] == nil:
			case final(errs[i], len(batch), m.Tries, maxTries):
				d.Outcome = postgres.Failed
			default:
				continue
			}
			decided = append(decided, d)
		}
		if len(decided) == 0 {
			return errs
		}
		if err := db.DecideEvents(ctx, decided); err != nil {
			return fail(err)
		}
		return errs
	}
}

// call turns a panic into an error, so that its outcome is noted too.
func call[T any](ctx context.Context, handle runner.Handler[T], batch []runner.Message[T]) (errs []error) {
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

// final says whether the runner gives the message up after this failure: a failure
// beside others is tried again alone.
func final(err error, batch, tries, maxTries int) bool {
	if runner.Outage(err) || runner.Postponed(err) {
		return false
	}
	return errors.Is(err, runner.ErrPermanent) || (batch == 1 && tries+1 >= maxTries)
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

// changed says whether a document of the message changed, which counts for the first
// message about it.
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
