package schema

import (
	"time"

	"github.com/google/uuid"
)

const (
	// minPartSize is the least size of a part. S3 wants 5 MiB of each but the last.
	minPartSize = 8 << 20
	// maxPartSize is S3's: 5 GiB.
	maxPartSize = 5 << 30
	// MaxParts is how many parts an upload has at most. S3 allows 10,000; 800 are
	// listed in one answer of storage, and their ETags fit in one request to the
	// API.
	MaxParts = 800
	// MaxMultipartSize is the largest file in bytes that MaxParts parts can hold.
	MaxMultipartSize = MaxParts * int64(maxPartSize)
)

// PartSize returns the size in bytes of each part but the last of a file of size
// bytes, at most MaxMultipartSize: 8 MiB, or as many whole MiB as keep the parts
// below MaxParts. Clients compute it too, so it is part of the contract.
func PartSize(size int64) int64 {
	const mib = 1 << 20
	perPart := (size + MaxParts - 1) / MaxParts
	return max(minPartSize, (perPart+mib-1)/mib*mib)
}

// MultipartUpload is one row of the multipart_uploads table: an upload in parts
// that storage was asked to begin. The row ends when storage has made the object of
// the parts or has dropped them.
type MultipartUpload struct {
	// UploadID is storage's name for it.
	UploadID   string    `db:"upload_id"`
	DocumentID uuid.UUID `db:"document_id"`
	UserID     uuid.UUID `db:"user_id"`
	ObjectKey  string    `db:"object_key"`
	// Size is the whole file's in bytes, PartSize that of each part but the last.
	Size     int64 `db:"size"`
	PartSize int64 `db:"part_size"`
	// RenewedAt is when a URL for one of its parts was last asked for, to the
	// minute.
	RenewedAt time.Time `db:"renewed_at"`
	// AbortingAt is when it was given up; storage is asked to drop its parts until
	// it has. Attempts is how often that failed.
	AbortingAt *time.Time `db:"aborting_at"`
	Attempts   int        `db:"attempts"`
}

// Parts is how many parts the file has: at least one.
func (u MultipartUpload) Parts() int {
	return int(max(1, (u.Size+u.PartSize-1)/u.PartSize))
}

// PartLength is the exact size in bytes of a part, from 1 to Parts.
func (u MultipartUpload) PartLength(number int) int64 {
	return min(u.PartSize, u.Size-int64(number-1)*u.PartSize)
}

// Part is one part of a multipart upload that arrived in storage.
type Part struct {
	Number int   // from 1
	Size   int64 // in bytes
	// ETag identifies its content, without quotes.
	ETag string
}
