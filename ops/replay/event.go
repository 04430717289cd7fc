package replay

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"intray/infra/nats"
	"intray/ops/deadletters"
	"intray/schema"
)

// The kinds of the bucket's events, and deleted. The other kinds of documents' events
// are their statuses.
const (
	KindCreated    = "created"
	KindRemoved    = "removed"
	KindOther      = "other"      // tagging, for example; nobody acts on it
	KindUnreadable = "unreadable" // no event at all
	KindDeleted    = "deleted"
)

// kindsOf returns all kinds of a stream's events.
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

// Event is a message of BUCKET or DOCUMENTS, or an object where events are made
// from the bucket, with what is known of its documents now.
type Event struct {
	Stream   string    `json:"stream,omitempty"`
	Sequence uint64    `json:"sequence"` // or its number, where it was made
	Time     time.Time `json:"time"`     // when the stream stored it, or the object was
	Subject  string    `json:"subject,omitempty"`
	Kind     string    `json:"kind"`
	// Bucket and Keys are of an event of the bucket, which names one key as a rule.
	Bucket string   `json:"bucket,omitempty"`
	Keys   []string `json:"keys,omitempty"`
	// Version, Reason and At are of a document's event.
	Version int64      `json:"version,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	At      *time.Time `json:"at,omitempty"`
	// RetryOf names the message that this one repeats, after it was a dead letter.
	RetryOf string `json:"retry_of,omitempty"`
	// Document, User and Email are of the first document that the database has.
	Document *uuid.UUID `json:"document_id,omitempty"`
	User     *uuid.UUID `json:"user_id,omitempty"`
	Email    string     `json:"email,omitempty"`
	// Status is the document's now, with its reason; "gone" where it has ended, and
	// "unknown" where there never was one.
	Status string `json:"status_now"`

	last bool // nothing else was there when it was read
}

// decode reads a message. One that cannot be read is an event too.
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

// message returns what is published of the event for a target; false if the target
// cannot handle it.
func (e Event) message(target, name string) (Message, bool) {
	m := Message{Replay: name, Position: e.Sequence}
	if target == Confirm {
		m.Bucket, m.Keys = e.Bucket, e.Keys
		return m, len(m.Keys) > 0
	}
	m.Document = e.Document
	return m, m.Document != nil
}
