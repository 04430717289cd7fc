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

// The streams. All keep their messages by limits, so that they can be
// replayed, and refuse new ones when full rather than drop unread ones.
const (
	StreamBucket    = "BUCKET"    // what MinIO says
	StreamDocuments = "DOCUMENTS" // what we say
	StreamReplay    = "REPLAY"    // what an operator has asked for again
)

// The subjects. MinIO sends each creation twice: DIRECT within a millisecond,
// but lost if NATS is away; DURABLE up to 3 s late, but never lost.
const (
	SubjectsBucket         = "bucket.>"
	SubjectsBucketCreated  = "bucket.created.*"
	SubjectCreatedDirect   = "bucket.created.direct"
	SubjectCreatedDurable  = "bucket.created.durable"
	SubjectsBucketRemoved  = "bucket.removed.*"
	SubjectRemovedDurable  = "bucket.removed.durable"
	SubjectsDocuments      = "documents.*"
	SubjectDocumentUpload  = "documents.uploaded"
	SubjectDocumentDeleted = "documents.deleted"
	SubjectsReplay         = "replay.>"
	SubjectsReplayConfirm  = "replay.confirm.>"
	SubjectsReplayClassify = "replay.classify.>"
)

// The durable consumers.
const (
	ConsumerConfirm  = "confirm"
	ConsumerRemove   = "remove"
	ConsumerClassify = "classify"
)

// DocumentEvent reports that a document has reached a status. It is a hint:
// whoever receives it reads the document.
type DocumentEvent struct {
	DocumentID uuid.UUID `json:"document_id"`
	UserID     uuid.UUID `json:"user_id"`
	Version    int64     `json:"version"`
	// Status is the document's status, or "deleted" when its row has ended.
	Status string    `json:"status"`
	Reason Reason    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Event returns the event of the document's present status.
func (d Document) Event() DocumentEvent {
	e := DocumentEvent{
		DocumentID: d.ID, UserID: d.UserID, Version: d.Version,
		Status: string(d.Status), Reason: d.Reason, At: d.ChangedAt.UTC(),
	}
	if d.GoneAt != nil {
		e.Status = "deleted"
	}
	return e
}

// Subject returns where the event is published: documents.<status>.
func (e DocumentEvent) Subject() string { return "documents." + e.Status }

// MessageID returns the Nats-Msg-Id under which the event of the document's
// present version is published: <document>:<version>:<announcement>. JetStream
// drops a message whose id it has seen within its window, so publishing an event
// again on purpose raises the last number.
func (d Document) MessageID() string {
	return fmt.Sprintf("%s:%d:%d", d.ID, d.Version, d.Announcement)
}

// ErrUndecodable marks a message that no retry will make readable.
var ErrUndecodable = errors.New("undecodable event")

// DecodeDocumentEvent reads a message of the DOCUMENTS stream. It fails with
// ErrUndecodable.
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

// BucketRecord is one record of a bucket notification. Only the bucket and the
// key are used, as a hint of where to look.
type BucketRecord struct {
	// EventName is such as s3:ObjectCreated:Put.
	EventName string
	Bucket    string
	// Key is decoded.
	Key string
	// Time is when MinIO says it happened; zero if it does not say.
	Time time.Time
	// Request is MinIO's name for the request that did it; empty if it does not
	// say. Two records that agree in everything are about the same change.
	Request string
}

// About reports whether the record is about a whole object that was created or
// removed: tagging events match the same filter and mean neither.
func (r BucketRecord) About() (created, removed bool) {
	switch r.EventName {
	case "s3:ObjectCreated:Put", "s3:ObjectCreated:Post", "s3:ObjectCreated:Copy",
		"s3:ObjectCreated:CompleteMultipartUpload":
		return true, false
	case "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:NoOP", "s3:ObjectRemoved:DeleteMarkerCreated":
		return false, true
	default:
		return false, false
	}
}

// tolerant takes what encoding/json would take.
var tolerant = jsonv2.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true), jsonv2.MatchCaseInsensitiveNames(true))

// DecodeBucketEvent reads a message of the BUCKET stream: an S3 notification
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html)
// whose keys are query-escaped. It fails with ErrUndecodable; a notification
// without records is one.
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
	if err := jsonv2.Unmarshal(data, &n, tolerant); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUndecodable, err)
	}
	if len(n.Records) == 0 {
		return nil, fmt.Errorf("%w: no records", ErrUndecodable)
	}
	records := make([]BucketRecord, 0, len(n.Records))
	for i, r := range n.Records {
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil {
			return nil, fmt.Errorf("%w: record %d: key is not query-escaped", ErrUndecodable, i)
		}
		at, err := time.Parse(time.RFC3339Nano, r.EventTime)
		if err != nil {
			at = time.Time{}
		}
		records = append(records, BucketRecord{EventName: r.EventName, Bucket: r.S3.Bucket.Name, Key: key, Time: at, Request: r.Response.RequestID})
	}
	return records, nil
}
