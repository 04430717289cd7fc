package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// The streams. All have limits retention, so that their messages can be replayed. A full stream
// rejects new messages and does not delete unread ones.
const (
	StreamBucket    = "BUCKET"    // bucket notifications from MinIO
	StreamDocuments = "DOCUMENTS" // transitions of documents
	StreamReplay    = "REPLAY"    // events that an operator replays
)

// The subjects. MinIO publishes each creation twice. The message on the direct subject arrives
// within a millisecond, but is lost if NATS is unavailable. The message on the durable subject is
// never lost, but arrives up to 3 s later.
const (
	SubjectsBucket          = "bucket.>"
	SubjectsBucketCreated   = "bucket.created.*"
	SubjectCreatedDirect    = "bucket.created.direct"
	SubjectCreatedDurable   = "bucket.created.durable"
	SubjectsBucketRemoved   = "bucket.removed.*"
	SubjectRemovedDurable   = "bucket.removed.durable"
	SubjectsDocuments       = "documents.*"
	SubjectDocumentUploaded = "documents.uploaded"
	SubjectDocumentDeleted  = "documents.deleted"
	SubjectsReplay          = "replay.>"
	SubjectsReplayConfirm   = "replay.confirm.>"
	SubjectsReplayClassify  = "replay.classify.>"
)

// The durable consumers.
const (
	ConsumerConfirm  = "confirm"
	ConsumerRemove   = "remove"
	ConsumerClassify = "classify"
)

// DocumentEvent is the event that a document has reached a status. It is a hint: the receiver reads
// the current state from the database.
type DocumentEvent struct {
	DocumentID uuid.UUID `json:"document_id"`
	UserID     uuid.UUID `json:"user_id"`
	Version    int64     `json:"version"`
	// Status is the status of the document, or "deleted" if its object is gone.
	Status string    `json:"status"`
	Reason Reason    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
	// ContentType and Size are the declared type and size of the document. They tell the receiver how
	// to schedule its work. ContentType is empty in events of earlier versions.
	ContentType string `json:"content_type,omitempty"`
	Size        int64  `json:"size,omitempty"`
}

// Event returns the event of the document's last transition.
func (d Document) Event() DocumentEvent {
	e := DocumentEvent{
		DocumentID: d.ID, UserID: d.UserID, Version: d.Version,
		Status: string(d.Status), Reason: d.Reason, At: d.ChangedAt.UTC(),
		ContentType: d.ContentType, Size: d.Size,
	}
	if d.GoneAt != nil {
		e.Status = "deleted"
	}
	return e
}

// Subject returns the subject that the event is published on, documents.<status>.
func (e DocumentEvent) Subject() string { return "documents." + e.Status }

// MessageID returns the Nats-Msg-Id of the event of the document's current version,
// <document>:<version>:<announcement>. JetStream drops a message whose id it has received within
// the stream's duplicate window. To publish an event again, increase the announcement first.
func (d Document) MessageID() string {
	return fmt.Sprintf("%s:%d:%d", d.ID, d.Version, d.Announcement)
}

// ErrUndecodable means that a message cannot be decoded. Delivering it again would not help.
var ErrUndecodable = errors.New("undecodable event")

// DecodeDocumentEvent decodes a message of the stream DOCUMENTS. Every error wraps ErrUndecodable.
func DecodeDocumentEvent(data []byte) (DocumentEvent, error) {
	var e DocumentEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return DocumentEvent{}, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	if e.DocumentID == uuid.Nil {
		return DocumentEvent{}, fmt.Errorf("%w: no document_id", ErrUndecodable)
	}
	return e, nil
}

// BucketRecord is one record of a bucket notification. It is a hint that the object at Key may have
// changed; the size and ETag in the notification are not used.
type BucketRecord struct {
	// EventName is the S3 event type, for example s3:ObjectCreated:Put.
	EventName string
	Bucket    string
	// Key is the object key, query-unescaped.
	Key string
	// Time is when the event happened according to MinIO; zero if the record has no valid time.
	Time time.Time
	// RequestID identifies the request to MinIO that caused the event; it may be empty. Two equal
	// records describe the same event.
	RequestID string
}

// IsCreated reports whether the record says that an object was created. Tagging events, whose names
// also begin with s3:ObjectCreated, do not create an object.
func (r BucketRecord) IsCreated() bool {
	switch r.EventName {
	case "s3:ObjectCreated:Put", "s3:ObjectCreated:Post", "s3:ObjectCreated:Copy",
		"s3:ObjectCreated:CompleteMultipartUpload":
		return true
	default:
		return false
	}
}

// IsRemoved reports whether the record says that an object was removed.
func (r BucketRecord) IsRemoved() bool {
	switch r.EventName {
	case "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:NoOP", "s3:ObjectRemoved:DeleteMarkerCreated":
		return true
	default:
		return false
	}
}

// lenientJSON makes jsonv2 accept what encoding/json accepts.
var lenientJSON = jsonv2.JoinOptions(
	jsontext.AllowInvalidUTF8(true),
	jsontext.AllowDuplicateNames(true),
	jsonv2.MatchCaseInsensitiveNames(true),
)

// DecodeBucketEvent decodes a message of the stream BUCKET: an S3 notification
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html),
// whose object keys are query-escaped. Every error wraps ErrUndecodable. A notification without
// records is an error.
func DecodeBucketEvent(data []byte) ([]BucketRecord, error) {
	var n struct {
		Records []struct {
			EventName string `json:"eventName"`
			EventTime string `json:"eventTime"`
			Response  struct {
				RequestID string `json:"x-amz-request-id"`
			} `json:"responseElements"`
			S3 struct {
				Bucket struct {
					Name string `json:"name"`
				} `json:"bucket"`
				Object struct {
					Key string `json:"key"`
				} `json:"object"`
			} `json:"s3"`
		} `json:"Records"`
	}
	if err := jsonv2.Unmarshal(data, &n, lenientJSON); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	if len(n.Records) == 0 {
		return nil, fmt.Errorf("%w: no records", ErrUndecodable)
	}
	records := make([]BucketRecord, 0, len(n.Records))
	for i, r := range n.Records {
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: record %d: invalid escape in the key", ErrUndecodable, i)
		}
		at, err := time.Parse(time.RFC3339Nano, r.EventTime)
		if err != nil {
			at = time.Time{}
		}
		records = append(records, BucketRecord{
			EventName: r.EventName,
			Bucket:    r.S3.Bucket.Name,
			Key:       key,
			Time:      at,
			RequestID: r.Response.RequestID,
		})
	}
	return records, nil
}

// EncodeCreated returns a notification that the object at key was created, in the form that
// DecodeBucketEvent decodes.
func EncodeCreated(bucket, key string, at time.Time) []byte {
	type named struct {
		Name string `json:"name"`
	}
	type keyed struct {
		Key string `json:"key"`
	}
	type s3 struct {
		Bucket named `json:"bucket"`
		Object keyed `json:"object"`
	}
	type record struct {
		EventName string `json:"eventName"`
		EventTime string `json:"eventTime"`
		S3        s3     `json:"s3"`
	}
	data, _ := json.Marshal(map[string][]record{"Records": {{
		EventName: "s3:ObjectCreated:Put", EventTime: at.UTC().Format(time.RFC3339Nano),
		S3: s3{Bucket: named{bucket}, Object: keyed{url.QueryEscape(key)}},
	}}}) // strings can always be encoded
	return data
}
