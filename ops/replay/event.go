package replay

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/infra/nats"
	"intray/ops/deadletters"
	"intray/schema"
)

// The kinds of events. The kind of an event of a document is the status that the document
// reached, or KindDeleted.
const (
	KindCreated    = "created"    // the bucket has a new object
	KindRemoved    = "removed"    // an object was removed from the bucket
	KindOther      = "other"      // another event of the bucket, such as tagging; it is ignored
	KindUnreadable = "unreadable" // the message cannot be decoded
	KindDeleted    = "deleted"    // a document was deleted
)

// kindsOf returns all kinds of events that a stream can hold.
func kindsOf(stream string) []string {
	if stream == schema.StreamBucket {
		return []string{KindCreated, KindRemoved, KindOther, KindUnreadable}
	}
	kinds := []string{KindDeleted, KindUnreadable}
	for _, s := range schema.Statuses {
		kinds = append(kinds, string(s))
	}
	return kinds
}

// Event is a message of the BUCKET or DOCUMENTS stream, or an event generated from an object of the
// bucket, together with the current state of its document.
type Event struct {
	Stream string `json:"stream,omitempty"` // empty for a generated event
	// Sequence is the sequence in the stream, or the number of a generated event.
	Sequence uint64 `json:"sequence"`
	// Time is when the stream stored the message, or when the object was last modified.
	Time    time.Time `json:"time"`
	Subject string    `json:"subject,omitempty"`
	Kind    string    `json:"kind"`
	// Bucket and Keys are set for an event of the bucket, which usually has one key.
	Bucket string   `json:"bucket,omitempty"`
	Keys   []string `json:"keys,omitempty"`
	// Version, Reason and At are set for an event of a document. At is the time of the change.
	Version int64      `json:"version,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	At      *time.Time `json:"at,omitempty"`
	// RetryOf names the original message, as <stream>:<sequence>, if this message is the retry
	// of a dead letter.
	RetryOf string `json:"retry_of,omitempty"`
	// Document, User and Email describe the first document of the event that is in the database.
	Document *uuid.UUID `json:"document_id,omitempty"`
	User     *uuid.UUID `json:"user_id,omitempty"`
	Email    string     `json:"email,omitempty"`
	// Status is the current status of the document with its reason. It is "gone" if the row of
	// the document was deleted, and "unknown" if the database has never had the document.
	Status string `json:"status_now"`

	last bool // no later message was stored when this one was read
}

// decode decodes a message. A message that cannot be decoded is an event of KindUnreadable.
func decode(m nats.StoredMessage) Event {
	e := Event{
		Stream: m.Stream, Sequence: m.Sequence, Time: m.Time, Subject: m.Subject,
		Kind: KindUnreadable, last: m.Last,
	}
	if of := m.Header[deadletters.HeaderRetryOf]; len(of) > 0 {
		e.RetryOf = of[0]
	}
	if m.Stream == schema.StreamBucket {
		records, err := schema.DecodeBucketEvent(m.Data)
		if err != nil {
			return e
		}
		e.Kind = KindOther
		for _, r := range records {
			switch {
			case r.IsCreated():
				e.Kind = KindCreated
			case r.IsRemoved() && e.Kind == KindOther:
				e.Kind = KindRemoved
			}
			e.Bucket = r.Bucket
			if !slices.Contains(e.Keys, r.Key) {
				e.Keys = append(e.Keys, r.Key)
			}
		}
		return e
	}
	d, err := schema.DecodeDocumentEvent(m.Data)
	if err != nil {
		return e
	}
	at := d.At.UTC()
	e.Kind, e.Version, e.Reason, e.At = d.Status, d.Version, string(d.Reason), &at
	e.Document, e.User = &d.DocumentID, &d.UserID
	return e
}

// message returns the message to publish for the event in the replay of that name. It returns
// false if the target cannot handle the event.
func (e Event) message(target, name string) (Message, bool) {
	m := Message{Replay: name, Position: e.Sequence}
	if target == Confirm {
		m.Bucket, m.Keys = e.Bucket, e.Keys
		return m, len(m.Keys) > 0
	}
	m.Document = e.Document
	return m, m.Document != nil
}
