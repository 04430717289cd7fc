package schema

import (
	"time"

	"github.com/google/uuid"
)

const (
	// minPartSize is the smallest size of a part, 8 MiB. S3 requires at least 5 MiB for each part
	// except the last.
	minPartSize = 8 << 20
	// maxPartSize is the largest size of a part that S3 accepts, 5 GiB.
	maxPartSize = 5 << 30
	// MaxParts is the largest number of parts in an upload. S3 allows 10,000. With at most 800, one
	// ListParts response contains all parts, and one request to the API all their ETags.
	MaxParts = 800
	// MaxMultipartSize is the size in bytes of the largest file that MaxParts parts can hold.
	MaxMultipartSize = MaxParts * int64(maxPartSize)
)

// PartSize returns the size in bytes of every part except the last, for a file of size bytes. size
// is at most MaxMultipartSize. The result is the smallest whole number of MiB, but at least 8, for
// which the file has at most MaxParts parts. This rule is part of the API's contract, because
// clients compute it too.
func PartSize(size int64) int64 {
	const mib = 1 << 20
	perPart := (size + MaxParts - 1) / MaxParts
	return max(minPartSize, (perPart+mib-1)/mib*mib)
}

// MultipartUpload is a row of the table multipart_uploads: a multipart upload that object storage
// has begun. The row is deleted when object storage has completed or aborted the upload.
type MultipartUpload struct {
	// UploadID is the identifier that object storage assigned.
	UploadID   string    `db:"upload_id"`
	DocumentID uuid.UUID `db:"document_id"`
	UserID     uuid.UUID `db:"user_id"`
	ObjectKey  string    `db:"object_key"`
	// Size is the size of the file in bytes. PartSize is the size of every part except the last.
	Size     int64 `db:"size"`
	PartSize int64 `db:"part_size"`
	// RenewedAt is when a URL for one of the parts was last issued, with a precision of one minute.
	RenewedAt time.Time `db:"renewed_at"`
	// AbortingAt is when the upload was abandoned, or nil. The sweeper then aborts it in object
	// storage.
	AbortingAt *time.Time `db:"aborting_at"`
	// Attempts is how often aborting the upload has failed. NextAttemptAt is when the next attempt is
	// due.
	Attempts      int       `db:"attempts"`
	NextAttemptAt time.Time `db:"next_attempt_at"`
}

// PartCount returns the number of parts of the file, at least one.
func (u MultipartUpload) PartCount() int {
	return int(max(1, (u.Size+u.PartSize-1)/u.PartSize))
}

// PartLength returns the exact size in bytes of a part. Parts are numbered from 1 to PartCount.
func (u MultipartUpload) PartLength(number int) int64 {
	return min(u.PartSize, u.Size-int64(number-1)*u.PartSize)
}

// Part is a part of a multipart upload that object storage has stored.
type Part struct {
	Number int   // from 1
	Size   int64 // in bytes
	// ETag is the entity tag of the content, without quotes.
	ETag string
}
