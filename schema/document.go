package schema

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Status is the state of a document. docs/states.md has a diagram of the transitions.
type Status string

const (
	// StatusPending is the initial status: an upload URL was issued, and no object has been confirmed
	// yet.
	StatusPending Status = "pending"
	// StatusUploaded means that the object was confirmed and charged to the quota. The document waits
	// for classification.
	StatusUploaded Status = "uploaded"
	// StatusClassified means that classification succeeded. A document that fits no topic is
	// classified with none.
	StatusClassified Status = "classified"
	// StatusFailed means that classification failed. Reason says why. The object can be downloaded.
	StatusFailed Status = "failed"
	// StatusRejected means that the object was refused and marked for deletion. Reason says why.
	// The row stays readable for 24 hours.
	StatusRejected Status = "rejected"
	// StatusExpired means that no object arrived within an hour of the last URL. An object that
	// arrives later is still confirmed. The row stays readable for 24 hours.
	StatusExpired Status = "expired"
	// StatusQuarantined means that the object is not the one that was confirmed. It is kept for an
	// operator to examine. The only transition from this status is a deletion.
	StatusQuarantined Status = "quarantined"
	// StatusDeleting means that the user deleted the document. The row is deleted once its object is
	// gone.
	StatusDeleting Status = "deleting"
)

// Statuses lists all statuses, in the order in which a document can reach them.
var Statuses = []Status{
	StatusPending, StatusUploaded, StatusClassified, StatusFailed,
	StatusRejected, StatusExpired, StatusQuarantined, StatusDeleting,
}

// Counted reports whether a document in this status is charged to its owner's quota and can be
// downloaded.
func (s Status) Counted() bool {
	return s == StatusUploaded || s == StatusClassified || s == StatusFailed
}

// Reason is why a document is rejected, failed or quarantined. It is empty in every other status.
type Reason string

const (
	ReasonNone           Reason = ""
	ReasonQuotaExceeded  Reason = "quota_exceeded"  // rejected: exceeds the remaining quota
	ReasonSizeMismatch   Reason = "size_mismatch"   // rejected: not the declared size
	ReasonEncrypted      Reason = "encrypted"       // failed: the file needs a password
	ReasonNoText         Reason = "no_text"         // failed: the file contains no text, or is empty
	ReasonNoOCR          Reason = "no_ocr"          // failed: a picture, and there is no OCR
	ReasonBroken         Reason = "broken"          // failed: the file is damaged
	ReasonUnsupported    Reason = "unsupported"     // failed: files of this type are not supported
	ReasonAIUnavailable  Reason = "ai_unavailable"  // failed: the AI provider did not answer
	ReasonContentChanged Reason = "content_changed" // quarantined: the object is not the confirmed one
)

// Document is a row of the table documents. The zero value is not a valid document; use
// NewDocument.
type Document struct {
	ID          uuid.UUID `db:"id"`
	UserID      uuid.UUID `db:"user_id"`
	ObjectKey   string    `db:"object_key"`
	Filename    string    `db:"filename"`
	ContentType string    `db:"content_type"`
	// Size is the declared size in bytes. The object must have this size.
	Size   int64  `db:"size"`
	Status Status `db:"status"`
	Reason Reason `db:"reason"`
	// ETag is the entity tag of the confirmed object; empty until the document is confirmed.
	ETag string `db:"etag"`
	// ChargedBytes is what this document contributes to Quota.UsedBytes of its owner. Confirm sets
	// it. A transition to a status that is not charged subtracts it from the quota in the same
	// transaction.
	ChargedBytes int64 `db:"charged_bytes"`
	// Version is increased by one in each transition. Every transition is a compare-and-set on the
	// status and the version.
	Version int64 `db:"version"`
	// Announcement counts how often the event of this version was deliberately published again.
	Announcement int64 `db:"announcement"`
	// UnpublishedAt is the time since which the event of the last transition has been waiting to be
	// published, or nil once it has been published.
	UnpublishedAt *time.Time `db:"unpublished_at"`
	// TopicsLocked reports whether the user set the topics manually. Classification then does not
	// change them.
	TopicsLocked bool `db:"topics_locked"`
	// Provider and Model name the AI provider and model that classified the document. They are empty
	// until then.
	Provider string `db:"provider"`
	Model    string `db:"model"`
	// DetectedType is the media type that was detected from the content, or nil if the content has
	// not been read.
	DetectedType *string `db:"detected_type"`
	// SHA256 is the digest of the content, or nil if it is not known.
	SHA256 []byte `db:"sha256"`
	// DeclaredSHA256 is the digest in the request that created the document, or nil. Storage verifies
	// the file of a single PUT against it.
	DeclaredSHA256 []byte `db:"declared_sha256"`
	// Multipart reports whether the file is uploaded in parts.
	Multipart bool `db:"multipart"`
	// IdempotencyKey is the key of the request that created the document, or nil. RequestedFilename
	// is the filename in that request; nil means Filename, see SameRequest.
	IdempotencyKey    *string `db:"idempotency_key"`
	RequestedFilename *string `db:"requested_filename"`

	CreatedAt    time.Time  `db:"created_at"`
	URLIssuedAt  time.Time  `db:"url_issued_at"`
	ChangedAt    time.Time  `db:"changed_at"`
	UploadedAt   *time.Time `db:"uploaded_at"`
	ClassifiedAt *time.Time `db:"classified_at"`
	// GoneAt is when the object was found to be gone, or nil. The document is then no longer listed,
	// and the row is deleted as soon as the event documents.deleted is published.
	GoneAt *time.Time `db:"gone_at"`
}

// Object is a stat result: the properties of the object at a document's key.
type Object struct {
	Key          string
	Size         int64  // in bytes
	ETag         string // without quotes
	LastModified time.Time
}

// NewDocument returns a pending document with the declared size in bytes, whose upload URL was
// issued at now.
func NewDocument(
	id, user uuid.UUID, filename, contentType string, size int64, now time.Time,
) Document {
	return Document{
		ID: id, UserID: user, ObjectKey: ObjectKey(id),
		Filename: filename, ContentType: contentType, Size: size,
		Status: StatusPending, Version: 1,
		CreatedAt: now, URLIssuedAt: now, ChangedAt: now,
	}
}

// SameRequest reports whether the request that created d, which has an idempotency key, is the same
// as the one that would create e: they describe the same file, to be uploaded in the same way.
//
// A document without RequestedFilename was stored before version 27 of the database, or by a
// program of that time. Its digest and kind of upload are unknown, and count as the same.
func (d Document) SameRequest(e Document) bool {
	if d.RequestedFilename == nil {
		return d.Filename == e.Filename && d.ContentType == e.ContentType && d.Size == e.Size
	}
	return *d.RequestedFilename == e.Filename && d.ContentType == e.ContentType && d.Size == e.Size &&
		d.Multipart == e.Multipart && bytes.Equal(d.DeclaredSHA256, e.DeclaredSHA256)
}

// AwaitsFile reports whether the file of a document in this status can still be uploaded.
func (s Status) AwaitsFile() bool {
	return s == StatusPending || s == StatusExpired
}

// ObjectPrefix is the prefix of the keys of all documents' objects.
const ObjectPrefix = "documents/"

// ObjectKey returns the key of a document's object, documents/<first 10 hex digits of the id>/<id>.
// Ids are UUIDv7, whose first 10 digits change every 256 ms. Therefore documents that are created
// at about the same time share a small folder, and one listing returns all their objects.
func ObjectKey(id uuid.UUID) string {
	return ObjectPrefix + hex.EncodeToString(id[:5]) + "/" + id.String()
}

// DocumentID returns the id whose ObjectKey is key. It returns false if there is none.
func DocumentID(key string) (uuid.UUID, bool) {
	id, err := uuid.Parse(key[strings.LastIndexByte(key, '/')+1:])
	return id, err == nil && ObjectKey(id) == key
}

// FirstID returns the smallest UUIDv7 (RFC 9562, section 5.7) of t's millisecond.
func FirstID(t time.Time) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(max(0, t.UnixMilli()))<<16)
	id[6] = 0x70
	id[8] = 0x80
	return id
}
