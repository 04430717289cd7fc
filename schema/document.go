package schema

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Status is where a document stands. docs/states.md draws the transitions.
type Status string

const (
	// StatusPending: an upload URL was issued; no object was seen yet.
	StatusPending Status = "pending"
	// StatusUploaded: the object was seen, it is charged to the quota and
	// waits for classification.
	StatusUploaded Status = "uploaded"
	// StatusClassified: classification ended; a document that fits no topic
	// is classified with none.
	StatusClassified Status = "classified"
	// StatusFailed: classification ended without an answer; Reason says why.
	StatusFailed Status = "failed"
	// StatusRejected: the object was refused and is being deleted; Reason
	// says why. The row stays readable for 24 hours.
	StatusRejected Status = "rejected"
	// StatusExpired: no object came within an hour of the last URL. One that
	// still comes is confirmed all the same. The row stays for 24 hours.
	StatusExpired Status = "expired"
	// StatusQuarantined: the object is not the one that was confirmed. It is
	// kept for the administrator; only a deletion leads out.
	StatusQuarantined Status = "quarantined"
	// StatusDeleting: the user gave the document up; the row ends when its
	// object is gone.
	StatusDeleting Status = "deleting"
)

// Statuses lists every status, in the order a document may meet them.
var Statuses = []Status{
	StatusPending, StatusUploaded, StatusClassified, StatusFailed,
	StatusRejected, StatusExpired, StatusQuarantined, StatusDeleting,
}

// Counted reports whether a document in this status is charged to its owner's
// quota and can be downloaded.
func (s Status) Counted() bool {
	return s == StatusUploaded || s == StatusClassified || s == StatusFailed
}

// Reason says why a document is rejected, failed or quarantined; it is empty
// in every other status.
type Reason string

const (
	ReasonNone          Reason = ""
	ReasonQuotaExceeded Reason = "quota_exceeded"  // rejected: it does not fit in what is left
	ReasonSizeMismatch  Reason = "size_mismatch"   // rejected: the object's size is not the declared one
	ReasonEncrypted     Reason = "encrypted"       // failed: a password is needed to read it
	ReasonNoText        Reason = "no_text"         // failed: it holds no text, or is empty
	ReasonBroken        Reason = "broken"          // failed: damaged beyond reading
	ReasonUnsupported   Reason = "unsupported"     // failed: a kind of file that is not read
	ReasonAIUnavailable Reason = "ai_unavailable"  // failed: the AI provider gave no answer in every try
	ReasonContentChange Reason = "content_changed" // quarantined: the object is not what was confirmed
)

// Document is one row of the documents table. Its zero value is not a valid
// document; NewDocument makes one.
type Document struct {
	ID          uuid.UUID `db:"id"`
	UserID      uuid.UUID `db:"user_id"`
	ObjectKey   string    `db:"object_key"`
	Filename    string    `db:"filename"`
	ContentType string    `db:"content_type"`
	// Size is in bytes: the declared size, which the object must have.
	Size   int64  `db:"size"`
	Status Status `db:"status"`
	Reason Reason `db:"reason"`
	// ETag identifies the confirmed content; empty until confirmed.
	ETag string `db:"etag"`
	// ChargedBytes is this document's part of its owner's used bytes. It is
	// set by Confirm and given back by every exit, in the same update.
	ChargedBytes int64 `db:"charged_bytes"`
	// Version rises with each transition: the compare-and-set's second half.
	Version int64 `db:"version"`
	// Announcement counts how often the event of this version was published again on purpose.
	Announcement int64 `db:"announcement"`
	// UnpublishedAt is the time of the last transition while its event is not published yet.
	UnpublishedAt *time.Time `db:"unpublished_at"`
	// TopicsLocked: a person set the topics; no classification takes them away.
	TopicsLocked bool `db:"topics_locked"`
	// Provider and Model name the AI that classified it; empty until then.
	Provider string `db:"provider"`
	Model    string `db:"model"`

	CreatedAt    time.Time  `db:"created_at"`
	URLIssuedAt  time.Time  `db:"url_issued_at"`
	ChangedAt    time.Time  `db:"changed_at"`
	UploadedAt   *time.Time `db:"uploaded_at"`
	ClassifiedAt *time.Time `db:"classified_at"`
	// GoneAt is set when the object is gone for good. Such a row is in no
	// listing; it ends as soon as documents.deleted is published.
	GoneAt *time.Time `db:"gone_at"`
}

// Object is what a stat found at a document's key.
type Object struct {
	Key string
	// Size is in bytes.
	Size int64
	// ETag is without quotes.
	ETag         string
	LastModified time.Time
}

// NewDocument returns a pending document with the given identity and declared
// size in bytes; its URL counts as issued now.
func NewDocument(id, user uuid.UUID, filename, contentType string, size int64, now time.Time) Document {
	return Document{
		ID: id, UserID: user, ObjectKey: ObjectKey(id),
		Filename: filename, ContentType: contentType, Size: size,
		Status: StatusPending, Version: 1,
		CreatedAt: now, URLIssuedAt: now, ChangedAt: now,
	}
}

// ObjectPrefix is the part of the bucket that holds documents' objects.
const ObjectPrefix = "documents/"

// ObjectKey returns the key of a document's object:
// documents/<first 10 hex digits of the id>/<id>. Ids are UUIDv7, whose first
// 10 digits change every 256 ms, so the documents of one moment lie together
// in a small folder, which one listing answers for.
func ObjectKey(id uuid.UUID) string {
	return ObjectPrefix + hex.EncodeToString(id[:5]) + "/" + id.String()
}

// DocumentID returns the id of the document whose ObjectKey is key; false if no
// id has that key.
func DocumentID(key string) (uuid.UUID, bool) {
	id, err := uuid.Parse(key[strings.LastIndexByte(key, '/')+1:])
	return id, err == nil && ObjectKey(id) == key
}
